import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from midwatch_contracts.plan import Approval
from midwatch_contracts.times import rfc3339
from midwatch_mcp.safe_apply.approvals import approval_folder, check_approval, put_approval, signed_approval
from midwatch_mcp.safe_apply.audit_log import entries
from midwatch_mcp.safe_apply.envelope import Proposal
from midwatch_mcp.safe_apply.errors import KeyFileError, Reason, RefusedChangeError
from midwatch_mcp.safe_apply.fake_world import World, scale, set_blocks
from midwatch_mcp.safe_apply.keys import LAB, approvers_path, key_folder, new_key, principals, revoke

pytestmark = pytest.mark.anyio


async def refused(world: World, proposal: Proposal, reason: Reason) -> str:
    """Apply, and check that it is refused for this reason, that nothing was written and that the audit says so."""
    with pytest.raises(RefusedChangeError) as caught:
        await world.envelope.apply(proposal.plan.id)
    assert caught.value.reason == reason, str(caught.value)
    assert world.cluster.writes == []
    assert world.envelope.changes() == []
    last = list(entries(world.envelope.audit.path))[-1]
    assert (last.kind, last.body["reason"], last.body["says"]) == ("refused", reason, str(caught.value))
    assert world.envelope.audit.verify().entries == last.seq + 1
    return str(caught.value)


async def test_a_missing_approval_changes_nothing(world: World) -> None:
    await refused(world, await world.propose(), "missing")


Make = Callable[[World, Proposal], Awaitable[None]]


def altered(**fields: Any) -> Make:
    """An approval of alice's with fields changed after she signed it."""

    async def make(world: World, proposal: Proposal) -> None:
        world.approve(proposal, **fields)

    return make


async def signed_by_somebody_else(world: World, proposal: Proposal) -> None:
    new_key(world.state, "mallory")
    put_approval(world.state, world.approval(proposal, name="mallory").model_copy(update={"approver": "alice"}))


async def expired(world: World, proposal: Proposal) -> None:
    world.approve(proposal, expires_s=10)
    await world.clock.advance(10)


async def from_the_future(world: World, proposal: Proposal) -> None:
    world.approve(proposal, now=world.clock.now() + 1)


async def for_longer_than_allowed(world: World, proposal: Proposal) -> None:
    path = world.state / "policy.toml"
    path.write_text(path.read_text().replace("[approvals]", "[approvals]\nmax_age_s = 600"))
    world.approve(proposal, expires_s=601)


async def of_another_preview(world: World, proposal: Proposal) -> None:
    world.approve(proposal, preview_sha256="0" * 64)


async def of_another_plan(world: World, proposal: Proposal) -> None:
    other = world.approval(await world.propose(set_blocks("128")))
    put_approval(world.state, other.model_copy(update={"plan_id": proposal.plan.id}))


async def by_a_key_for_another_cluster(world: World, proposal: Proposal) -> None:
    path = approvers_path(world.state)
    path.write_text(path.read_text().replace('name = "alice"', 'name = "alice"\ncluster = "cluster-2"'))
    world.approve(proposal)


async def by_a_key_that_was_taken_back(world: World, proposal: Proposal) -> None:
    world.approve(proposal)
    revoke(world.state, "alice")


async def used_before(world: World, proposal: Proposal) -> None:
    approval = world.approve(proposal)
    with world.envelope.journal.transaction("test") as db:
        db.execute("INSERT INTO nonces VALUES (?, ?, ?)", (approval.nonce, "chg-" + "e" * 16, 0.0))


WRONG: dict[str, tuple[Make, Reason]] = {
    "no signature": (altered(signature=None), "unsigned"),
    "as if by policy": (altered(method="policy", attested="policy", signature=None), "unsigned"),
    "as if elicited": (altered(method="elicitation", attested="host", signature=None), "unsigned"),
    "signed and elicited": (altered(method="elicitation", attested="host"), "unsigned"),
    "made to last longer": (altered(expires="2099-01-01T00:00:00.000Z"), "forged"),
    "another nonce": (altered(nonce="0" * 32), "forged"),
    "short signature": (altered(signature="AAAA"), "forged"),
    "no base64": (altered(signature="not base64!"), "forged"),
    "no dates": (altered(issued="yesterday"), "forged"),
    "another's signature": (signed_by_somebody_else, "forged"),
    "another plan": (of_another_plan, "forged"),
    "another name": (altered(approver="mallory"), "unknown_approver"),
    "a key taken back": (by_a_key_that_was_taken_back, "unknown_approver"),
    "another cluster": (by_a_key_for_another_cluster, "other_cluster"),
    "another preview": (of_another_preview, "other_preview"),
    "expired": (expired, "expired"),
    "from the future": (from_the_future, "future"),
    "longer than allowed": (for_longer_than_allowed, "expired"),
    "used before": (used_before, "replayed"),
}


