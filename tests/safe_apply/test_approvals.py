import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from midwatch_contracts.times import rfc3339
from midwatch_mcp.safe_apply.approvals import approval_folder, check_approval, put_approval, signed_approval
from midwatch_mcp.safe_apply.audit import entries
from midwatch_mcp.safe_apply.envelope import Proposal
from midwatch_mcp.safe_apply.errors import Reason, RefusedChangeError
from midwatch_mcp.safe_apply.fake_world import World, set_blocks
from midwatch_mcp.safe_apply.keys import LAB, approvers_path, key_folder, new_key, principals

pytestmark = pytest.mark.anyio


async def refused(world: World, proposal: Proposal, reason: Reason) -> None:
    """Apply, and check that it is refused for this reason, that nothing was written and that the audit says so."""
    with pytest.raises(RefusedChangeError) as caught:
        await world.envelope.apply(proposal.plan.id)
    assert caught.value.reason == reason, str(caught.value)
    assert world.cluster.writes == []
    assert world.envelope.changes() == []
    last = list(entries(world.envelope.audit.path))[-1]
    assert (last.kind, last.body["reason"]) == ("refused", reason)


async def test_a_missing_approval_changes_nothing(world: World) -> None:
    await refused(world, await world.propose(), "missing")


TAMPERED: dict[str, tuple[dict[str, Any], Reason]] = {
    "no signature": ({"signature": None}, "unsigned"),
    "as if by policy": ({"method": "policy", "attested": "policy", "signature": None}, "unsigned"),
    "as if elicited": ({"method": "elicitation", "attested": "host", "signature": None}, "unsigned"),
    "signed and elicited": ({"method": "elicitation", "attested": "host"}, "unsigned"),
    "longer": ({"expires": "2099-01-01T00:00:00.000Z"}, "forged"),
    "another nonce": ({"nonce": "0" * 32}, "forged"),
    "short signature": ({"signature": "AAAA"}, "forged"),
    "no base64": ({"signature": "not base64!"}, "forged"),
    "another name": ({"approver": "mallory"}, "unknown_approver"),
}


@pytest.mark.parametrize("how", TAMPERED)
async def test_an_approval_that_was_tampered_with_changes_nothing(world: World, how: str) -> None:
    fields, reason = TAMPERED[how]
    proposal = await world.propose()
    world.approve(proposal, **fields)
    await refused(world, proposal, reason)


async def test_a_signature_of_another_principal_is_forged(world: World) -> None:
    proposal = await world.propose()
    new_key(world.state, "bob")
    approval = world.approval(proposal, name="bob").model_copy(update={"approver": "alice"})
    put_approval(world.state, approval)
    await refused(world, proposal, "forged")


async def test_an_expired_approval_changes_nothing(world: World) -> None:
    proposal = await world.propose()
    world.approve(proposal, expires_s=10)
    await world.clock.advance(10)
    await refused(world, proposal, "expired")


async def test_an_approval_from_the_future_changes_nothing(world: World) -> None:
    proposal = await world.propose()
    world.approve(proposal, now=world.clock.now() + 1)
    await refused(world, proposal, "future")


async def test_an_approval_for_longer_than_the_policy_allows_changes_nothing(world: World) -> None:
    (world.state / "policy.toml").write_text("[approvals]\nmax_age_s = 600\n")
    proposal = await world.propose()
    world.approve(proposal, expires_s=601)
    await refused(world, proposal, "expired")


async def test_an_approval_of_another_preview_changes_nothing(world: World) -> None:
    proposal = await world.propose()
    world.approve(proposal, preview_sha256="0" * 64)
    await refused(world, proposal, "other_preview")


async def test_a_change_beside_the_touched_values_needs_another_look(world: World) -> None:
    proposal = await world.propose()
    world.approve(proposal)
    chat = world.cluster.objects_by_entity["Deployment/llm/chat"]
    chat["spec"]["template"]["spec"]["containers"][1]["args"][2:] = ["--max-num-seqs", "2"]
    world.cluster.put(chat)
    await refused(world, proposal, "other_preview")
    again = await world.envelope.preview(proposal.plan.id)
    world.approve(again)
    change = await world.envelope.apply(proposal.plan.id)
    assert await world.settle(change.change_id) == "verified"


async def test_an_approval_of_another_plan_changes_nothing(world: World) -> None:
    proposal = await world.propose()
    other = await world.propose(set_blocks("128"))
    approval = world.approve(other)
    await refused(world, proposal, "missing")
    renamed = approval.model_copy(update={"plan_id": proposal.plan.id, "nonce": "1" * 32})
    put_approval(world.state, renamed)
    await refused(world, proposal, "forged")
    with pytest.raises(RefusedChangeError) as caught:
        check_approval(
            approval,
            proposal.plan,
            principals(world.state, None),
            now=world.clock.now(),
            max_age_s=3600,
            spent_by=None,
        )
    assert caught.value.reason == "other_plan"


