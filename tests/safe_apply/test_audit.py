"""The log of changes: what was tampered with shows, and what a crash left does not count as tampering."""

import asyncio
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from midwatch_contracts.clock import VirtualClock
from midwatch_contracts.command import CommandError
from midwatch_mcp import commands
from midwatch_mcp.safe_apply.audit import Audit
from midwatch_mcp.safe_apply.audit_book import AuditBook, AuditHead
from midwatch_mcp.safe_apply.audit_log import audit_path, entries, verify_log
from midwatch_mcp.safe_apply.errors import AuditError, JournalError
from midwatch_mcp.safe_apply.fake_world import World, deployment, set_blocks
from midwatch_mcp.safe_apply.journal import Journal
from midwatch_mcp.safe_apply.schema import VERSION
from safe_apply_desk import Desk

OLD = Path(__file__).parent / "version_1"
LINES = 7


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "changes.sqlite")


@pytest.fixture
def audit(tmp_path: Path, journal: Journal) -> Audit:
    return Audit(tmp_path, VirtualClock(), journal)


def written(audit: Audit, count: int = LINES) -> list[bytes]:
    for number in range(count):
        audit.append("applied", run=f"chg-{number:016x}", body={"says": "größer\n" * (number % 3), "number": number})
    return audit.path.read_bytes().splitlines(keepends=True)


Tamper = Callable[[list[bytes], st.DataObject], bytes]


def change_a_byte(lines: list[bytes], data: st.DataObject) -> bytes:
    content = bytearray(b"".join(lines))
    content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    return bytes(content)


def cut_the_tail(lines: list[bytes], data: st.DataObject) -> bytes:
    content = b"".join(lines)
    return content[: data.draw(st.integers(0, len(content) - 1))]


def swap_two_lines(lines: list[bytes], data: st.DataObject) -> bytes:
    places = st.lists(st.integers(0, len(lines) - 1), min_size=2, max_size=2, unique=True)
    one, other = data.draw(places)
    moved = list(lines)
    moved[one], moved[other] = moved[other], moved[one]
    return b"".join(moved)


def put_a_line_in(lines: list[bytes], data: st.DataObject) -> bytes:
    place = data.draw(st.integers(0, len(lines)))
    line = data.draw(st.sampled_from(lines) | st.binary(max_size=40).map(lambda line: line + b"\n"))
    return b"".join([*lines[:place], line, *lines[place:]])


def take_a_line_out(lines: list[bytes], data: st.DataObject) -> bytes:
    place = data.draw(st.integers(0, len(lines) - 1))
    return b"".join(lines[:place] + lines[place + 1 :])


@pytest.mark.parametrize("how", [change_a_byte, cut_the_tail, swap_two_lines, put_a_line_in, take_a_line_out])
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_is_done_to_the_log_is_found_and_its_line_named(
    how: Tamper, tmp_path: Path, data: st.DataObject
) -> None:
    path = tmp_path / "audit.jsonl"
    if not path.exists():
        with closing(Journal(tmp_path / "changes.sqlite")) as journal:
            written(Audit(tmp_path, VirtualClock(), journal))
    with closing(Journal(tmp_path / "changes.sqlite")) as journal:
        head = AuditBook(journal).head()
    lines = path.read_bytes().splitlines(keepends=True)
    content = how(lines, data)
    other = tmp_path / "tampered"
    other.write_bytes(content)
    with pytest.raises(AuditError) as caught:
        verify_log(other, head, len(content))
    tampered = content.splitlines(keepends=True)
    same = next(
        (n for n, (a, b) in enumerate(zip(lines, tampered, strict=False)) if a != b), min(len(lines), len(tampered))
    )
    assert caught.value.line == same + 1


def test_one_line_beyond_the_head_is_a_crash_and_the_next_entry_takes_it_in(audit: Audit, journal: Journal) -> None:
    lines = written(audit)
    before = AuditHead(LINES - 1, json.loads(lines[-2])["sha256"])
    AuditBook(journal).keep(before)
    assert audit.verify().beyond
    audit.append("applied", run="-", body={})
    found = audit.verify()
    assert (found.entries, found.beyond) == (LINES + 1, False)


def test_what_a_caller_sends_at_length_stands_in_the_log_by_its_hash(audit: Audit) -> None:
    entry = audit.append("refused", run="-", body={"reason": "bad_draft", "says": "x" * 2_000_000})
    assert entry.body["reason"] == "bad_draft"
    assert (entry.body["cut"]["bytes"], len(entry.body["cut"]["sha256"])) == (2_000_032, 64)
    audit.append("applied", run="chg-1", body={})
    assert audit.verify().entries == 2


