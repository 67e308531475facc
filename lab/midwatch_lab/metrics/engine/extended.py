"""The modifiers `anchored` and `smoothed`: ranges that have a value at each of their ends.

Windows reach beyond the range by the lookback. `anchored` takes the last sample at or before the start and the last one
within the range; `smoothed` interpolates between the samples around either end.
"""

from dataclasses import replace
from typing import Literal

import numpy as np

from midwatch_lab.metrics.engine.values import Bools, Floats, Ints, Vector
from midwatch_lab.metrics.engine.windows import Marks, Windows
from midwatch_lab.metrics.errors import ExecutionError

_SAFE = {
    "anchored": frozenset({"changes", "delta", "increase", "rate", "resets"}),
    "smoothed": frozenset({"delta", "increase", "rate"}),
}


def reach(inner: tuple[Ints, Ints], extension: Literal["anchored", "smoothed"], lookback_ms: int) -> tuple[Ints, Ints]:
    """Return the windows to be read for a range."""
    starts, ends = inner
    return starts - lookback_ms, ends + lookback_ms if extension == "smoothed" else ends


def check(extension: Literal["anchored", "smoothed"] | None, function: str) -> None:
    """Refuse a modifier with a function that it means nothing to.

    Raises:
        ExecutionError: in the original's words.
    """
    if extension is not None and function not in _SAFE[extension]:
        names = ", ".join(sorted(_SAFE[extension]))
        raise ExecutionError(f"{extension} modifier can only be used with: {names} - not with {function}")


def marks_of(windows: Windows) -> Marks:
    """Return the range proper of extended windows."""
    assert windows.marks is not None  # noqa: S101 (made by `reach`)
    return windows.marks


class Ends:
    """The values at both ends of every window that has any, flat, one element a window in the order of `present`."""

    def __init__(self, windows: Windows, *, smoothed: bool, counter: bool) -> None:
        marks = marks_of(windows)
        has = windows.count > 0
        low, high = windows.low[has], windows.high[has]
        column = np.nonzero(has)[1]
        start, end = marks.starts[column], marks.ends[column]
        times, values = windows.times, windows.values
        first = np.maximum(low, np.minimum(marks.after[has], high - 1) - 1)
        last = np.minimum(marks.until[has], high - 1) if smoothed else high - 1
        keep = times[last] > start
        if smoothed:
            keep &= times[first] <= end
        first, last, start, end, low = first[keep], last[keep], start[keep], end[keep], low[keep]
        self.present: Bools = has.copy()
        self.present[has] = keep
        self.left: Floats = values[first]
        if smoothed:
            before = times[first] < start
            following = np.minimum(first + 1, last)
            self.left = np.where(before, _between(windows, first, following, start, counter=counter), self.left)
        self.right: Floats = values[last]
        if smoothed:
            beyond = (times[last] > end) & (last > low)
            previous = np.maximum(last - 1, low)
            self.right = np.where(beyond, _between(windows, previous, last, end, counter=counter), self.right)
        self.begin: Ints = first + (times[first] <= start)
        """The first sample strictly inside the range."""
        self.end: Ints = last + 1 - (times[last] >= end)
        """The index after the last sample strictly inside the range."""


def _between(windows: Windows, one: Ints, two: Ints, at: Ints, *, counter: bool) -> Floats:
    """Interpolate between the samples `one` and `two`; a counter that was reset starts from zero."""
    low, high = windows.values[one], windows.values[two]
    if counter:
        low = np.where(high < low, 0.0, low)
    return low + (high - low) * (at - windows.times[one]) / (windows.times[two] - windows.times[one])


def rate(windows: Windows, *, smoothed: bool, counter: bool, per_second: bool) -> Vector:
    """Return `rate` (counter, per second), `increase` (counter) or `delta` (neither) between the ends."""
    ends = Ends(windows, smoothed=smoothed, counter=counter)
    change = ends.right - ends.left
    if counter:
        change = change + _resets(windows, ends)
    if per_second:
        change = change / (windows.range_ms / 1000)
    values = np.full(ends.present.shape, np.nan)
    values[ends.present] = change
    return Vector(windows.labels, values, ends.present)


def _resets(windows: Windows, ends: Ends) -> Floats:
    """Return what resets between the ends took away from each window."""
    values = windows.values
    found = np.zeros(len(ends.left))
    count = np.maximum(ends.end - ends.begin, 0)
    before = ends.left.copy()
    for rank in windows.deadline.over(range(int(count.max(initial=0)))):
        chosen = count > rank
        value = values[ends.begin[chosen] + rank]
        found[chosen] += np.where(value < before[chosen], before[chosen], 0.0)
        before[chosen] = value
    return found + np.where(ends.right < before, before, 0.0)


def anchored_low(windows: Windows) -> Windows:
    """Return the windows from the last sample at or before the start on; none where no sample is after it."""
    marks = marks_of(windows)
    low = np.maximum(windows.low, marks.after - 1)
    low = np.where(marks.after < windows.high, low, windows.high)
    return replace(windows, starts=marks.starts, ends=marks.ends, marks=None, begin=low)


def smoothed_values(windows: Windows) -> Vector:
    """Return an instant vector whose values are interpolated between the samples around each time."""
    marks = marks_of(windows)
    low, high, at = windows.low, windows.high, marks.until
    times, values = windows.times, windows.values
    if not len(times):
        return Vector(windows.labels, np.full(low.shape, np.nan), np.zeros(low.shape, dtype=np.bool_))
    nearest = np.minimum(at, len(times) - 1)
    exact = (at < high) & (times[nearest] == marks.ends[None, :])
    earlier = at > low
    previous = np.maximum(at - 1, 0)
    span = times[nearest] - times[previous]
    share = (values[nearest] - values[previous]) * (marks.ends[None, :] - times[previous]) / np.where(span, span, 1)
    found = np.where(at < high, values[previous] + share, values[previous])
    return Vector(windows.labels, np.where(exact, values[nearest], found), exact | earlier)


def points(windows: Windows, *, smoothed: bool) -> list[tuple[Ints, Floats]]:
    """Return (times, values) of each series of a single step: the range's ends and the samples between."""
    ends = Ends(windows, smoothed=smoothed, counter=False)
    marks = marks_of(windows)
    found: list[tuple[Ints, Floats]] = []
    number = 0
    for there in ends.present[:, 0].tolist():
        if not there:
            found.append((windows.times[:0], windows.values[:0]))
            continue
        inside = slice(int(ends.begin[number]), max(int(ends.end[number]), int(ends.begin[number])))
        times = np.concatenate([marks.starts[:1], windows.times[inside], marks.ends[:1]])
        values = np.concatenate(
            [ends.left[number : number + 1], windows.values[inside], ends.right[number : number + 1]]
        )
        found.append((times, values))
        number += 1
    return found
