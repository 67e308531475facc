"""Range vectors: for every series and step, which samples lie in the window `(t - range, t]`.

Series whose samples have the same times form a cohort: its windows are found once for all of them. Functions that are
asked often work on cohorts. The others see the samples of all series behind each other in two flat arrays; a window is
a slice `[low, high)` of them, and they work on all windows at once.
"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import numpy as np

from midwatch_lab.metrics.chunks import Piece, Span
from midwatch_lab.metrics.engine.deadline import Deadline
from midwatch_lab.metrics.engine.values import Bools, Floats, Ints, Vector, stale_mask
from midwatch_lab.metrics.errors import LimitError
from midwatch_lab.metrics.labels import Labels
from midwatch_lab.metrics.store import Series

_MAX_RANKS = 100_000
"""A day of samples at one a second; what is longer would hold up the event loop for seconds."""


@dataclass
class Cohort:
    """K series with samples at the same N times: `rows` are their numbers, `values` are K by N."""

    rows: Ints
    times: Ints
    values: Floats

    def fresh(self) -> "list[Cohort]":
        """Return it without staleness markers, as cohorts of those that have them at the same times."""
        stale = stale_mask(self.values)
        if not stale.any():
            return [self]
        alike: dict[bytes, list[int]] = {}
        for number, mask in enumerate(stale):
            alike.setdefault(mask.tobytes(), []).append(number)
        found: list[Cohort] = []
        for members in alike.values():
            kept = ~stale[members[0]]
            found.append(Cohort(self.rows[members], self.times[kept], self.values[members][:, kept]))
        return found


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
    """The windows of S series at T steps; `starts` and `ends` (ms) are of length T."""

    labels: list[Labels]
    cohorts: list[Cohort]
    starts: Ints
    ends: Ints
    range_ms: int
    deadline: Deadline
    marks: Marks | None = None
    """For `anchored` and `smoothed`."""
    begin: Ints | None = field(default=None, repr=False)
    """The flat index of each window's first sample, where that is not the first after its start."""

    @cached_property
    def times(self) -> Ints:
        """The times (ms) of all samples, flat."""
        parts = [np.broadcast_to(cohort.times, cohort.values.shape).ravel() for cohort in self.cohorts]
        return np.concatenate(parts) if parts else np.empty(0, np.int64)

    @cached_property
    def values(self) -> Floats:
        """All samples, flat."""
        parts = [cohort.values.ravel() for cohort in self.cohorts]
        return np.concatenate(parts) if len(parts) > 1 else parts[0] if parts else np.empty(0)

    @cached_property
    def low(self) -> Ints:
        """The flat index of each window's first sample, S by T."""
        return self.search(self.starts, "right") if self.begin is None else self.begin

    @cached_property
    def high(self) -> Ints:
        """The flat index behind each window's last sample, S by T."""
        return self.search(self.ends, "right")

    @property
    def count(self) -> Ints:
        """The number of samples in each window."""
        return self.high - self.low

    def search(self, at: Ints, side: Literal["left", "right"]) -> Ints:
        """Return, for each series, the flat index of its first sample at (`left`) or after (`right`) each time."""
        found = np.empty((len(self.labels), len(at)), dtype=np.int64)
        base = 0
        for cohort in self.deadline.over(self.cohorts):
            size = len(cohort.times)
            firsts = base + np.arange(len(cohort.rows), dtype=np.int64) * size
            found[cohort.rows] = firsts[:, None] + np.searchsorted(cohort.times, at, side=side)
            base += len(cohort.rows) * size
        return found

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


@dataclass(frozen=True)
class Reader:
    """Reads series from the store: until a deadline, and as many samples as `check` lets through."""

    deadline: Deadline
    check: Callable[[int], None]

    def windows(
        self,
        series: Sequence[Series],
        bounds: tuple[Ints, Ints],
        *,
        keep_stale: bool,
        inner: tuple[Ints, Ints] | None = None,
    ) -> Windows:
        """Return the windows `(start, end]`; staleness markers count only for `keep_stale`.

        `inner` are the bounds of the range proper, where the windows reach beyond it.
        """
        labels, cohorts = self._cohorts(series, bounds)
        if not keep_stale:
            cohorts = [fresh for cohort in cohorts for fresh in cohort.fresh()]
        starts, ends = bounds
        range_ms = int((bounds if inner is None else inner)[1][0] - (bounds if inner is None else inner)[0][0])
        windows = Windows(labels, cohorts, starts, ends, range_ms, self.deadline)
        if inner is not None:
            windows.marks = Marks(*inner, windows.search(inner[0], "right"), windows.search(inner[1], "left"))
        return windows

    def _cohorts(self, series: Sequence[Series], bounds: tuple[Ints, Ints]) -> tuple[list[Labels], list[Cohort]]:
        """Return the labels of the series that have samples between the bounds, and these by cohort."""
        span = Span(int(bounds[0].min()), int(bounds[1].max()))
        labels: list[Labels] = []
        alike: dict[tuple[Hashable, ...], tuple[list[int], list[list[Piece]]]] = {}
        for one in self.deadline.over(series):
            pieces = one.pieces(span)
            if pieces:
                key = tuple([piece.key for piece in pieces])
                members = alike.get(key)
                if members is None:
                    members = alike[key] = ([], [])
                members[0].append(len(labels))
                members[1].append(pieces)
                labels.append(one.labels)
        columns = [np.concatenate([piece.times for piece in members[0]]) for _, members in alike.values()]
        sizes = (len(rows) * len(times) for (rows, _), times in zip(alike.values(), columns, strict=True))
        self.check(max(sum(sizes), len(labels) * len(bounds[0])))
        found: list[Cohort] = []
        for (rows, members), times in self.deadline.over(zip(alike.values(), columns, strict=True)):
            values = np.concatenate([piece.values for pieces in members for piece in pieces], dtype=np.float64)
            found.append(Cohort(np.array(rows, dtype=np.int64), times, values.reshape(len(rows), len(times))))
        return labels, found


def from_vector(vector: Vector, at: Ints, bounds: tuple[Ints, Ints], deadline: Deadline) -> Windows:
    """Return the windows over a vector evaluated at the times `at` (a subquery)."""
    alike: dict[bytes, list[int]] = {}
    for row, present in enumerate(vector.present):
        alike.setdefault(present.tobytes(), []).append(row)
    cohorts: list[Cohort] = []
    for rows in alike.values():
        shown = vector.present[rows[0]]
        cohorts.append(Cohort(np.array(rows, dtype=np.int64), at[shown], vector.values[rows][:, shown]))
    starts, ends = bounds
    return Windows(vector.labels, cohorts, starts, ends, int(ends[0] - starts[0]) if len(ends) else 0, deadline)