def test_two_lines_beyond_the_head_are_no_crash(audit: Audit, journal: Journal) -> None:
    lines = written(audit)
    AuditBook(journal).keep(AuditHead(LINES - 2, json.loads(lines[-3])["sha256"]))
    with pytest.raises(AuditError, match=f"has {LINES} lines, and the journal knows of {LINES - 2}"):
        audit.verify()


@pytest.mark.parametrize("cut", [1, 3])
def test_nothing_is_added_to_a_log_whose_tail_was_cut(audit: Audit, cut: int) -> None:
    lines = written(audit)
    left = b"".join(lines[:-cut])
    audit.path.write_bytes(left)
    with pytest.raises(AuditError, match="audit restart"):
        audit.append("applied", run="-", body={})
    assert audit.path.read_bytes() == left


def test_a_line_without_an_end_is_a_crash_and_is_cut_off(audit: Audit) -> None:
    lines = written(audit)
    with audit.path.open("ab") as stream:
        stream.write(b'{"seq": 7, "at"')
    assert audit.verify().entries == LINES
    audit.append("applied", run="-", body={})
    assert audit.verify().entries == LINES + 1
    assert audit.path.read_bytes().startswith(b"".join(lines))
    assert audit.path.stat().st_mode & 0o077 == 0


WRITER = """
import sys
from pathlib import Path
from midwatch_contracts.clock import WallClock
from midwatch_mcp.safe_apply.audit import Audit
from midwatch_mcp.safe_apply.journal import Journal
state = Path(sys.argv[1])
audit = Audit(state, WallClock(), Journal(state / "changes.sqlite"))
for number in range(25):
    audit.append("applied", run=sys.argv[2], body={"number": number})
"""


@pytest.mark.slow
def test_writers_of_several_processes_make_one_chain(tmp_path: Path) -> None:
    words = [sys.executable, "-c", WRITER, str(tmp_path)]
    writers = [subprocess.Popen([*words, f"run-{number}"]) for number in range(4)]
    assert [writer.wait(60) for writer in writers] == [0] * 4
    with closing(Journal(tmp_path / "changes.sqlite")) as journal:
        assert Audit(tmp_path, VirtualClock(), journal).verify().entries == 100
    for number in range(4):
        mine = [one.body["number"] for one in entries(audit_path(tmp_path)) if one.run == f"run-{number}"]
        assert mine == list(range(25))


# The command


