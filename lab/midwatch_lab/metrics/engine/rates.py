"""Functions of how a series changes within a window: rate and its kin, regression, changes and resets.

The extrapolation of `rate`, `increase` and `delta` is Prometheus's: to the window's edge where the nearest sample is
within 1.1 average intervals of it, otherwise by half an interval, and for counters never beyond where they were zero.
"""

from dataclasses import dataclass

import numpy as np

from midwatch_lab.metrics.engine.sums import Sums
from midwatch_lab.metrics.engine.values import Bools, Floats, Ints, Vector
from midwatch_lab.metrics.engine.windows import Cohort, Windows

_THRESHOLD = 1.1
_WORTH = 2000
"""Windows that a cohort must have on average to be worth a pass of its own."""


@dataclass(frozen=True)
class Change:
    """From which samples to which a series changed in a window, by how much, and where the window lies.

    All are arrays of one shape, or of shapes that go together: times in ms, `first_value` and `change` by series.
    """

    starts: Ints
    ends: Ints
    first: Ints
    last: Ints
    intervals: Ints
    """How many intervals lie between the first and the last sample."""
    first_value: Floats
    change: Floats

    def extrapolated(self, *, counter: bool, per_s: float) -> Floats:
        """Return the change over the whole window, per so many seconds."""
        to_start = (self.first - self.starts) / 1000
        to_end = (self.ends - self.last) / 1000
        sampled = (self.last - self.first) / 1000
        average = sampled / self.intervals
        to_start = np.where(to_start >= average * _THRESHOLD, average / 2, to_start)
        if counter:
            rising = (self.change > 0) & (self.first_value >= 0)
            to_zero = sampled * (self.first_value / np.where(rising, self.change, 1.0))
            to_start = np.where(rising, np.minimum(to_start, to_zero), to_start)
        to_end = np.where(to_end >= average * _THRESHOLD, average / 2, to_end)
        return self.change * ((sampled + to_start + to_end) / sampled / per_s)


def extrapolated(windows: Windows, *, counter: bool, per_second: bool) -> Vector:
    """Return `rate` (counter, per second), `increase` (counter) or `delta` (neither)."""
    shape = (len(windows.labels), len(windows.starts))
    values, present = np.full(shape, np.nan), np.zeros(shape, dtype=np.bool_)
    per_s = windows.range_ms / 1000 if per_second else 1.0
    if shape[0] * shape[1] < len(windows.cohorts) * _WORTH:
        present = windows.count >= 2  # noqa: PLR2004 (a change needs two samples)
        values[present] = _flat(windows, present, counter=counter).extrapolated(counter=counter, per_s=per_s)
        return Vector(windows.labels, values, present)
    for cohort in windows.deadline.over(windows.cohorts):
        low, high = (cohort.times.searchsorted(at, side="right") for at in (windows.starts, windows.ends))
        steps = np.flatnonzero(high - low >= 2)  # noqa: PLR2004 (a change needs two samples)
        if len(steps):
            change = _of_cohort(windows, cohort, steps, (low[steps], high[steps] - 1), counter=counter)
            where = np.ix_(cohort.rows, steps)
            values[where], present[where] = change.extrapolated(counter=counter, per_s=per_s), True
    return Vector(windows.labels, values, present)


def _flat(windows: Windows, present: Bools, *, counter: bool) -> Change:
    """Return the change of every window that is present, one after the other."""
    first, last = windows.low[present], windows.high[present] - 1
    column = np.nonzero(present)[1]
    values, times = windows.values, windows.times
    change = values[last] - values[first]
    if counter:
        _add_resets(values, first, last, change)
    starts, ends = windows.starts[column], windows.ends[column]
    return Change(starts, ends, times[first], times[last], last - first, values[first], change)


def _of_cohort(windows: Windows, cohort: Cohort, steps: Ints, edges: tuple[Ints, Ints], *, counter: bool) -> Change:
    """Return the change of a cohort's series at some steps, between the samples numbered by `edges`."""
    first, last = edges
    first_value = cohort.values[:, first]
    change = cohort.values[:, last] - first_value
    rows = np.flatnonzero((cohort.values[:, 1:] < cohort.values[:, :-1]).any(axis=1))
    if counter and len(rows):
        base = (np.arange(len(rows)) * len(cohort.times))[:, None]
        fallen = change[rows]
        _add_resets(cohort.values[rows].ravel(), (base + first).ravel(), (base + last).ravel(), fallen.reshape(-1))
        change[rows] = fallen
    starts, ends, times = windows.starts[steps], windows.ends[steps], cohort.times
    return Change(starts, ends, times[first], times[last], last - first, first_value, change)


