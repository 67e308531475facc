"""The audit of the envelope: `<state>/audit.jsonl`, one line a decision or step, each bound to the one before it."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from midwatch_contracts.canonical import canonical_bytes
from midwatch_contracts.clock import Clock
from midwatch_contracts.errors import ContractError
from midwatch_contracts.evidence import LedgerEntry, verify_chain
from midwatch_contracts.times import rfc3339
from midwatch_mcp.files import locked
from midwatch_mcp.safe_apply.errors import AuditError


class Audit:
    """Appends to the chain. Several processes may: each append holds the file's lock and reads the last line."""

    def __init__(self, state: Path, clock: Clock) -> None:
        self.path = state / "audit.jsonl"
        self._lock = state / "locks" / "audit.lock"
        self._clock = clock

    def append(self, kind: str, *, run: str, step: str | None = None, body: Mapping[str, Any]) -> LedgerEntry:
        """Add one entry, on disk before this returns. `run` is the change's or the plan's id.

        Raises:
            AuditError: the last line cannot be read; nothing is then written, and the caller must not go on.
        """
        with locked(self._lock, wait=True):
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                previous = _last(descriptor, self.path)
                entry = LedgerEntry.chained(
                    previous,
                    at=rfc3339(self._clock.now()),
                    run=run,
                    step=step,
                    kind=kind,
                    evidence=None,
                    body=body,
                )
                os.lseek(descriptor, 0, os.SEEK_END)
                os.write(descriptor, canonical_bytes(entry) + b"\n")
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        return entry


_TAIL_BYTES = 1 << 20


def _last(descriptor: int, path: Path) -> LedgerEntry | None:
    """Return the last whole entry; cut off a line without an end, which a crash left and nobody was told of."""
    size = os.lseek(descriptor, 0, os.SEEK_END)
    start = max(0, size - _TAIL_BYTES)
    tail = os.pread(descriptor, size - start, start)
    end = tail.rfind(b"\n") + 1
    if end != len(tail):
        os.ftruncate(descriptor, start + end)
    lines = tail[:end].splitlines()
    if not lines:
        if start:
            raise AuditError(f"the last line of {path} is longer than {_TAIL_BYTES} bytes: it was not written by us")
        return None
    try:
        return LedgerEntry.model_validate_json(lines[-1])
    except ValidationError as error:
        raise AuditError(f"the last line of {path} is no entry: run `midwatch audit verify`") from error


def entries(path: Path) -> Iterator[LedgerEntry]:
    """Yield the entries of an audit log.

    Raises:
        AuditError: names the first line that is no entry.
    """
    if not path.exists():
        return
    with path.open("rb") as stream:
        for number, line in enumerate(stream, 1):
            if not line.endswith(b"\n"):
                return  # a crash in the middle of a line that nobody was told of; the next append cuts it off
            try:
                yield LedgerEntry.model_validate_json(line)
            except ValidationError as error:
                raise AuditError(f"line {number} of {path} is no entry: it was changed") from error


def verify(path: Path) -> int:
    """Check the whole chain and return the number of entries.

    Raises:
        AuditError: names the first entry that does not fit.
    """
    try:
        return verify_chain(entries(path))
    except ContractError as error:
        raise AuditError(f"{path}: {error}") from error
