"""A series over time as a reader takes it in: figures, a line of blocks, fewer points, changes of level (pure).

Points are thinned to the least and the greatest of each stretch of time, as in M4 (Jugel et al., VLDB 7(10), 2014), and
not by LTTB (Steinarsson 2013), which may drop one of two peaks: a spike of one sample stays, whatever is left out.
"""

import math
from collections.abc import Sequence
from itertools import pairwise

from pydantic import Field

from midwatch_contracts.model import Model
from midwatch_mcp.metrics.levels import changes
from midwatch_mcp.shapes import Number, Outside

Points = Sequence[tuple[float, Number]]

WIDTH = 40
"""Characters of a sparkline."""
GAP = "·"
_RISES = 5
"""How many times a counter rises for each time that it begins again, at least."""
_BLOCKS = "▁▂▃▄▅▆▇█"


class LevelChange(Model):
    """A change of level; the levels are medians up to the next change on each side."""

    at: float
    """Unix seconds of the first sample of the new level."""
    before: float
    after: float


class Course(Model):
    """One series over the range; the figures leave NaN and infinities out, and are None where nothing is left."""

    labels: dict[str, Outside]
    first: float | None
    last: float | None
    min: float | None
    max: float | None
    mean: float | None
    sparkline: str = ""
    """The range in 40 stretches of time, each at its greatest value, from the series' least to its most; `·`: no
    sample."""
    changes: list[LevelChange] = Field(default_factory=list[LevelChange])
    """Where the level changed, measured; empty too where the series is too short to say (10 samples)."""
    resets: int | None = None
    """How often a counter that was asked for raw began again; None for anything else."""
    points: list[tuple[float, Number]]
    """Thinned: the least and the greatest of each stretch of time."""


def figures(labels: dict[str, str], points: Points) -> Course:
    """Return a series with its figures, whole."""
    numbers = [value for _, value in points if isinstance(value, float)]
    return Course(
        labels=labels,
        first=numbers[0] if numbers else None,
        last=numbers[-1] if numbers else None,
        min=min(numbers, default=None),
        max=max(numbers, default=None),
        mean=math.fsum(numbers) / len(numbers) if numbers else None,
        points=list(points),
    )


def drawn(course: Course, span: tuple[float, float], most: int, *, counter: bool) -> Course:
    """Return a series as it is shown: thinned to `most` points, with its sparkline, and its changes or resets."""
    known = [(at, value) for at, value in course.points if isinstance(value, float)]
    values = [value for _, value in known]
    found = [] if counter else changes(values)
    shown = {
        "sparkline": sparkline(course.points, *span),
        "changes": [LevelChange(at=known[one.index][0], before=one.before, after=one.after) for one in found],
        "resets": sum(new < old for old, new in pairwise(values)) if counter else None,
        "points": thinned(course.points, most),
    }
    return course.model_copy(update=shown)


def climbs(courses: Sequence[Course]) -> bool:
    """Say whether series rise as counters do: some gauges have a counter's name, but fall as often as they rise."""
    steps = [
        new - old
        for course in courses
        for old, new in pairwise([value for _, value in course.points if isinstance(value, float)])
    ]
    return sum(step < 0 for step in steps) * _RISES <= sum(step > 0 for step in steps)


def thinned(points: Points, most: int) -> list[tuple[float, Number]]:
    """Return at most `most` (2 or more) of the points: the first, the last, and each stretch's least and greatest."""
    if len(points) <= most:
        return list(points)
    inner, stretches = points[1:-1], (most - 2) // 2
    kept: list[tuple[float, Number]] = []
    for number in range(stretches):
        stretch = inner[number * len(inner) // stretches : (number + 1) * len(inner) // stretches]
        numbers = [point for point in stretch if isinstance(point[1], float)]
        if numbers:
            pair = {min(numbers, key=lambda point: point[1]), max(numbers, key=lambda point: point[1])}
            kept += sorted(pair, key=lambda point: point[0])
        else:
            kept += stretch[:1]
    return [points[0], *kept, points[-1]]


def sparkline(points: Points, begin: float, finish: float, width: int = WIDTH) -> str:
    """Draw the range in so many blocks; an infinity is drawn at its end, a stretch without a number as a gap."""
    stretches: list[list[float]] = [[] for _ in range(width)]
    for at, value in points:
        number = {"+Inf": math.inf, "-Inf": -math.inf}.get(value) if isinstance(value, str) else value
        if number is not None and begin <= at <= finish:
            stretches[min(int((at - begin) / (finish - begin) * width), width - 1)].append(number)
    finite = [value for stretch in stretches for value in stretch if math.isfinite(value)]
    low, high = min(finite, default=0.0), max(finite, default=0.0)
    return "".join(_block(max(stretch), low, high) if stretch else GAP for stretch in stretches)


def _block(value: float, low: float, high: float) -> str:
    if value == math.inf:
        return _BLOCKS[-1]
    if value == -math.inf or high == low:
        return _BLOCKS[0]
    # Halved before they are subtracted: the span of two floats may be more than a float can hold.
    return _BLOCKS[min(int((value / 2 - low / 2) / (high / 2 - low / 2) * len(_BLOCKS)), len(_BLOCKS) - 1)]
