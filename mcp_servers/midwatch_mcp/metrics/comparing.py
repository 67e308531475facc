"""`metrics_compare`: the same query in two windows, and which series moved.

Windows are compared by medians, and by how well the two heaps of samples are told apart: `later_is_greater` is the
chance that a sample of the later window exceeds one of the earlier (Vargha and Delaney's A, J. Educ. Behav. Stat.
25(2), 2000; ties count half). It needs no distribution and no unit: 0.5 is no change, 1 and 0 are complete
separation. No p-value is given: samples of one series follow on each other, so every test that takes them as
independent would cry wolf.
"""

import asyncio
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from statistics import median
from typing import Annotated

from pydantic import Field

from midwatch_contracts.model import Model
from midwatch_contracts.promql import ValueType
from midwatch_mcp.metrics.courses import Course
from midwatch_mcp.metrics.ranges import read_courses, seconds_of
from midwatch_mcp.metrics.room import MAX_QUERY, MetricsRoom, checked
from midwatch_mcp.shapes import Outside
from midwatch_mcp.tool import Answer, tool

SHOWN = 30
_POINTS = 60
"""Samples of each window."""
_CLEAR = 0.4
"""How far from 0.5 a shift is counted in the summary: 0.9 and more, or 0.1 and less."""


class Shift(Model):
    """One series in both windows; None where a window has no number."""

    labels: dict[str, Outside]
    before: float | None
    """Median of the earlier window."""
    after: float | None
    """Median of the later window."""
    ratio: float | None
    """after / before; None where that is no number."""
    later_is_greater: float | None


class MetricsCompareData(Model):
    """The series, those that moved most first."""

    query: str
    before: tuple[float, float]
    """Start and end of the earlier window, Unix seconds."""
    after: tuple[float, float]
    series: list[Shift]
    appeared: int
    """Series that only the later window has."""
    vanished: int


@tool(
    name="metrics_compare",
    title="Compare two windows",
    description=(
        "Evaluate a PromQL query over a window and over an earlier one; each series with both medians and the chance "
        "that a later sample is greater (0.5: no change). Those that moved most come first."
    ),
    cluster="metrics",
    cost="medium",
    read_only=True,
    destructive=False,
    idempotent=True,
    open_world=False,
)
async def metrics_compare(
    room: MetricsRoom,
    *,
    query: Annotated[str, Field(min_length=1, max_length=MAX_QUERY, description="PromQL")],
    window: Annotated[str, Field(max_length=20, description="length of both windows")] = "10m",
    offset: Annotated[str, Field(max_length=20, description="how much earlier the other window lies")] = "1h",
    end: Annotated[float | None, Field(gt=0, description="of the later window, Unix seconds; default: now")] = None,
) -> Answer[MetricsCompareData]:
    """Read both windows at once and set the series side by side."""
    checked(query, allow=frozenset({ValueType.VECTOR, ValueType.SCALAR}))
    length, back = seconds_of("window", window), seconds_of("offset", offset)
    finish = room.clock.now() if end is None else end
    step = max(length / _POINTS, 0.1)
    later = (finish - length, finish)
    earlier = (later[0] - back, later[1] - back)
    (before, _), (after, warnings) = await asyncio.gather(
        *(read_courses(room, query, begin, stop, step) for begin, stop in (earlier, later))
    )
    shifts, appeared, vanished = side_by_side(before, after)
    head = {"query": query, "before": earlier, "after": later, "appeared": appeared, "vanished": vanished}
    data = MetricsCompareData.model_validate(head | {"series": shifts[:SHOWN]})
    return Answer(
        _summary(shifts, appeared, vanished),
        data,
        full=head | {"series": shifts, "warnings": warnings},
        truncated=len(shifts) > SHOWN,
    )


def side_by_side(before: Sequence[Course], after: Sequence[Course]) -> tuple[list[Shift], int, int]:
    """Return the series of both windows, those that moved most first, and how many appeared and vanished."""
    old = {_identity(course): course for course in before}
    new = {_identity(course): course for course in after}
    shifts = [_shift(old.get(key), new.get(key)) for key in dict.fromkeys([*old, *new])]
    shifts.sort(key=_movement, reverse=True)
    return shifts, len(new.keys() - old.keys()), len(old.keys() - new.keys())


def later_is_greater(before: Sequence[float], after: Sequence[float]) -> float:
    """Return the chance that one of `after` exceeds one of `before`, ties counted half. Neither may be empty."""
    ranked = sorted(before)
    below = sum(bisect_left(ranked, value) + bisect_right(ranked, value) for value in after)
    return below / (2 * len(before) * len(after))


def _identity(course: Course) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(course.labels.items()))


def _numbers(course: Course | None) -> list[float]:
    return [] if course is None else [value for _, value in course.points if isinstance(value, float)]


def _shift(before: Course | None, after: Course | None) -> Shift:
    old, new = _numbers(before), _numbers(after)
    low, high = (median(values) if values else None for values in (old, new))
    return Shift(
        labels=(after or before or Course.model_construct(labels={})).labels,
        before=low,
        after=high,
        ratio=high / low if low and high is not None else None,
        later_is_greater=later_is_greater(old, new) if old and new else None,
    )


def _movement(shift: Shift) -> tuple[float, float]:
    """Return what to sort by: first how well the windows are told apart, then by how much the median moved."""
    if shift.later_is_greater is None or shift.before is None or shift.after is None:
        return (1.0, float("inf"))
    size = max(abs(shift.before), abs(shift.after))
    return (abs(shift.later_is_greater - 0.5), abs(shift.after - shift.before) / size if size else 0.0)


def _summary(shifts: list[Shift], appeared: int, vanished: int) -> str:
    if not shifts:
        return "No data: no series matches in either window."
    known = [shift.later_is_greater for shift in shifts if shift.later_is_greater is not None]
    rose, fell = sum(value - 0.5 >= _CLEAR for value in known), sum(0.5 - value >= _CLEAR for value in known)
    text = f"{len(shifts)} series: {rose} clearly higher, {fell} clearly lower, {appeared} new, {vanished} gone."
    first = shifts[0]
    if len(shifts) == 1 and first.before is not None and first.after is not None:
        text += f" Median {first.before:.6g} before, {first.after:.6g} after."
    return text + (f" Shown: the first {SHOWN}." if len(shifts) > SHOWN else "")
