"""Whatever dies between journal and audit, the audit tells of every step once: in time, or late and saying so."""

from collections import Counter
from pathlib import Path
from typing import Literal

import pytest

from midwatch_contracts.plan import TERMINAL_STATES
from midwatch_contracts.times import rfc3339
from midwatch_mcp.questions import Asker, Reply
from midwatch_mcp.safe_apply.audit_book import AuditBook
from midwatch_mcp.safe_apply.audit_log import entries
from midwatch_mcp.safe_apply.errors import AuditError, RefusedChangeError
from midwatch_mcp.safe_apply.fake_world import QUERY, World, scale
from midwatch_mcp.safe_apply.fuse import Fuse, Killed

pytestmark = pytest.mark.anyio

TOLD = {"applying", "applied", "undoing", *TERMINAL_STATES}


def told(world: World) -> Counter[tuple[str, str]]:
    return Counter((one.run, one.kind) for one in entries(world.envelope.audit.path) if one.kind in TOLD)


def made(world: World) -> Counter[tuple[str, str]]:
    """Return the states that the journal made, of those that the audit tells of."""
    journal = world.envelope.journal
    changes = [record.change.change_id for record in journal.records()]
    return Counter((change, step) for change in changes for _, step, _ in journal.steps(change) if step in TOLD)


async def killed_at(folder: Path, at: int | None, *, good: bool) -> tuple[World, Fuse]:
    world = World(folder)
    if not good:
        world.metrics.constant(QUERY, 3.0)
    proposal = await world.propose()
    world.approve(proposal)
    fuse = Fuse(at)
    envelope = world.open(fuse=fuse)
    try:
        change = await envelope.apply(proposal.plan.id)
        await envelope.join(proposal.plan.id)
        await world.settle(change.change_id, envelope)
    except Killed:
        pass
    return world, fuse


async def test_a_kill_at_any_step_of_the_journal_keeps_no_line_out_of_the_audit(tmp_path: Path) -> None:
    _, whole = await killed_at(tmp_path / "whole", None, good=False)
    late = 0
    for at, step in enumerate(whole.steps, 1):
        if not step.startswith(("after journal move", "after journal begin", "before journal audit_head")):
            continue
        world, _ = await killed_at(tmp_path / str(at), at, good=False)
        fresh = world.open()
        await fresh.recover()
        assert told(world) == made(world), f"killed {step} (step {at})"
        assert world.envelope.audit.verify().owed == 0
        late += sum("late" in one.body for one in entries(world.envelope.audit.path))
        before = len(list(entries(world.envelope.audit.path)))
        await fresh.recover()
        assert len(list(entries(world.envelope.audit.path))) == before, "told twice"
        for envelope in world.envelopes:
            await envelope.aclose()
            envelope.journal.close()
    assert late


async def ended_untold(folder: Path) -> World:
    """Return a world where a process died once the journal had the end of a change, a minute ago."""
    _, whole = await killed_at(folder / "whole", None, good=True)
    world, _ = await killed_at(folder / "killed", whole.steps.index("after journal move:verified") + 1, good=True)
    (record,) = world.envelope.changes()
    assert record.change.state == "verified"
    await world.clock.sleep(60)
    return world


async def test_a_late_line_says_when_it_happened(tmp_path: Path) -> None:
    world = await ended_untold(tmp_path)
    found = world.envelope.audit.verify()
    assert found.owed == 1
    await world.envelope.recover()
    *_, last = entries(world.envelope.audit.path)
    (record,) = world.envelope.changes()
    assert (last.kind, last.run) == ("verified", record.change.change_id)
    assert record.ended is not None
    assert last.body["late"] == {"at": rfc3339(record.ended)}
    assert last.at == rfc3339(world.clock.now())
    assert found.entries + 1 == world.envelope.audit.verify().entries


async def test_what_is_owed_comes_before_whatever_is_told_next(tmp_path: Path) -> None:
    world = await ended_untold(tmp_path)
    await world.propose(scale())
    kinds = [one.kind for one in entries(world.envelope.audit.path)]
    assert kinds[-3:] == ["verified", "proposed", "previewed"]


async def test_a_line_that_was_written_before_its_head_was_kept_is_owed_no_more(tmp_path: Path) -> None:
    _, whole = await killed_at(tmp_path / "whole", None, good=True)
    ended = whole.steps.index("after journal move:verified")
    at = whole.steps.index("before journal audit_head", ended) + 1
    world, _ = await killed_at(tmp_path / "killed", at, good=True)
    found = world.envelope.audit.verify()
    assert (found.beyond, found.owed) == (True, 0)
    await world.envelope.recover()
    assert told(world) == made(world)
    assert AuditBook(world.envelope.journal).owed() == []


async def test_nothing_is_begun_beside_a_log_that_is_not_the_journals_own(world: World) -> None:
    proposal = await world.propose()
    world.approve(proposal)
    path = world.envelope.audit.path
    path.write_bytes(path.read_bytes().replace(b'"proposed"', b'"propased"') + b"no line\n")
    with pytest.raises(AuditError):
        await world.envelope.apply(proposal.plan.id)
    assert world.envelope.changes() == []
    assert world.cluster.writes == []


@pytest.mark.parametrize(("answer", "kind"), [("yes", "approved"), ("no", "answered")])
async def test_an_answer_that_the_journal_took_is_told_also_after_a_kill(
    world: World, answer: Literal["yes", "no"], kind: str
) -> None:
    proposal = await world.propose()
    fuse = Fuse()
    envelope = world.open(fuse=fuse)
    question = await envelope.question(proposal.plan.id, Asker("sub:ada", can_be_asked=True, again=False))
    assert not isinstance(question, str)
    fuse.at = len(fuse.steps) + 2
    reply = Reply(answer, "sub:ada", question.key)
    with pytest.raises((Killed, RefusedChangeError)):
        await envelope.apply(proposal.plan.id, reply)
    assert fuse.steps[-1] == "after journal answer"
    world.envelope.audit.tell()
    *_, last = entries(world.envelope.audit.path)
    assert (last.kind, last.run) == (kind, proposal.plan.id)
    assert last.body["nonce"] == question.key


async def test_a_plan_that_the_journal_holds_is_told_as_proposed_also_after_a_kill(world: World) -> None:
    fuse = Fuse()
    patient, world.envelope = world.envelope, world.open(fuse=fuse)
    await world.propose()
    fuse.at = len(fuse.steps) + fuse.steps.index("after journal put_plan") + 1
    with pytest.raises(Killed):
        await world.propose(scale())
    assert fuse.steps[-1] == "after journal put_plan"
    patient.audit.tell()
    *_, last = entries(patient.audit.path)
    assert (last.kind, last.run) == ("proposed", patient.journal.plans()[-1][0].id)
