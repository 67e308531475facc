"""The audit of the envelope: `<state>/audit.jsonl`, one line a decision or step, each bound to the one before it.

The journal keeps how many lines there are and the hash of the last, written after each line. So a changed byte, a cut
tail and a moved line show; one line more than the journal knows is what a crash between the two leaves, and the next
append takes it in. A line of a step that the journal made is owed by it (owed.py) and written before any other; where
another process than the step's writes it, it says when the step was. Whoever can write both files can write both anew:
against that, keep the last hash elsewhere.
"""

import contextlib
import hashlib
import os
from collections.abc import Generator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from midwatch_contracts.canonical import canonical_bytes, sha256_hex
from midwatch_contracts.clock import Clock
from midwatch_contracts.errors import ContractError
from midwatch_contracts.evidence import GENESIS, LedgerEntry
from midwatch_contracts.times import rfc3339
from midwatch_mcp.errors import ServersError
from midwatch_mcp.files import locked
from midwatch_mcp.redact import harmless
from midwatch_mcp.safe_apply.audit_book import AuditBook, AuditHead
from midwatch_mcp.safe_apply.audit_log import Verified, audit_path, head_of, verify_log
from midwatch_mcp.safe_apply.errors import AuditError, reason_of
from midwatch_mcp.safe_apply.journal import Journal
from midwatch_mcp.safe_apply.owed import Line, Owed

_TAIL_BYTES = 1 << 20
_BODY_BYTES = 1 << 16
_KEPT_BYTES = 2_000
_WHAT_TO_DO = "`midwatch audit verify` says what is wrong; `midwatch audit restart REASON` keeps both and begins anew"


class Audit:
    """Appends to the chain. Several processes may: each append holds the file's lock and reads the last line."""

    def __init__(self, state: Path, clock: Clock, journal: Journal) -> None:
        self.path = audit_path(state)
        self._lock = state / "locks" / "audit.lock"
        self._clock = clock
        self._book = AuditBook(journal)

    def append(self, kind: str, *, run: str, step: str | None = None, body: Mapping[str, Any]) -> LedgerEntry:
        """Add one entry, on disk before this returns. `run` is the change's or the plan's id.

        Raises:
            AuditError: the log is not the one that the journal knows; nothing is then written, and the caller must not
                go on.
        """
        with locked(self._lock, wait=True):
            self._tell(None)
            return self._append(Line(kind, run, body), step=step)

    def tell(self, run: str | None = None) -> None:
        """Write the lines that the journal owes. Those of `run` are the caller's own, the others come late.

        Raises:
            AuditError: as `append`; the lines stay owed.
        """
        with locked(self._lock, wait=True):
            self._tell(run)

    def check(self) -> None:
        """Check that the log is the one that the journal knows, where a line is to follow a step that counts at once.

        Raises:
            AuditError: it is not; the step must not be made.
        """
        with locked(self._lock, wait=True), self._opened() as descriptor:
            self._take_in(_last(descriptor, self.path)[0])

    def _tell(self, run: str | None) -> None:
        if not self._book.owed():
            return
        with self._opened() as descriptor:
            # A crash may have come after the line of the first of them: that one is owed no more.
            self._take_in(_last(descriptor, self.path)[0])
        for owed in self._book.owed():
            line = owed.line if owed.line.run == run else _late(owed)
            self._append(line, paid=(owed,))

    @contextlib.contextmanager
    def refusals(self, what: str, run: str) -> Generator[None]:
        """Write to the log whatever is not done inside of this, with the reason."""
        try:
            yield
        except AuditError:
            raise  # the very log that would tell of it
        except (ServersError, ContractError) as error:
            body = {"what": what, "reason": reason_of(error), "says": harmless(str(error))}
            self.append("refused", run=run, body=body)
            raise

    @contextlib.contextmanager
    def _opened(self) -> Generator[int]:
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def _append(self, line: Line, *, step: str | None = None, paid: Sequence[Owed] = ()) -> LedgerEntry:
        with self._opened() as descriptor:
            previous, end = _last(descriptor, self.path)
            self._take_in(previous)
            entry = LedgerEntry.chained(
                previous,
                at=rfc3339(self._clock.now()),
                run=line.run,
                step=step,
                kind=line.kind,
                evidence=None,
                body=_short(line.body),
            )
            os.ftruncate(descriptor, end)  # a line without an end, which a crash left and nobody was told of
            os.lseek(descriptor, end, os.SEEK_SET)
            _write_all(descriptor, canonical_bytes(entry) + b"\n")
            os.fsync(descriptor)
        self._book.keep(head_of(entry), paid)
        return entry

    def _take_in(self, last: LedgerEntry | None) -> None:
        """Make the journal know the last line of the log, if that is what a crash or an older Midwatch left."""
        head, found = self._book.head(), head_of(last)
        if head == found:
            return
        if head is not None and (last is None or not _follows(last, head)):
            raise AuditError(
                f"{self.path} is not the log that the journal knows ({head.entries} lines; the log ends with line "
                f"{found.entries}), so nothing is done: {_WHAT_TO_DO}"
            )
        if head is None:
            verify_log(self.path, None, self.path.stat().st_size)
        self._book.keep(found, [owed for owed in self._book.owed()[:1] if last is not None and _tells(last, owed)])

    def verify(self) -> Verified:
        """Check every line, the chain, and the length.

        Raises:
            AuditError: names the first line that does not fit, and what is wrong with it.
        """
        with locked(self._lock, wait=True):
            head = self._book.head()
            size = self.path.stat().st_size if self.path.exists() else 0
            owed = len(self._book.owed())
        found = verify_log(self.path, head, size)
        return replace(found, owed=max(0, owed - found.beyond))

    def restart(self, reason: str) -> Path | None:
        """Move the log aside and begin a new one, whose first line tells the reason and what was there.

        Returns where the old one is, or None where there was none.
        """
        with locked(self._lock, wait=True):
            head = self._book.head()
            size = self.path.stat().st_size if self.path.exists() else 0
            try:
                found = f"{verify_log(self.path, head, size).entries} lines, intact"
            except AuditError as error:
                found = str(error)
            aside = self.path.with_name(f"audit-{rfc3339(self._clock.now()).replace(':', '')}.jsonl")
            kept = aside if self.path.exists() else None
            if kept is not None:
                # A second one within a millisecond must not take the place of the first.
                os.link(self.path, aside)
                self.path.unlink()
            self._book.keep(AuditHead(0, GENESIS))
            known = None if head is None else {"entries": head.entries, "sha256": head.sha256}
            body = {"reason": reason, "found": found, "journal_knew": known, "kept": kept.name if kept else None}
            self._append(Line("restarted", "-", body))
        return kept


