"""Aggregations of each window: the `*_over_time` functions."""

from collections.abc import Callable

import numpy as np

from midwatch_lab.metrics.engine.sums import Sums, mean, quantile
from midwatch_lab.metrics.engine.values import Floats, Vector
from midwatch_lab.metrics.engine.windows import Windows


def count_over_time(windows: Windows) -> Vector:
    """Return the number of samples."""
    return Vector(windows.labels, windows.count.astype(np.float64), windows.count > 0)


def present_over_time(windows: Windows) -> Vector:
    """Return 1 where there is a sample."""
    return Vector(windows.labels, np.ones(windows.low.shape), windows.count > 0)


def last_over_time(windows: Windows) -> Vector:
    """Return the newest sample."""
    index, present = windows.last()
    return Vector(windows.labels, _at(windows.values, index), present)


def first_over_time(windows: Windows) -> Vector:
    """Return the oldest sample."""
    present = windows.count > 0
    return Vector(windows.labels, _at(windows.values, np.where(present, windows.low, 0)), present)


def sum_over_time(windows: Windows) -> Vector:
    """Return the sum."""
    present = windows.count > 0
    sums = Sums(int(present.sum()))
    for where, index in windows.ranks(present):
        sums.add(where, windows.values[index])
    return _placed(windows, sums.value())


def avg_over_time(windows: Windows) -> Vector:
    """Return the mean."""
    present = windows.count > 0
    count = windows.count[present]
    sums = Sums(int(present.sum()))
    overflow = np.zeros(len(count), dtype=np.bool_)
    for where, index in windows.ranks(present):
        sums.add(where, windows.values[index])
        overflow[where] |= np.isinf(sums.total[where])
    found = sums.total / count + sums.carry / count
    low, high = windows.low[present], windows.high[present]
    for number in np.flatnonzero(overflow):
        found[number] = mean(windows.values[low[number] : high[number]].tolist())
    return _placed(windows, found)


def min_over_time(windows: Windows) -> Vector:
    """Return the smallest; NaN only where all are."""
    return _reduced(windows, np.fmin)


def max_over_time(windows: Windows) -> Vector:
    """Return the largest; NaN only where all are."""
    return _reduced(windows, np.fmax)


def stdvar_over_time(windows: Windows) -> Vector:
    """Return the population variance (Welford's recurrence, compensated)."""
    present = windows.count > 0
    size = int(present.sum())
    average, spread, count = Sums(size), Sums(size), np.zeros(size)
    for where, index in windows.ranks(present):
        count[where] += 1
        value = windows.values[index]
        away = value - (average.total[where] + average.carry[where])
        average.add(where, away / count[where])
        spread.add(where, away * (value - (average.total[where] + average.carry[where])))
    return _placed(windows, (spread.total + spread.carry) / count)


def stddev_over_time(windows: Windows) -> Vector:
    """Return the population standard deviation."""
    variance = stdvar_over_time(windows)
    return variance.with_values(np.sqrt(variance.values))


def quantile_over_time(windows: Windows, rank: Floats) -> Vector:
    """Return the quantile at `rank` (one a step)."""
    present = windows.count > 0
    rows, columns = np.nonzero(present)
    found = np.array(
        [
            quantile(float(rank[column]), windows.values[windows.low[row, column] : windows.high[row, column]])
            for row, column in zip(rows, columns, strict=True)
        ],
        dtype=np.float64,
    )
    return _placed(windows, found)


def _reduced(windows: Windows, reduce: "np.ufunc") -> Vector:
    present = windows.count > 0
    if not present.any():
        return _placed(windows, np.empty(0))
    # A pair of bounds a window; the values need one more element, for a window may end at the very last one.
    padded = np.append(windows.values, np.nan)
    bounds = np.column_stack([windows.low[present], windows.high[present]]).ravel()
    return _placed(windows, reduce.reduceat(padded, bounds)[::2])


def _at(values: Floats, index: "np.typing.NDArray[np.int64]") -> Floats:
    return values[index] if len(values) else np.full(index.shape, np.nan)


def _placed(windows: Windows, found: Floats) -> Vector:
    present = windows.count > 0
    values = np.full(present.shape, np.nan)
    values[present] = found
    return Vector(windows.labels, values, present)


FUNCTIONS: dict[str, Callable[[Windows], Vector]] = {
    "avg_over_time": avg_over_time,
    "count_over_time": count_over_time,
    "first_over_time": first_over_time,
    "last_over_time": last_over_time,
    "max_over_time": max_over_time,
    "min_over_time": min_over_time,
    "present_over_time": present_over_time,
    "stddev_over_time": stddev_over_time,
    "stdvar_over_time": stdvar_over_time,
    "sum_over_time": sum_over_time,
}
