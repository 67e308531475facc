"""A call that was not carried out stands in the audit with its reason, whatever kept it from it."""

from collections.abc import Callable
from typing import Any

import pytest
from mcp import Client

from midwatch_mcp.safe_apply.audit_log import entries
from midwatch_mcp.safe_apply.errors import (
    ConflictError,
    EnvelopeError,
    LostError,
    RefusedChangeError,
    RejectedError,
    UnknownPlanError,
)
from midwatch_mcp.safe_apply.fake_world import World, scale

pytestmark = pytest.mark.anyio


def last(world: World) -> tuple[str, str, dict[str, Any]]:
    *_, found = entries(world.envelope.audit.path)
    return found.kind, found.run, found.body


def failing(verb: str, error: Callable[[], Exception]) -> Callable[[str, str, str], None]:
    def hook(phase: str, what: str, _entity: str) -> None:
        if (phase, what) == ("before", verb):
            raise error()

    return hook


async def test_an_object_that_somebody_writes_all_the_while_is_refused_by_name(world: World) -> None:
    proposal = await world.propose()
    world.approve(proposal)
    world.cluster.hook = failing("dry-run", lambda: ConflictError("another version"))
    async with Client(world.server()) as client:
        answer = await client.call_tool("change_apply", {"plan_id": proposal.plan.id})
    assert answer.is_error
    assert "Deployment/llm/chat had another version at each of 5 dry runs" in str(answer.content)
    kind, run, body = last(world)
    assert (kind, run, body["what"], body["reason"]) == ("refused", proposal.plan.id, "apply", "conflict")
    assert world.cluster.writes == []


@pytest.mark.parametrize(
    ("verb", "error", "reason"),
    [
        ("read", lambda: LostError("no answer"), "target"),
        ("dry-run", lambda: RejectedError("a webhook said no"), "target"),
    ],
    ids=["lost", "rejected"],
)
async def test_a_cluster_that_does_not_answer_or_says_no_is_told(
    world: World, verb: str, error: Callable[[], Exception], reason: str
) -> None:
    proposal = await world.propose()
    world.approve(proposal)
    world.cluster.hook = failing(verb, error)
    with pytest.raises(EnvelopeError) as caught:
        await world.envelope.apply(proposal.plan.id)
    assert last(world) == (
        "refused",
        proposal.plan.id,
        {"what": "apply", "reason": reason, "says": str(caught.value)},
    )
    with pytest.raises(EnvelopeError):
        await world.propose(scale())
    assert last(world)[2]["what"] == "propose"


async def test_unknown_plans_broken_policies_and_broken_keys_are_told(world: World) -> None:
    with pytest.raises(UnknownPlanError):
        await world.envelope.apply("0" * 64)
    assert last(world)[1:] == ("0" * 64, last(world)[2] | {"what": "apply", "reason": "unknown_plan"})
    proposal = await world.propose()
    world.approve(proposal)
    policy = world.state / "policy.toml"
    policy.write_text("autonomi = 3\n")
    with pytest.raises(EnvelopeError):
        await world.envelope.apply(proposal.plan.id)
    assert last(world)[2]["reason"] == "policy"
    policy.unlink()
    (world.state / "approvers.toml").write_text("broken")
    with pytest.raises(EnvelopeError):
        await world.envelope.apply(proposal.plan.id)
    assert last(world)[2]["reason"] == "keys"


async def test_a_recovery_that_is_refused_is_told(world: World) -> None:
    proposal = await world.propose()
    world.approve(proposal)
    change = await world.envelope.apply(proposal.plan.id)
    assert await world.settle(change.change_id) == "verified"
    with pytest.raises(RefusedChangeError):
        await world.envelope.recover(change.change_id)
    kind, run, body = last(world)
    assert (kind, run, body["what"], body["reason"]) == ("refused", change.change_id, "recover", "state")