def _short(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a body that fits a line: what a caller sent is told by its hash where it is long.

    A line beyond what an append reads back would stop every later one, and with it the undo of a change.
    """
    content = canonical_bytes(body)
    if len(content) <= _BODY_BYTES:
        return body
    kept = {key: item for key, item in body.items() if len(canonical_bytes(item)) <= _KEPT_BYTES}
    beginning = content[:_KEPT_BYTES].decode("utf-8", errors="replace")
    return {**kept, "cut": {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content), "begins": beginning}}


def _late(owed: Owed) -> Line:
    """Return a line that says when what it tells of happened."""
    return owed.line._replace(body={**owed.line.body, "late": {"at": rfc3339(owed.at)}})


def _tells(entry: LedgerEntry, owed: Owed) -> bool:
    """Say whether an entry is the line that is owed."""
    forms = [_short(line.body) for line in (owed.line, _late(owed))]
    return (entry.kind, entry.run) == owed.line[:2] and entry.body in forms


def _write_all(descriptor: int, content: bytes) -> None:
    while content:
        content = content[os.write(descriptor, content) :]


def _follows(entry: LedgerEntry, head: AuditHead) -> bool:
    return (entry.seq, entry.prev_sha256) == head and sha256_hex(entry.model_dump(exclude={"sha256"})) == entry.sha256


def _last(descriptor: int, path: Path) -> tuple[LedgerEntry | None, int]:
    """Return the last whole line as an entry, and where it ends."""
    size = os.lseek(descriptor, 0, os.SEEK_END)
    start = max(0, size - _TAIL_BYTES)
    tail = os.pread(descriptor, size - start, start)
    end = tail.rfind(b"\n") + 1
    if not end:
        if start:
            raise AuditError(f"the last line of {path} is longer than any of ours: {_WHAT_TO_DO}")
        return None, 0
    line = tail[tail.rfind(b"\n", 0, end - 1) + 1 : end - 1]
    try:
        return LedgerEntry.model_validate_json(line), start + end
    except ValidationError as error:
        raise AuditError(f"the last line of {path} is no entry, so nothing is done: {_WHAT_TO_DO}") from error