@pytest.mark.parametrize("how", WRONG)
@pytest.mark.parametrize("needed", [1, 2])
async def test_an_approval_that_does_not_count_writes_nothing_and_the_audit_says_why(
    world: World, how: str, needed: int
) -> None:
    make, reason = WRONG[how]
    (world.state / "policy.toml").write_text(f"[approvals]\n\n[approvals.change]\npeople = {needed}\n")
    proposal = await world.propose()
    if needed == 1:
        await make(world, proposal)
        await refused(world, proposal, reason)
        return
    # Beside an approval that counts, the wrong one is still none, and what is wrong with it is said.
    new_key(world.state, "bob")
    await make(world, proposal)
    world.approve(proposal, name="bob", expires_s=300)
    said = await refused(world, proposal, "missing")
    assert "bob approved, so 1 must still sign" in said
    assert reason == "other_preview" or "not counted: " in said


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


# Four eyes


@pytest.fixture
def two(world: World) -> World:
    """Return a world whose policy wants two signatures, with three people who may sign."""
    (world.state / "policy.toml").write_text("[approvals.change]\npeople = 2\n")
    for name in ("bob", "carol"):
        new_key(world.state, name)
    return world


@pytest.mark.parametrize("names", [("alice", "bob"), ("bob", "alice"), ("alice", "bob", "carol")], ids="-".join)
async def test_two_people_approve_in_any_order_and_a_third_does_not_hurt(two: World, names: tuple[str, ...]) -> None:
    proposal = await two.propose()
    given: list[Approval] = []
    for name in names:
        given.append(two.approve(proposal, name=name))
        await two.clock.advance(1)
    change = await two.envelope.apply(proposal.plan.id)
    assert await two.settle(change.change_id) == "verified"
    assert change.approval is not None
    assert [change.approval, *change.further] == given
    assert {two.envelope.journal.spent_by(one.nonce) for one in given} == {change.change_id}
    (applying,) = [entry for entry in entries(two.envelope.audit.path) if entry.kind == "applying"]
    assert applying.body["approvers"] == list(names)


async def test_one_person_twice_is_not_two(two: World) -> None:
    proposal = await two.propose()
    two.approve(proposal)
    two.approve(proposal)
    assert "alice approved, so 1 must still sign" in await refused(two, proposal, "missing")


async def test_two_people_who_looked_at_different_previews_have_not_approved_one_plan(two: World) -> None:
    proposal = await two.propose()
    two.approve(proposal)
    two.approve(proposal, name="bob", preview_sha256="0" * 64)
    await refused(two, proposal, "missing")


async def test_two_names_for_one_key_are_no_two_people(two: World) -> None:
    path = approvers_path(two.state)
    alice = next(line for line in path.read_text().splitlines() if line.startswith("public_key"))
    lines = path.read_text() + f'\n[[principal]]\nname = "alias"\n{alice}\n'
    path.write_text(lines)
    proposal = await two.propose()
    two.approve(proposal)
    with pytest.raises(KeyFileError, match="alice and alias have one key"):
        await two.envelope.apply(proposal.plan.id)
    assert two.cluster.writes == []


async def test_when_one_nonce_of_two_was_used_neither_is_spent(two: World) -> None:
    proposal = await two.propose()
    nonces = [two.approve(proposal, name=name).nonce for name in ("alice", "bob")]
    change = await two.envelope.apply(proposal.plan.id)
    fresh = "9" * 32
    with pytest.raises(RefusedChangeError):
        two.open().journal.begin(
            change.model_copy(update={"change_id": "chg-" + "f" * 16}),
            now=two.clock.now(),
            nonces=[fresh, nonces[1]],
            targets=[],
            expected={},
        )
    assert two.envelope.journal.spent_by(fresh) is None


async def test_the_class_says_how_many(world: World) -> None:
    (world.state / "policy.toml").write_text("[approvals.dangerous]\npeople = 2\n")
    plain, dangerous = await world.propose(), await world.propose(scale(replicas=0))
    world.approve(plain)
    world.approve(dangerous)
    await refused(world, dangerous, "missing")
    change = await world.envelope.apply(plain.plan.id)
    assert await world.settle(change.change_id) == "verified"
