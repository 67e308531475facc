"""Range vectors: for every series and step, which samples lie in the window `(t - range, t]`.

The samples of all series stand behind each other in two flat arrays; a window is a slice `[low, high)` of them. Range
functions work on all windows at once.
"""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from midwatch_lab.metrics.engine.deadline import Deadline
from midwatch_lab.metrics.engine.values import Bools, Floats, Ints, Vector, stale_mask
from midwatch_lab.metrics.errors import LimitError
from midwatch_lab.metrics.labels import Labels
from midwatch_lab.metrics.store import Series

_MAX_RANKS = 100_000
"""A day of samples at one a second; what is longer would hold up the event loop for seconds."""


@dataclass
class Marks:
    """The range proper of windows that reach beyond it by the lookback: `starts` and `ends` (ms), of length T.

    S by T, `after` is the flat index after the last sample at or before the start, and `until` that of the first sample
    at or after the end; both lie within the window.
    """

    starts: Ints
    ends: Ints
    after: Ints
    until: Ints


@dataclass
class Windows:
    """`times` (ms) and `values` are flat; `low` and `high` are S by T; `starts` and `ends` (ms) are of length T."""

    labels: list[Labels]
    times: Ints
    values: Floats
    low: Ints
    high: Ints
    starts: Ints
    ends: Ints
    range_ms: int
    deadline: Deadline
    marks: Marks | None = None
    """For `anchored` and `smoothed`."""

    @property
    def count(self) -> Ints:
        """The number of samples in each window."""
        return self.high - self.low

    def last(self) -> tuple[Ints, Bools]:
        """Return the index of each window's last sample (0 where there is none), and where there is one."""
        return np.maximum(self.high - 1, 0), self.high > self.low

    def expand(self, chosen: Bools) -> tuple[Ints, Ints]:
        """Return (flat sample index, number of the chosen window) for every sample of the chosen windows, in order."""
        low, count = self.low[chosen], (self.high - self.low)[chosen]
        owner = np.repeat(np.arange(len(low)), count)
        begin = np.repeat(np.cumsum(count) - count, count)
        return np.repeat(low, count) + np.arange(len(owner)) - begin, owner

    def ranks(self, chosen: Bools) -> "list[tuple[Ints, Ints]]":
        """Return, for k = 0, 1, …, (windows that have a k-th sample, its flat index), counted among the chosen ones.

        For sums that must be added in order: one vector operation adds the k-th sample of every window.

        Raises:
            LimitError: when a window holds too many samples for that.
        """
        low, count = self.low[chosen], (self.high - self.low)[chosen]
        if count.max(initial=0) > _MAX_RANKS:
            raise LimitError(f"a window holds {count.max()} samples to be added in order; {_MAX_RANKS} are allowed")
        found: list[tuple[Ints, Ints]] = []
        for rank in self.deadline.over(range(int(count.max(initial=0)))):
            owners = np.flatnonzero(count > rank)
            found.append((owners, low[owners] + rank))
        return found


def from_series(
    series: Sequence[Series],
    bounds: tuple[Ints, Ints],
    deadline: Deadline,
    *,
    keep_stale: bool,
    inner: tuple[Ints, Ints] | None = None,
) -> Windows:
    """Return the windows `(start, end]` over stored series; staleness markers count only for `keep_stale`.

    `inner` are the bounds of the range proper, where the windows reach beyond it.
    """
    starts, ends = bounds
    after, until = int(starts.min()), int(ends.max())
    times, values = array("q"), array("d")
    counts: list[int] = []
    labels: list[Labels] = []
    for one in deadline.over(series):
        found_times, found_values = one.between(after, until)
        if found_times:
            times.extend(found_times)
            values.extend(found_values)
            counts.append(len(found_times))
            labels.append(one.labels)
    flat_times = np.array(times, dtype=np.int64)
    flat_values = np.array(values, dtype=np.float64)
    owners = np.repeat(np.arange(len(counts)), np.array(counts, dtype=np.int64))
    if not keep_stale:
        stale = stale_mask(flat_values)
        if stale.any():
            fresh = ~stale
            flat_times, flat_values, owners = flat_times[fresh], flat_values[fresh], owners[fresh]
    return _sliced((labels, owners), (flat_times, flat_values), bounds, deadline, inner)


def from_vector(vector: Vector, at: Ints, bounds: tuple[Ints, Ints], deadline: Deadline) -> Windows:
    """Return the windows over a vector evaluated at the times `at` (a subquery)."""
    owners, columns = np.nonzero(vector.present)
    return _sliced((vector.labels, owners), (at[columns], vector.values[owners, columns]), bounds, deadline, None)


def _sliced(
    series: tuple[list[Labels], Ints],
    samples: tuple[Ints, Floats],
    bounds: tuple[Ints, Ints],
    deadline: Deadline,
    inner: tuple[Ints, Ints] | None,
) -> Windows:
    """Find every window by one search over (series, time) pairs folded into single integers."""
    (labels, owners), (starts, ends), (times, values) = series, bounds, samples
    base, span = int(starts.min()), int(ends.max() - starts.min()) + 2
    keys = owners * span + (times - base)
    firsts = (np.arange(len(labels)) * span)[:, None]

    def search(at: Ints, side: Literal["left", "right"]) -> Ints:
        return np.searchsorted(keys, firsts + (at - base)[None, :], side=side)

    low, high = search(starts, "right"), search(ends, "right")
    range_ms = int(ends[0] - starts[0]) if len(ends) else 0
    if inner is None:
        return Windows(labels, times, values, low, high, starts, ends, range_ms, deadline)
    marks = Marks(*inner, search(inner[0], "right"), search(inner[1], "left"))
    return Windows(labels, times, values, low, high, starts, ends, int(inner[1][0] - inner[0][0]), deadline, marks)
