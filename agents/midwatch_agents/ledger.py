"""The ledger of a run: every tool call and every decision, in order, in a chain of hashes (CONTRACTS §3).

`ledger.jsonl` is append-only and 0600. One process writes it at a time (`runs.locked`). A process that was killed in
the middle of a line leaves a tail without a newline: that tail never became an entry, so it is cut off, and an entry of
kind `torn` says so.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from midwatch_agents.errors import LedgerError
from midwatch_contracts.canonical import canonical_bytes, to_jsonable
from midwatch_contracts.clock import Clock
from midwatch_contracts.errors import ContractError
from midwatch_contracts.evidence import LedgerEntry, verify_chain
from midwatch_contracts.times import rfc3339, unix_seconds


def read_ledger(path: Path) -> list[LedgerEntry]:
    """Return the entries of a ledger, verified; a torn last line is left out.

    Raises:
        LedgerError: there is no ledger, or it was changed; names the first entry that does not fit.
    """
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise LedgerError(f"{path}: no ledger: {error.strerror}") from error
    entries: list[LedgerEntry] = []
    try:
        for line in lines[:-1]:
            entries.append(LedgerEntry.model_validate_json(line))  # noqa: PERF401 (the count names the bad line)
    except ValidationError as error:
        raise LedgerError(f"{path}: line {len(entries) + 1} is no ledger entry: the file was changed") from error
    try:
        verify_chain(entries)
    except ContractError as error:
        raise LedgerError(f"{path}: {error}") from error
    return entries


class Ledger:
    """Appends entries to one run's ledger."""

    def __init__(self, path: Path, run: str, clock: Clock) -> None:
        """Open `path` for appending, making it (0600) where it is missing, and verify what is there.

        Raises:
            LedgerError: what is there does not verify.
        """
        self.path = path
        self._run = run
        self._clock = clock
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        torn = self._cut_torn_tail()
        self.entries: list[LedgerEntry] = read_ledger(path)
        self._aliases: dict[str, str] = {}
        for entry in self.entries:
            self._alias(entry)
        if torn:
            self.append("torn", {"bytes": torn})

    def _cut_torn_tail(self) -> int:
        content = self.path.read_bytes()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            os.truncate(self._file, whole)
        return len(content) - whole

    def _alias(self, entry: LedgerEntry) -> None:
        if entry.evidence is not None:
            self._aliases.setdefault(entry.evidence, f"E{len(self._aliases) + 1}")

    @property
    def aliases(self) -> dict[str, str]:
        """`E1`, `E2`, … by evidence id, in the order in which this run first saw each."""
        return dict(self._aliases)

    def append(
        self, kind: str, body: Mapping[str, Any], *, step: str | None = None, evidence: str | None = None
    ) -> LedgerEntry:
        """Write one entry, durably, and return it."""
        entry = LedgerEntry.chained(
            self.entries[-1] if self.entries else None,
            at=rfc3339(self._clock.now()),
            run=self._run,
            step=step,
            kind=kind,
            evidence=evidence,
            body=to_jsonable(body),
        )
        os.write(self._file, canonical_bytes(entry) + b"\n")
        os.fsync(self._file)
        self.entries.append(entry)
        self._alias(entry)
        return entry

    @property
    def began_at(self) -> float:
        """Unix seconds of the first entry."""
        return unix_seconds(self.entries[0].at) if self.entries else self._clock.now()

    def last(self, kind: str) -> LedgerEntry | None:
        """Return the newest entry of a kind."""
        return next((entry for entry in reversed(self.entries) if entry.kind == kind), None)

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)