def _add_resets(values: Floats, first: Ints, last: Ints, change: Floats) -> None:
    """Add to each window's change the value before every reset within it, in the order of the samples."""
    drops = np.flatnonzero(values[1:] < values[:-1])
    if not len(drops):
        return
    begin, end = drops.searchsorted(first), drops.searchsorted(last)
    count = end - begin
    owner = np.repeat(np.arange(len(count)), count)
    within = np.arange(len(owner)) - np.repeat(np.cumsum(count) - count, count)
    np.add.at(change, owner, values[drops[np.repeat(begin, count) + within]])


def instant(windows: Windows, *, rate: bool) -> Vector:
    """Return `irate` (per second, a reset counts from zero) or `idelta`, of the last two samples."""
    present = windows.count >= 2  # noqa: PLR2004 (a change needs two samples)
    last = windows.high[present] - 1
    change = windows.values[last] - windows.values[last - 1]
    if rate:
        reset = windows.values[last] < windows.values[last - 1]
        change = np.where(reset, windows.values[last], change)
        change = change / ((windows.times[last] - windows.times[last - 1]) / 1000)
    return _placed(windows, present, change)


def changes(windows: Windows) -> Vector:
    """Return how often the value changed; NaN after NaN is no change."""
    before, after = windows.values[:-1], windows.values[1:]
    return _counted(windows, (before != after) & ~(np.isnan(before) & np.isnan(after)))


def resets(windows: Windows) -> Vector:
    """Return how often the value fell."""
    return _counted(windows, windows.values[1:] < windows.values[:-1])


def _counted(windows: Windows, event: Bools) -> Vector:
    """Count the events between neighbours of each window; `event[i]` lies between samples i and i + 1."""
    total = np.concatenate([[0], np.cumsum(event), [0]])
    present = windows.count > 0
    counted = total[np.maximum(windows.high[present] - 1, 0)] - total[windows.low[present]]
    return _placed(windows, present, counted.astype(np.float64))


def regression(windows: Windows, chosen: Bools, origin: Ints) -> tuple[Floats, Floats]:
    """Return (slope per second, value at `origin` in ms) of the least-squares line through each chosen window."""
    size = int(chosen.sum())
    sum_x, sum_y, sum_xy, sum_xx = Sums(size), Sums(size), Sums(size), Sums(size)
    initial = windows.values[windows.low[chosen]]
    constant = np.ones(size, dtype=np.bool_)
    for where, index in windows.ranks(chosen):
        x = (windows.times[index] - origin[where]) / 1000
        y = windows.values[index]
        constant[where] &= y == initial[where]
        for total, term in ((sum_x, x), (sum_y, y), (sum_xy, x * y), (sum_xx, x * x)):
            total.add(where, term)
    count = windows.count[chosen].astype(np.float64)
    x, y = sum_x.total + sum_x.carry, sum_y.total + sum_y.carry
    covariance = (sum_xy.total + sum_xy.carry) - x * y / count
    variance = (sum_xx.total + sum_xx.carry) - x * x / count
    slope = covariance / variance
    level = y / count - slope * x / count
    flat = np.where(np.isinf(initial), np.nan, 0.0)
    return np.where(constant, flat, slope), np.where(constant, initial + flat, level)


def deriv(windows: Windows) -> Vector:
    """Return the slope per second of the line through each window."""
    present = windows.count >= 2  # noqa: PLR2004 (a line needs two points)
    slope, _ = regression(windows, present, windows.times[windows.low[present]])
    return _placed(windows, present, slope)


def predict_linear(windows: Windows, at: Ints, ahead: Floats) -> Vector:
    """Return where the line through each window leads, `ahead` seconds after the evaluation times `at` (ms)."""
    present = windows.count >= 2  # noqa: PLR2004 (a line needs two points)
    column = np.nonzero(present)[1]
    slope, level = regression(windows, present, at[column])
    return _placed(windows, present, slope * ahead[column] + level)


def _placed(windows: Windows, present: Bools, found: Floats) -> Vector:
    values = np.full(present.shape, np.nan)
    values[present] = found
    return Vector(windows.labels, values, present)
