"""The fuse that ends a run at a chosen step: a kill of the process, told to every part of it at once."""

import sqlite3
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass

from midwatch_contracts.plan import Target
from midwatch_mcp.safe_apply.journal import Journal
from midwatch_mcp.safe_apply.passing import PassingApi
from midwatch_mcp.safe_apply.ports import Snapshot, View, Write


class Killed(BaseException):
    """The process was killed: no handler of the code under test may catch this."""


class Fuse:
    """Counts the steps of a run; at number `at` (from 1) the process is dead, and every later step finds it dead."""

    def __init__(self, at: int | None = None) -> None:
        self.at = at
        self.steps: list[str] = []

    def burn(self, step: str) -> None:
        """Count one step."""
        self.steps.append(step)
        if self.at is not None and len(self.steps) >= self.at:
            raise Killed(step)


class FusedJournal(Journal):
    """A journal whose every transaction is two steps of a fuse: before anything, and once it is on disk."""

    fuse: Fuse = Fuse()

    @contextmanager
    def transaction(self, step: str) -> Generator[sqlite3.Connection]:
        """Burn, write, burn."""
        self.fuse.burn(f"before journal {step}")
        with super().transaction(step) as db:
            yield db
        self.fuse.burn(f"after journal {step}")


@dataclass
class FusedApi(PassingApi):
    """A cluster whose every read and write is two steps of a fuse: before it is sent, and before its answer is seen."""

    fuse: Fuse

    async def read(self, target: Target, view: View = "state") -> Snapshot:
        """Burn, read, burn."""
        self.fuse.burn("before read")
        found = await super().read(target, view)
        self.fuse.burn("after read")
        return found

    async def write(self, target: Target, write: Write, *, read: Snapshot, dry_run: bool) -> Snapshot:
        """Burn, write, burn."""
        verb = "dry run" if dry_run else "write"
        self.fuse.burn(f"before {verb}")
        found = await super().write(target, write, read=read, dry_run=dry_run)
        self.fuse.burn(f"after {verb}")
        return found