def test_verify_says_what_is_wrong_with_which_line(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    desk.propose()
    desk.propose(set_blocks("128"))
    assert desk.run(commands.audit, "verify", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["intact"], told["entries"], told["beyond"]) == (True, 4, False)
    path = audit_path(desk.state)
    content = path.read_bytes()
    assert told["sha256"] in content.decode().splitlines()[-1]
    path.write_bytes(content.replace(b"previewed", b"previewEd", 1))
    with pytest.raises(CommandError, match=r"line 2 .* was changed") as caught:
        desk.run(commands.audit, "verify", "--json")
    assert caught.value.code == 6
    told = json.loads(capsys.readouterr().out)
    assert (told["intact"], told["line"]) == (False, 2)


def test_the_log_without_its_journal_and_the_journal_without_its_log_are_told_apart(desk: Desk) -> None:
    assert desk.run(commands.audit, "verify") == 0
    desk.propose()
    asyncio.run(desk.world.envelope.aclose())
    path, journal = audit_path(desk.state), desk.state / "changes.sqlite"
    kept = path.read_bytes()
    path.unlink()
    with pytest.raises(CommandError, match=r"has 0 lines, and the journal knows of 2: audit\.jsonl was removed"):
        desk.run(commands.audit, "verify")
    path.write_bytes(kept)
    journal.rename(journal.with_suffix(".aside"))
    with pytest.raises(CommandError, match=r"2 lines whose chain holds, but no changes\.sqlite lies beside it"):
        desk.run(commands.audit, "verify")
    assert not journal.exists()
    # A server that starts beside the lone log makes a new journal, which must not pass for the log's own.
    desk.world.envelope = desk.world.open()
    with pytest.raises(AuditError, match="not the log that the journal knows"):
        desk.propose()
    with pytest.raises(CommandError, match="old copy put back"):
        desk.run(commands.audit, "verify")


def test_a_damaged_log_is_kept_and_a_new_one_tells_of_it(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    desk.propose()
    path = audit_path(desk.state)
    damaged = path.read_bytes().replace(b"previewed", b"previewEd", 1)
    path.write_bytes(damaged)
    assert desk.run(commands.audit, "restart", "the disk was full", "--json") == 0
    kept = Path(json.loads(capsys.readouterr().out)["kept"])
    assert kept.read_bytes() == damaged
    (first,) = entries(path)
    assert first.body["reason"] == "the disk was full"
    assert "line 2" in first.body["found"]
    assert first.body["journal_knew"]["entries"] == 2
    desk.propose(set_blocks("128"))
    assert desk.run(commands.audit, "verify") == 0


def test_show_tells_what_belongs_to_a_change(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    done, other = desk.propose(), desk.propose(set_blocks("128"))
    desk.run(commands.change, "approve", done.plan.id, "--deny")
    (record,) = desk.world.envelope.changes()
    capsys.readouterr()
    assert desk.run(commands.audit, "show", "--change", record.change.change_id, "--json") == 0
    shown = json.loads(capsys.readouterr().out)["entries"]
    assert [entry["kind"] for entry in shown] == ["proposed", "previewed", "denied"]
    assert {entry["run"] for entry in shown} == {done.plan.id}
    assert desk.run(commands.audit, "show", "--last", "1") == 0
    assert "denied" in capsys.readouterr().out
    assert desk.run(commands.audit, "show", "--change", other.plan.id[:8]) == 0
    assert "denied" not in capsys.readouterr().out


# Files of an earlier Midwatch


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """Return a state folder that version 1 wrote: a verified change, an approved plan, and one that waits."""
    state = tmp_path / "old"
    shutil.copytree(OLD, state)
    return state


def test_a_journal_of_version_1_is_brought_forward_and_loses_nothing(old: Path) -> None:
    with closing(Journal(old / "changes.sqlite")) as journal:
        assert [record.change.state for record in journal.records()] == ["verified"]
        assert len(journal.plans()) == 3
        assert all(journal.preview(plan.id) is not None for plan, _ in journal.plans())
        (record,) = journal.records()
        approval = record.change.approval
        assert approval is not None
        assert journal.spent_by(approval.nonce) == record.change.change_id
        assert AuditBook(journal).head() is None
        assert not Audit(old, VirtualClock(), journal).verify().known
    with closing(Journal(old / "changes.sqlite")) as again:
        assert len(again.plans()) == 3


def test_the_log_of_version_1_is_taken_in_by_the_next_entry_once_its_chain_holds(old: Path) -> None:
    with closing(Journal(old / "changes.sqlite")) as journal:
        audit = Audit(old, VirtualClock(), journal)
        content = audit.path.read_bytes()
        audit.path.write_bytes(content.replace(b"previewed", b"previewEd", 1))
        with pytest.raises(AuditError, match="line 2"):
            audit.append("applied", run="-", body={})
        audit.path.write_bytes(content)
        audit.append("applied", run="-", body={})
        found = audit.verify()
    assert (found.entries, found.known) == (len(content.splitlines()) + 1, True)


@pytest.mark.anyio
async def test_a_plan_that_was_approved_under_version_1_can_be_applied(old: Path) -> None:
    world = World(old, names=())
    await world.clock.advance(60)
    # As the verified change left it.
    world.cluster.put(deployment(args=["--model=tiny", "--num-gpu-blocks-override=256", "--max-num-seqs", "4"]))
    (waiting,) = [one for one in world.envelope.plans() if one.state == "approved"]
    change = await world.envelope.apply(waiting.plan.id)
    assert await world.settle(change.change_id) == "verified"
    await world.envelope.aclose()


def test_a_journal_of_a_newer_midwatch_is_left_alone(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "changes.sqlite")
    with journal.transaction("newer") as db:
        db.execute(f"PRAGMA user_version={VERSION + 1}")
    journal.close()
    with pytest.raises(JournalError, match="newer Midwatch"):
        Journal(tmp_path / "changes.sqlite")
    (tmp_path / "other.sqlite").write_bytes(b"no database at all, but long enough to be looked at" * 100)
    with pytest.raises(JournalError, match=r"other\.sqlite cannot be read"):
        Journal(tmp_path / "other.sqlite")
