"""A histogram cheap enough to be told every token: a binary search and two additions, no lock, no label lookup.

It belongs to one thread, the event loop's, which also reads it; so a reading is never torn.
"""

from bisect import bisect_left
from itertools import accumulate

from midwatch_serving.buckets import Boundaries


class Histogram:
    """Counts by bucket, and the sum of what was observed."""

    __slots__ = ("_boundaries", "_counts", "sum")

    def __init__(self, boundaries: Boundaries) -> None:
        """`boundaries` are the inclusive upper ends of the buckets, increasing; one without an end follows."""
        self._boundaries = boundaries
        self._counts = [0] * (len(boundaries) + 1)
        self.sum = 0.0

    def observe(self, value: float, times: int = 1) -> None:
        """Book a value, as often as it came."""
        self._counts[bisect_left(self._boundaries, value)] += times
        self.sum += value * times

    def cumulative(self) -> list[int]:
        """Return how many values were at most each boundary, and last how many there were."""
        return list(accumulate(self._counts))
