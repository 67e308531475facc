"""The audit of the lab: every write, by whomever, in order (CONTRACTS §9). The independent witness for tests."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from midwatch_contracts.clock import Clock
from midwatch_contracts.entity import Entity
from midwatch_contracts.times import rfc3339
from midwatch_lab.access.user import User
from midwatch_lab.store.journal import AUDITED, Journal, NoJournal


@dataclass(frozen=True)
class Origin:
    """Where a write comes from: who, as which field manager, by which verb and request path."""

    principal: str
    verb: str
    path: str
    manager: str = "unknown"
    dry_run: bool = False
    subresource: str = ""
    user: User | None = None
    """Who asked by the API; None for the lab itself, whose rights nobody asks about."""


@dataclass
class Audit:
    """An append-only list of writes; the oldest are dropped once there are 200,000, which `seq` shows."""

    clock: Clock
    journal: Journal = field(default_factory=NoJournal)
    _entries: deque[dict[str, Any]] = field(default_factory=lambda: deque[dict[str, Any]](maxlen=AUDITED))
    _seq: int = 0

    def entry(self, origin: Origin, entity: Entity, before: str | None, after: str | None) -> dict[str, Any]:
        """Return the next entry; the hashes are SHA-256 of the object, None where there is none."""
        return {
            "seq": self._seq + 1,
            "at": rfc3339(self.clock.now()),
            "principal": origin.principal,
            "verb": origin.verb,
            "object": str(entity),
            "path": origin.path,
            "dry_run": origin.dry_run,
            "sha256_before": before,
            "sha256_after": after,
        }

    def append(self, origin: Origin, entity: Entity, before: str | None, after: str | None) -> None:
        """Record what changes no object of the store: a dry run, a stream into a pod, an update that was none."""
        entry = self.entry(origin, entity, before, after)
        self.journal.write(None, entry)
        self.keep((entry,))

    def keep(self, entries: Iterable[dict[str, Any]]) -> None:
        """Take entries that the journal has."""
        for entry in entries:
            self._entries.append(entry)
            self._seq = int(entry["seq"])

    def entries(self, after: int = 0) -> list[dict[str, Any]]:
        """Return the entries whose `seq` is above `after`, oldest first."""
        return [entry for entry in self._entries if entry["seq"] > after]
