"""Autonomy 4 approves by policy what code alone drafted, and nothing else."""

from typing import Any

import pytest
from mcp import Client

from midwatch_contracts.surface import surface
from midwatch_mcp.evidence import EvidenceStore
from midwatch_mcp.safe_apply.audit_log import entries
from midwatch_mcp.safe_apply.envelope import Proposal
from midwatch_mcp.safe_apply.errors import RefusedChangeError
from midwatch_mcp.safe_apply.fake_world import EXPECT, World, scale, set_blocks
from midwatch_mcp.safe_apply.unattended import FIGURES_AND_FIELDS
from midwatch_mcp.vouching import Vouched

pytestmark = pytest.mark.anyio

SOLID = ("metrics_query", "kube_rollout")


async def drafted(world: World, *, tools: tuple[str, ...] = SOLID, by_code: bool = True, **changed: Any) -> Proposal:
    """Propose a plan as the supervisor does, with evidence of these tools behind it."""
    store = EvidenceStore(world.state)
    evidence = [store.put("metrics", tool, {"n": n}, {"value": n}).id for n, tool in enumerate(tools)]
    cause = {
        "mechanism": "serving.kv_cache_too_small",
        "entity": "Deployment/llm/chat",
        "confidence": changed.pop("confidence", "certain"),
        "evidence": evidence,
    }
    draft: dict[str, Any] = {
        "title": "Give the KV cache its blocks back",
        "cause": cause,
        "evidence": evidence,
        "operations": [set_blocks()],
        "expect": [EXPECT],
    }
    return await world.envelope.propose(draft | changed, principal="uid:0", by_code=by_code)


def autonomy(world: World, level: int = 4, more: str = "") -> None:
    (world.state / "policy.toml").write_text(f"autonomy = {level}\n{more}")


async def unapproved(world: World, proposal: Proposal) -> None:
    with pytest.raises(RefusedChangeError) as caught:
        await world.envelope.apply(proposal.plan.id)
    assert caught.value.reason == "missing", str(caught.value)
    assert world.cluster.writes == []


@pytest.mark.parametrize("level", [4, 5])
async def test_what_code_drafted_on_figures_is_approved_by_policy(world: World, level: int) -> None:
    autonomy(world, level)
    proposal = await drafted(world)
    change = await world.envelope.apply(proposal.plan.id)
    assert await world.settle(change.change_id) == "verified"
    approval = change.approval
    assert approval is not None
    assert (approval.method, approval.attested, approval.signature) == ("policy", "policy", None)
    assert approval.approver.startswith("policy:")
    assert world.envelope.journal.spent_by(approval.nonce) == change.change_id
    kinds = [entry.kind for entry in entries(world.envelope.audit.path)]
    assert kinds[-4:] == ["approved", "applying", "applied", "verified"]


async def test_at_autonomy_3_a_person_is_needed(world: World) -> None:
    await unapproved(world, await drafted(world))


@pytest.mark.parametrize("confidence", ["likely", "possible"])
async def test_a_cause_that_is_not_certain_needs_a_person(world: World, confidence: str) -> None:
    autonomy(world)
    await unapproved(world, await drafted(world, confidence=confidence))


async def test_no_cause_needs_a_person(world: World) -> None:
    autonomy(world)
    await unapproved(world, await drafted(world, cause=None))


async def test_a_draft_of_a_client_needs_a_person_also_where_code_drafted_the_same(world: World) -> None:
    autonomy(world)
    await unapproved(world, await drafted(world, by_code=False))
    await unapproved(world, await drafted(world))


@pytest.mark.parametrize("tool", ["kube_logs", "kube_events", "metrics_alerts", "serving_probe", "a_foreign_tool"])
async def test_evidence_that_anybody_can_write_needs_a_person(world: World, tool: str) -> None:
    autonomy(world)
    await unapproved(world, await drafted(world, tools=("metrics_query", tool)))


async def test_evidence_that_is_not_there_needs_a_person(world: World) -> None:
    autonomy(world)
    await unapproved(world, await drafted(world, evidence=["ev-0123456789abcdef"]))


async def test_a_dangerous_plan_needs_a_person_at_every_level(world: World) -> None:
    autonomy(world, 5)
    proposal = await drafted(world, operations=[scale(replicas=0)])
    assert proposal.preview.risk == "dangerous"
    await unapproved(world, proposal)


async def test_where_two_must_sign_policy_is_neither(world: World) -> None:
    autonomy(world, 4, "[approvals.change]\npeople = 2\n")
    await unapproved(world, await drafted(world))


async def test_a_plan_that_was_tried_or_refused_is_not_tried_again_by_policy(world: World) -> None:
    autonomy(world)
    proposal = await drafted(world)
    change = await world.envelope.apply(proposal.plan.id)
    assert await world.settle(change.change_id) == "verified"
    chat = world.cluster.objects_by_entity["Deployment/llm/chat"]
    chat["spec"]["template"]["spec"]["containers"][1]["args"][1] = "--num-gpu-blocks-override=14"
    world.cluster.put(chat)
    with pytest.raises(RefusedChangeError) as caught:
        await world.envelope.apply(proposal.plan.id)
    assert caught.value.reason == "missing"
    assert len(world.cluster.writes) == 1


async def test_only_a_draft_that_was_vouched_for_counts_as_codes_and_only_once(world: World) -> None:
    autonomy(world)
    vouched = Vouched()
    evidence = EvidenceStore(world.state).put("metrics", "metrics_query", {}, {"value": 1}).id
    cause = {
        "mechanism": "serving.kv_cache_too_small",
        "entity": "Deployment/llm/chat",
        "confidence": "certain",
        "evidence": [evidence],
    }
    draft = {
        "title": "Blocks",
        "cause": cause,
        "evidence": [evidence],
        "operations": [set_blocks()],
        "expect": [EXPECT],
    }
    async with Client(world.server(vouched=vouched)) as client:

        async def needs_person(plan: dict[str, Any]) -> str | None:
            answer = await client.call_tool("change_propose", {"plan": plan})
            assert answer.structured_content is not None, answer.content
            return answer.structured_content["data"]["needs_person"]

        vouched.vouch(draft)
        somebody = "somebody else than the supervisor's own code drafted it"
        assert await needs_person(draft | {"title": "Another"}) == somebody
        assert await needs_person(draft) is None
        assert await needs_person(draft) == somebody
    async with Client(world.server()) as client:
        assert await needs_person(draft | {"title": "A server that nobody vouches at"}) == somebody


async def test_what_is_told_of_a_proposal_is_what_apply_does(world: World) -> None:
    assert (await drafted(world)).needs_person == "autonomy 3 (assist) approves nothing by itself"
    autonomy(world)
    proposal = await drafted(world, title="Once more")
    assert proposal.needs_person is None
    dangerous = await drafted(world, operations=[scale(replicas=0)])
    assert dangerous.needs_person == "it is dangerous, and that needs a person"
    change = await world.envelope.apply(proposal.plan.id)
    assert await world.settle(change.change_id) == "verified"


def test_the_tools_that_count_are_there_and_none_of_them_answers_sentences() -> None:
    assert set(surface()) >= FIGURES_AND_FIELDS
    assert not FIGURES_AND_FIELDS & {"kube_logs", "kube_events", "kube_describe", "metrics_alerts", "serving_probe"}
