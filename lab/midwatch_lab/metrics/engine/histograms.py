"""Quantiles and fractions of classic histograms: series that share all labels but `le`, one a bucket."""

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from midwatch_contracts.promql import quote_value
from midwatch_lab.metrics.engine.annotations import Forced
from midwatch_lab.metrics.engine.deadline import Deadline
from midwatch_lab.metrics.engine.values import Bools, Floats, Vector, anywhere, merge
from midwatch_lab.metrics.labels import METADATA, Labels, drop, value_of

TOLERANCE = 1e-12
"""Relative differences between neighbouring buckets up to this size are taken for rounding."""
_SMALLEST_NORMAL = 2.2250738585072014e-308
_HEX = re.compile(r"[+-]?0[xX][0-9a-fA-F.]+[pP][+-]?[0-9]+")


@dataclass
class Buckets:
    """One histogram at one step: rising upper bounds, the last `+Inf`, and cumulative counts."""

    bounds: list[float]
    counts: list[float]

    @classmethod
    def of(cls, pairs: list[tuple[float, float]]) -> "Buckets | None":
        """Make one of (bound, count) pairs in any order; None where `+Inf` is missing."""
        pairs.sort(key=lambda pair: pair[0])
        if pairs[-1][0] != math.inf:
            return None
        bounds: list[float] = []
        counts: list[float] = []
        for bound, count in pairs:
            if bounds and bounds[-1] == bound:
                counts[-1] += count
            else:
                bounds.append(bound)
                counts.append(count)
        return cls(bounds, counts)

    def risen(self, time_ms: int) -> "tuple[Buckets, Forced | None]":
        """Return it with counts that do not fall, and what had to be changed for it beyond rounding."""
        counts = list(self.counts)
        forced: Forced | None = None
        before = counts[0]
        for index in range(1, len(counts)):
            count = counts[index]
            if count == before:
                continue
            if _almost_equal(before, count):
                counts[index] = before
            elif count < before:
                counts[index] = before
                change = Forced(time_ms, time_ms, self.bounds[index], self.bounds[index], before - count)
                if forced is None:
                    forced = change
                else:
                    forced.add(change)
                    forced.samples = 1
            else:
                before = count
        return Buckets(self.bounds, counts), forced

    def quantile(self, rank: float) -> float:
        """Return the quantile for a rank from 0 to 1, linear within its bucket."""
        bounds, counts = self.bounds, self.counts
        if len(bounds) < 2 or counts[-1] == 0:  # noqa: PLR2004 (+Inf alone says nothing)
            return math.nan
        wanted = rank * counts[-1]
        index = _first(counts, wanted)
        if index == len(counts) - 1:
            return bounds[-2]
        if index == 0 and bounds[0] <= 0:
            return bounds[0]
        low, below = (bounds[index - 1], counts[index - 1]) if index else (0.0, 0.0)
        inside = counts[index] - below
        share = (wanted - below) / inside if inside else math.nan
        return low + (bounds[index] - low) * share

    def fraction(self, lower: float, upper: float) -> float:
        """Return the estimated share of observations in `(lower, upper]`."""
        count = self.counts[-1]
        if count == 0 or math.isnan(lower) or math.isnan(upper):
            return math.nan
        if lower >= upper:
            return 0.0
        return (self._rank(upper) - self._rank(lower)) / count

    def _rank(self, bound: float) -> float:
        """Return the estimated number of observations up to `bound`; never more than there are."""
        low, below = (-math.inf if self.bounds[0] <= 0 else 0.0), 0.0
        for upper, count in zip(self.bounds, self.counts, strict=True):
            if low >= bound:
                break
            if upper > bound:
                inside = count if math.isinf(low) else below + (count - below) * (bound - low) / (upper - low)
                return min(inside, self.counts[-1])
            low, below = upper, count
        else:
            return self.counts[-1]
        return min(below, self.counts[-1])


def _first(counts: list[float], wanted: float) -> int:
    """Return the first bucket that reaches `wanted`, by the original's search: NaN counts mislead it the same way."""
    low, high = 0, len(counts) - 1
    while low < high:
        middle = (low + high) // 2
        if counts[middle] >= wanted:
            high = middle
        else:
            low = middle + 1
    return low


def _almost_equal(a: float, b: float) -> bool:
    if math.isnan(a) and math.isnan(b):
        return True
    total, difference = abs(a) + abs(b), abs(a - b)
    if a == 0 or b == 0 or total < _SMALLEST_NORMAL:
        return difference < TOLERANCE * _SMALLEST_NORMAL
    return difference / min(total, 1.7976931348623157e308) < TOLERANCE


def _bound(text: str) -> float | None:
    """Return an `le` as a number, None where it is none."""
    if "_" in text or text != text.strip() or not text.isascii():
        return None
    try:
        found = float.fromhex(text) if _HEX.fullmatch(text) else float(text)
    except (ValueError, OverflowError):
        return None
    return None if math.isnan(found) else found


@dataclass
class Histograms:
    """The histograms of a vector: their labels, name included, and the (bound, row) pairs of each."""

    vector: Vector
    groups: dict[Labels, list[tuple[float, int]]] = field(default_factory=dict[Labels, "list[tuple[float, int]]"])
    malformed: list[str] = field(default_factory=list[str])
    """Every text of an `le` that is missing or no number, where a sample has it."""

    @classmethod
    def of(cls, vector: Vector) -> "Histograms":
        """Group a vector's rows."""
        found = cls(vector)
        for row, labels in enumerate(vector.labels):
            text = value_of(labels, "le")
            bound = _bound(text)
            if bound is not None:
                found.groups.setdefault(drop(labels, ("le",)), []).append((bound, row))
            elif vector.present[row].any():
                found.malformed.append(text)
        return found

    def warning(self) -> list[str]:
        """Return a warning for each malformed `le`."""
        return [f'bucket label "le" is missing or has a malformed value of {quote_value(t)}' for t in self.malformed]

    def each(self, deadline: Deadline, known: Bools) -> Iterator[tuple[int, int, Buckets | None]]:
        """Return (number of the histogram, step, its buckets) wherever there is one and nothing is known of it."""
        for number, members in enumerate(self.groups.values()):
            if known[number].all():
                continue
            rows = [row for _, row in members]
            shown = self.vector.present[rows] & ~known[number]
            counts = self.vector.values[rows].T.tolist()
            for step in deadline.over(np.flatnonzero(anywhere(shown)).tolist()):
                here = shown[:, step].tolist()
                pairs = [
                    (bound, count)
                    for (bound, _), count, there in zip(members, counts[step], here, strict=True)
                    if there
                ]
                yield number, step, Buckets.of(pairs)

    def measured(
        self,
        deadline: Deadline,
        measure: Callable[[Buckets, int], float],
        known: tuple[Floats, Bools] | None = None,
    ) -> Vector:
        """Return one series a histogram without its name, NaN where it has no `+Inf`.

        `known` are values by histogram and step, and where they need no measuring.

        Raises:
            ExecutionError: when two histograms differ in their names only.
        """
        shape = (len(self.groups), self.vector.values.shape[1])
        values, present = known if known is not None else (np.full(shape, np.nan), np.zeros(shape, dtype=np.bool_))
        values, present = values.copy(), present.copy()
        for number, step, buckets in self.each(deadline, present.copy()):
            values[number, step] = math.nan if buckets is None else measure(buckets, step)
            present[number, step] = True
        return merge(Vector([drop(labels, METADATA) for labels in self.groups], values, present))
