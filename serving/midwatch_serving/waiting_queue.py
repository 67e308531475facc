"""The queue of those that wait, in the order of service that their ranks give."""

import heapq
from collections.abc import Callable, Iterable, Iterator
from itertools import count, pairwise

from midwatch_serving.errors import IntegrityError
from midwatch_serving.sequence import Sequence

_SLACK = 64
"""Entries of sequences that are gone, which a heap may carry beside as many live ones."""


class WaitingQueue:
    """A heap by rank. Whoever leaves from the middle is only struck out, and dropped when the heap comes to it."""

    def __init__(self) -> None:
        self._heap: list[tuple[tuple[int, int], int, Sequence]] = []
        self._entry_of: dict[str, int] = {}
        self._entries = count()

    def __len__(self) -> int:
        """Return how many wait."""
        return len(self._entry_of)

    def __iter__(self) -> Iterator[Sequence]:
        """Go through those that wait, first in service first."""
        return (sequence for _, entry, sequence in sorted(self._heap) if self._is_live(entry, sequence))

    @property
    def first(self) -> Sequence:
        """Who is next. The queue must not be empty."""
        while not self._is_live(*self._heap[0][1:]):
            heapq.heappop(self._heap)
        return self._heap[0][2]

    @property
    def num_entries(self) -> int:
        """Those that wait, and those that left and are still to be dropped."""
        return len(self._heap)

    def push(self, sequence: Sequence) -> None:
        """Add a sequence in the place of its rank."""
        entry = self._entry_of[sequence.id] = next(self._entries)
        heapq.heappush(self._heap, (sequence.rank, entry, sequence))

    def pop(self) -> Sequence:
        """Take out who is next. The queue must not be empty."""
        first = self.first
        heapq.heappop(self._heap)
        del self._entry_of[first.id]
        return first

    def remove(self, sequence: Sequence) -> None:
        """Take out a sequence that waits, wherever it stands."""
        del self._entry_of[sequence.id]
        if len(self._heap) > 2 * len(self._entry_of) + _SLACK:
            self._rebuild(self)

    def rank_anew(self, rank: Callable[[Sequence], tuple[int, int]]) -> None:
        """Order the queue by another rank."""
        sequences = list(self)
        for sequence in sequences:
            sequence.rank = rank(sequence)
        self._rebuild(sequences)

    def check_integrity(self) -> None:
        """Check that everyone stands in the place of its rank.

        Raises:
            IntegrityError: when one does not.
        """
        live = list(self)
        if len(live) != len(self._entry_of):
            raise IntegrityError("the queue has lost a sequence, or holds one twice")
        if any(a.rank >= b.rank for a, b in pairwise(live)) or (live and self.first is not live[0]):
            raise IntegrityError("a sequence waits before one that goes first")
        if any(rank != sequence.rank for rank, entry, sequence in self._heap if self._is_live(entry, sequence)):
            raise IntegrityError("the rank of a waiting sequence was changed behind the queue's back")

    def _is_live(self, entry: int, sequence: Sequence) -> bool:
        return self._entry_of.get(sequence.id) == entry

    def _rebuild(self, sequences: Iterable[Sequence]) -> None:
        kept = list(sequences)
        self._heap, self._entry_of = [], {}
        for sequence in kept:
            self.push(sequence)
