"""Reading the audit of the envelope: every line, the chain through them, and what the journal knows of its length."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from midwatch_contracts.canonical import canonical_bytes, sha256_hex
from midwatch_contracts.evidence import GENESIS, LedgerEntry
from midwatch_mcp.safe_apply.audit_book import AuditHead
from midwatch_mcp.safe_apply.errors import AuditError


def audit_path(state: Path) -> Path:
    """Return where the log is."""
    return state / "audit.jsonl"


@dataclass(frozen=True)
class Verified:
    """A log that holds."""

    entries: int
    sha256: str
    """Hash of the last line; keep it elsewhere to hold a later log against."""
    beyond: bool = False
    """Whether a crash left one line that the journal does not know of yet."""
    known: bool = True
    """Whether the journal knows how long the log is: not yet, where both are from an earlier Midwatch."""
    owed: int = 0
    """Lines of steps that the journal made and that a crash kept out of the log; the next entry brings them."""


def head_of(last: LedgerEntry | None) -> AuditHead:
    """Return what a journal knows of a log that ends with this line."""
    return AuditHead(0, GENESIS) if last is None else AuditHead(last.seq + 1, last.sha256)


def numbered(path: Path, size: int | None = None) -> Iterator[tuple[int, bytes]]:
    """Yield (number from 1, line without its end) of the whole lines of a log, of its first `size` bytes if given."""
    if not path.exists():
        return
    left = path.stat().st_size if size is None else size
    with path.open("rb") as stream:
        for number, line in enumerate(stream, 1):
            left -= len(line)
            if left < 0 or not line.endswith(b"\n"):
                return  # a crash in the middle of a line that nobody was told of; the next append cuts it off
            yield number, line[:-1]


def entries(path: Path) -> Iterator[LedgerEntry]:
    """Yield the entries of an audit log.

    Raises:
        AuditError: names the first line that is no entry.
    """
    for number, line in numbered(path):
        yield _entry(path, number, line)


def _entry(path: Path, number: int, line: bytes) -> LedgerEntry:
    """Return a line as an entry. It must be the very bytes that were written: other JSON of the same value is not."""
    try:
        entry = LedgerEntry.model_validate_json(line)
    except ValidationError as error:
        raise AuditError(f"line {number} of {path} was changed: it is no entry", line=number) from error
    if canonical_bytes(entry) != line or sha256_hex(entry.model_dump(exclude={"sha256"})) != entry.sha256:
        raise AuditError(f"line {number} of {path} was changed: its hash does not match its content", line=number)
    return entry


def verify_alone(path: Path) -> int:
    """Check the chain of a log without its journal, and return its length; whether its tail is whole stays unknown.

    Raises:
        AuditError: names the first line that does not fit, and what is wrong with it.
    """
    return verify_log(path, None, path.stat().st_size).entries


def verify_log(path: Path, head: AuditHead | None, size: int) -> Verified:
    """Check the first `size` bytes of a log against its own chain, and its length against what the journal knows.

    Raises:
        AuditError: names the first line that does not fit, and what is wrong with it.
    """
    previous: LedgerEntry | None = None
    for number, line in numbered(path, size):
        entry = _entry(path, number, line)
        if (entry.seq, entry.prev_sha256) != head_of(previous):
            where = f"it holds entry {entry.seq + 1}" if entry.seq != number - 1 else "it names another line before it"
            raise AuditError(
                f"line {number} of {path} does not follow the line before it ({where}): lines were moved, put in or "
                "taken out",
                line=number,
            )
        if head is not None and number == head.entries and entry.sha256 != head.sha256:
            raise AuditError(
                f"line {number} of {path} is not the line that the journal knows as its number {number}: the log was "
                "written anew",
                line=number,
            )
        previous = entry
    found = head_of(previous)
    if head is None:
        return Verified(found.entries, found.sha256, known=False)
    if found.entries < head.entries:
        why = "its tail was cut off" if found.entries else f"{path.name} was removed or emptied"
        raise AuditError(
            f"{path} has {found.entries} lines, and the journal knows of {head.entries}: {why}", line=found.entries + 1
        )
    if found.entries > head.entries + 1:
        raise AuditError(
            f"{path} has {found.entries} lines, and the journal knows of {head.entries}: lines were added, or the "
            "journal is not the one that belongs to it (was changes.sqlite removed, or an old copy put back?)",
            line=head.entries + 1,
        )
    return Verified(found.entries, found.sha256, beyond=found.entries > head.entries)
