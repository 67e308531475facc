"""Where writes go before they count: nowhere (the lab lives in memory), or into a file (`sqlite.py`)."""

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from midwatch_lab.objects import Object
from midwatch_lab.store.changes import Change, Key, Place

HISTORY: Final = 20_000
"""Changes that are kept for watches and for lists at an older version."""
AUDITED: Final = 200_000
"""Entries of the audit that are kept."""


@dataclass
class Saved:
    """What an earlier life left: the objects, the newest changes to them, and the audit."""

    version: int = 1
    forgotten: int = 0
    """The newest version whose change is kept no more."""
    objects: dict[Key, dict[Place, Object]] = field(default_factory=lambda: defaultdict[Key, dict[Place, Object]](dict))
    history: list[Change] = field(default_factory=list[Change])
    entries: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])


class Journal(Protocol):
    """Keeps what is written."""

    def load(self) -> Saved:
        """Return what is kept."""
        ...

    def write(self, change: Change | None, entry: dict[str, Any]) -> None:
        """Keep a change and its entry in the audit, both or neither; None where an entry stands for itself.

        Raises:
            ApiError: 500 when it cannot; then nothing is kept.
        """
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


@dataclass
class NoJournal:
    """Keeps nothing: what the store has in memory is all there is."""

    begin: Saved = field(default_factory=Saved)
    """What the store starts from."""

    def load(self) -> Saved:
        """Return the beginning."""
        return self.begin

    def write(self, change: Change | None, entry: dict[str, Any]) -> None:
        """Keep nothing."""

    def close(self) -> None:
        """Let go of nothing."""
