"""Quantiles and fractions of classic histograms: series that share all labels but `le`, one a bucket."""

import math
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from midwatch_lab.metrics.engine.values import Floats, Vector, anywhere
from midwatch_lab.metrics.labels import METADATA, Labels, drop, value_of

_TOLERANCE = 1e-12
"""Relative differences between neighbouring buckets up to this size are taken for rounding."""
_SMALLEST_NORMAL = 2.2250738585072014e-308
_DROPPED = METADATA | {"le"}


@dataclass
class Buckets:
    """One histogram at one step: rising upper bounds and cumulative counts."""

    bounds: list[float]
    counts: list[float]

    @classmethod
    def cleaned(cls, pairs: list[tuple[float, float]]) -> "Buckets | None":
        """Merge equal bounds and force counts to rise; None where there is no histogram (`+Inf` is missing)."""
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
        before = counts[0]
        for index in range(1, len(counts)):
            count = counts[index]
            if count == before:
                continue
            if _almost_equal(before, count) or count < before:
                counts[index] = before
            else:
                before = count
        return cls(bounds, counts)

    def quantile(self, rank: float) -> float:  # noqa: PLR0911 (one return a special case)
        """Return the quantile, linear within its bucket."""
        if math.isnan(rank):
            return math.nan
        if rank < 0:
            return -math.inf
        if rank > 1:
            return math.inf
        bounds, counts = self.bounds, self.counts
        if len(bounds) < 2 or counts[-1] == 0 or math.isnan(counts[-1]):  # noqa: PLR2004 (+Inf alone says nothing)
            return math.nan
        wanted = rank * counts[-1]
        index = bisect_left(counts, wanted, 0, len(counts) - 1)
        if index == len(counts) - 1:
            return bounds[-2]
        if index == 0:
            if bounds[0] <= 0:
                return bounds[0]
            return bounds[0] * (wanted / counts[0]) if counts[0] else math.nan
        below = counts[index - 1]
        share = (wanted - below) / (counts[index] - below)
        return bounds[index - 1] + (bounds[index] - bounds[index - 1]) * share

    def fraction(self, lower: float, upper: float) -> float:
        """Return the estimated share of observations in `(lower, upper]`."""
        if math.isnan(lower) or math.isnan(upper) or self.counts[-1] == 0 or math.isnan(self.counts[-1]):
            return math.nan
        if lower >= upper:
            return 0.0
        return (self._rank(upper) - self._rank(lower)) / self.counts[-1]

    def _rank(self, bound: float) -> float:
        """Return the estimated number of observations up to `bound`."""
        if bound == -math.inf:
            return 0.0
        low = min(0.0, self.bounds[0]) if self.bounds[0] > 0 else -math.inf
        below = 0.0
        for upper, count in zip(self.bounds, self.counts, strict=True):
            if bound >= upper:
                low, below = upper, count
                continue
            if bound <= low or math.isinf(low) or math.isinf(upper):
                return below
            return below + (count - below) * (bound - low) / (upper - low)
        return below


def _almost_equal(a: float, b: float) -> bool:
    if math.isnan(a) and math.isnan(b):
        return True
    total, difference = abs(a) + abs(b), abs(a - b)
    if a == 0 or b == 0 or total < _SMALLEST_NORMAL:
        return difference < _TOLERANCE * _SMALLEST_NORMAL
    return difference / min(total, 1.7976931348623157e308) < _TOLERANCE


def _bound(text: str) -> float | None:
    """Return an `le` as a number, None where it is none."""
    if "_" in text or text != text.strip():
        return None
    try:
        found = float(text)
    except ValueError:
        return None
    return None if math.isnan(found) else found


def over_histograms(vector: Vector, measure: Callable[[Buckets, int], float]) -> Vector:
    """Return one series a histogram, with `measure(buckets, step)` wherever it has buckets."""
    groups: dict[Labels, list[tuple[float, int]]] = {}
    for row, labels in enumerate(vector.labels):
        bound = _bound(value_of(labels, "le"))
        if bound is not None:
            groups.setdefault(drop(labels, _DROPPED), []).append((bound, row))
    steps = vector.values.shape[1]
    values: Floats = np.full((len(groups), steps), np.nan)
    present = np.zeros((len(groups), steps), dtype=np.bool_)
    for number, members in enumerate(groups.values()):
        rows = [row for _, row in members]
        shown = vector.present[rows]
        counts = vector.values[rows].T.tolist()
        for step in np.flatnonzero(anywhere(shown)).tolist():
            here = shown[:, step].tolist()
            pairs = [
                (bound, count) for (bound, _), count, there in zip(members, counts[step], here, strict=True) if there
            ]
            buckets = Buckets.cleaned(pairs)
            values[number, step] = math.nan if buckets is None else measure(buckets, step)
            present[number, step] = True
    return Vector(list(groups), values, present)
