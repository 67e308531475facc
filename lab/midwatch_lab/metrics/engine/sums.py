"""Compensated sums (Neumaier's variant of Kahan's), as Prometheus adds, over many sums at once."""

import math
from collections.abc import Iterable

import numpy as np

from midwatch_lab.metrics.engine.values import Floats, Ints


def add(term: Floats, total: Floats, carry: Floats) -> tuple[Floats, Floats]:
    """Return (total, carry) with `term` added; the sum is total + carry."""
    result = total + term
    lost = np.where(np.abs(total) >= np.abs(term), (total - result) + term, (term - result) + total)
    return result, np.where(np.isinf(result), 0.0, carry + lost)


class Sums:
    """Many compensated sums side by side."""

    def __init__(self, shape: int | tuple[int, ...]) -> None:
        self.total = np.zeros(shape)
        self.carry = np.zeros(shape)

    def add(self, where: Ints, term: Floats) -> None:
        """Add `term` to the sums numbered `where` (each at most once)."""
        self.total[where], self.carry[where] = add(term, self.total[where], self.carry[where])

    def value(self) -> Floats:
        """Return the sums."""
        return np.where(np.isinf(self.total), self.total, self.total + self.carry)


def mean(values: Iterable[float]) -> float:
    """Return the mean of at least one value: direct, and incremental from where the sum would overflow."""
    total, carry, average, count, direct = 0.0, 0.0, 0.0, 0.0, True
    for value in values:
        count += 1.0
        if direct:
            new_total, new_carry = _add(value, total, carry)
            if count == 1.0 or not math.isinf(new_total):
                total, carry = new_total, new_carry
                continue
            direct, average, carry = False, total / (count - 1), carry / (count - 1)
        weight = (count - 1) / count
        average, carry = _add(value / count, weight * average, weight * carry)
    return total / count + carry / count if direct else average + carry


def _add(term: float, total: float, carry: float) -> tuple[float, float]:
    result = total + term
    if math.isinf(result):
        return result, 0.0
    if abs(total) >= abs(term):
        return result, carry + ((total - result) + term)
    return result, carry + ((term - result) + total)


def quantile(rank: float, values: Floats) -> float:
    """Return the quantile of values (NaN counts as smallest); a rank that is a whole number is the exact sample."""
    if len(values) == 0 or math.isnan(rank):
        return math.nan
    if rank < 0:
        return -math.inf
    if rank > 1:
        return math.inf
    blank = np.isnan(values)
    ordered = np.concatenate([values[blank], np.sort(values[~blank])])
    position = rank * (len(ordered) - 1)
    low = max(0, math.floor(position))
    high = min(len(ordered) - 1, low + 1)
    weight = position - math.floor(position)
    if weight == 0:
        return float(ordered[low])
    return float(ordered[low] * (1 - weight) + ordered[high] * weight)