async def test_an_approval_works_once(world: World) -> None:
    proposal = await world.propose()
    approval = world.approve(proposal)
    change = await world.envelope.apply(proposal.plan.id)
    assert await world.settle(change.change_id) == "verified"
    # The object is as it was before, the same file lies there, and another process asks.
    chat = world.cluster.objects_by_entity["Deployment/llm/chat"]
    chat["spec"]["template"]["spec"]["containers"][1]["args"][1] = "--num-gpu-blocks-override=14"
    world.cluster.put(chat)
    with pytest.raises(RefusedChangeError) as caught:
        await world.open().apply(proposal.plan.id)
    assert caught.value.reason == "replayed"
    copied = approval_folder(world.state) / f"{'2' * 32}.json"
    copied.write_bytes((approval_folder(world.state) / f"{approval.nonce}.json").read_bytes())
    with pytest.raises(RefusedChangeError):
        await world.open().apply(proposal.plan.id)
    assert len(world.cluster.writes) == 1


async def test_of_two_processes_that_apply_at_once_one_spends_the_approval(world: World) -> None:
    proposal = await world.propose()
    approval = world.approve(proposal)
    change = await world.envelope.apply(proposal.plan.id)
    record = world.envelope.journal.record(change.change_id)
    with pytest.raises(RefusedChangeError) as caught:
        world.open().journal.begin(
            record.change.model_copy(update={"change_id": "chg-" + "f" * 16}),
            now=world.clock.now(),
            nonces=[approval.nonce],
            targets=[],
            expected={},
        )
    assert caught.value.reason == "replayed"


async def test_a_plan_for_another_cluster_is_not_applied_here(world: World) -> None:
    proposal = await world.propose()
    world.approve(proposal)
    world.cluster.uid = "cluster-2"
    await refused(world, proposal, "other_cluster")


def lab_at(folder: Path, cluster: str) -> Ed25519PrivateKey:
    key = Ed25519PrivateKey.generate()
    folder.mkdir()
    (folder / "lab.json").write_text(json.dumps({"cluster": cluster}))
    (folder / "lab.key").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    (folder / "lab.pub").write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return key


@pytest.mark.parametrize("cluster", ["cluster-1", "cluster-2"])
async def test_the_key_of_a_lab_counts_for_its_own_cluster_only(world: World, cluster: str) -> None:
    lab = world.state / "lab"
    key = lab_at(lab, cluster)
    world.envelope = world.open(lab=lab)
    proposal = await world.propose()
    now = world.clock.now()
    signed = signed_approval(proposal.plan, proposal.preview_sha256, approver=LAB, key=key, method="cli", now=now)
    put_approval(world.state, signed)
    if cluster == "cluster-2":
        await refused(world, proposal, "other_cluster")
    else:
        change = await world.envelope.apply(proposal.plan.id)
        assert await world.settle(change.change_id) == "verified"


async def test_the_key_of_a_lab_counts_for_nothing_where_no_lab_is_configured(world: World) -> None:
    key = lab_at(world.state / "lab", "cluster-1")
    proposal = await world.propose()
    now = world.clock.now()
    signed = signed_approval(proposal.plan, proposal.preview_sha256, approver=LAB, key=key, method="cli", now=now)
    put_approval(world.state, signed)
    await refused(world, proposal, "unknown_approver")


async def test_an_older_approval_that_fits_is_found_behind_a_newer_one_that_does_not(world: World) -> None:
    proposal = await world.propose()
    world.approve(proposal)
    await world.clock.advance(1)
    world.approve(proposal, preview_sha256="0" * 64)
    world.approve(proposal, signature=None)
    change = await world.envelope.apply(proposal.plan.id)
    assert await world.settle(change.change_id) == "verified"


async def test_a_server_without_write_refuses_even_an_approved_plan(world: World) -> None:
    proposal = await world.propose()
    world.approve(proposal)
    world.envelope = world.open(allow_write=False)
    await refused(world, proposal, "read_only")


async def test_keys_and_approvals_are_files_that_others_cannot_read(world: World) -> None:
    approval = world.approve(await world.propose())
    private = [key_folder(world.state) / "alice.key", approval_folder(world.state) / f"{approval.nonce}.json"]
    private += [approvers_path(world.state), world.state / "changes.sqlite", world.envelope.audit.path]
    assert {oct(file.stat().st_mode & 0o777) for file in private} == {"0o600"}
    assert approval.issued == rfc3339(world.clock.now())
