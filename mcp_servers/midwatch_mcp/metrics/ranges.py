"""`metrics_range`: the course of a query over a time, summarised and thinned."""

import math
from typing import Annotated, Any, cast

from pydantic import Field

from midwatch_contracts.errors import ContractError
from midwatch_contracts.model import Model
from midwatch_contracts.promql import ValueType
from midwatch_contracts.times import parse_duration, rfc3339
from midwatch_mcp.errors import MetricsError, RefusedError
from midwatch_mcp.metrics.client import sample
from midwatch_mcp.metrics.courses import Course, LevelChange, climbs, drawn, figures
from midwatch_mcp.metrics.room import (
    MAX_QUERY,
    WARNINGS,
    MetricsRoom,
    checked,
    entries,
    labels,
    raw_counter,
    said_of,
)
from midwatch_mcp.shapes import Outside
from midwatch_mcp.tool import Answer, tool

SHOWN = 20
"""Series in one answer."""
READ = 200
MAX_RANGE_S = 31 * 86_400.0
_MIN_STEP_S = 0.1
_FINEST_S = 1.0
"""A shorter step is asked for only where the points that the caller wants need it."""
_READ_POINTS = 240
"""Samples of a series that are read, so that what is shown of it can be chosen."""


class MetricsRangeData(Model):
    """The answer to a range query."""

    query: str
    start: float
    end: float
    step_s: float
    """Between the samples that the figures, sparkline and changes are of; points are fewer."""
    series: list[Course]
    hint: str | None = None
    """What is better asked, where the query reads a counter's lifetime total."""
    warnings: list[Outside] = Field(default_factory=list[str])
    """What the API said of its own answer, such as a part that is missing."""


@tool(
    name="metrics_range",
    title="Query metrics over time",
    description=(
        "Evaluate a PromQL query from start to end (default: the last duration): each series with first, last, min, "
        "max, mean, a sparkline, changes of level, and at most the given points."
    ),
    cluster="metrics",
    cost="medium",
    read_only=True,
    destructive=False,
    idempotent=True,
    open_world=False,
)
async def metrics_range(
    room: MetricsRoom,
    *,
    query: Annotated[str, Field(min_length=1, max_length=MAX_QUERY, description="PromQL")],
    start: Annotated[float | None, Field(gt=0, description="Unix seconds; default: end - duration")] = None,
    end: Annotated[float | None, Field(gt=0, description="Unix seconds; default: now")] = None,
    duration: Annotated[str, Field(max_length=20, description="e.g. 90s, 5m; used where start is left out")] = "5m",
    points: Annotated[int, Field(ge=2, le=500, description="most points a series")] = 60,
) -> Answer[MetricsRangeData]:
    """Parse, choose the step, ask, and summarise each series."""
    parsed = checked(query, allow=frozenset({ValueType.VECTOR, ValueType.SCALAR}))
    begin, finish = _range(room, start, end, duration)
    coarse = math.ceil((finish - begin) / (points - 1) * 1000) / 1000
    fine = max(math.ceil((finish - begin) / _READ_POINTS * 1000) / 1000, _FINEST_S)
    step = max(min(coarse, fine), _MIN_STEP_S)
    series, warnings = await read_courses(room, query, begin, finish, step)
    counter = raw_counter(parsed) if climbs(series) else None
    shown = [drawn(course, (begin, finish), points, counter=counter is not None) for course in series[:SHOWN]]
    hint = None if counter is None else f"{counter} is a counter, read as its lifetime total: ask rate({counter}[5m])"
    head = {"query": query, "start": begin, "end": finish, "step_s": step, "hint": hint}
    data = MetricsRangeData.model_validate(head | {"series": shown, "warnings": warnings[:WARNINGS]})
    full = head | {"series": series, "warnings": warnings}
    return Answer(_summary(data, len(series)), data, full=full, truncated=len(series) > SHOWN or _fewer(shown, series))


def _fewer(shown: list[Course], series: list[Course]) -> bool:
    return any(len(one.points) < len(whole.points) for one, whole in zip(shown, series, strict=False))


async def read_courses(
    room: MetricsRoom, query: str, begin: float, finish: float, step: float
) -> tuple[list[Course], list[str]]:
    """Evaluate a query from `begin` to `finish` (Unix seconds) every `step` seconds; return its series and warnings.

    Raises:
        MetricsError: the API refused, or more than `READ` series match.
    """
    found, warnings = await room.client.query(
        "query_range",
        {
            "query": query,
            "start": f"{begin:.3f}",
            "end": f"{finish:.3f}",
            "step": f"{step:.3f}",
            "limit": READ + 1,
        },
    )
    if found.get("resultType") != "matrix":
        raise MetricsError(f"the metrics API answered a {found.get('resultType')}, not a matrix")
    listed = entries(found.get("result"))
    if len(listed) > READ:
        raise MetricsError(f"the query matches more than {READ} series: aggregate with sum by (...), or narrow it")
    return [_course(entry) for entry in listed], warnings


def seconds_of(name: str, text: str) -> float:
    """Read an argument that is a duration, such as `15m`.

    Raises:
        RefusedError: it is none, or over the 31 days that may be asked for.
    """
    try:
        found = parse_duration(text)
    except ContractError as error:
        raise RefusedError(f"{name}: {error}") from error
    if not 0 < found <= MAX_RANGE_S:
        raise RefusedError(f"{name}: {text!r} is not between 0 and the limit of 31 days")
    return found


def _range(room: MetricsRoom, start: float | None, end: float | None, duration: str) -> tuple[float, float]:
    finish = room.clock.now() if end is None else end
    begin = finish - seconds_of("duration", duration) if start is None else start
    if begin >= finish:
        raise RefusedError(f"the range is empty: it starts at {begin:.3f} and ends at {finish:.3f} (Unix seconds)")
    if finish - begin > MAX_RANGE_S:
        raise RefusedError(f"the range is {(finish - begin) / 86_400:.1f} days, over the limit of 31: ask for less")
    return begin, finish


def _course(entry: dict[str, Any]) -> Course:
    pairs = cast("list[list[Any]]", entry.get("values") or [])
    return figures(labels(entry.get("metric")), [(float(moment), sample(text)) for moment, text in pairs])


def _summary(data: MetricsRangeData, many: int) -> str:
    if not many:
        return "No data: no series matches in the range." + said_of(data.warnings)
    text = f"{many} series over {data.end - data.start:.0f} s."
    moved = [course for course in data.series if course.changes]
    only = data.series[0]
    if many == 1:
        text += f" {only.sparkline}"
        if only.last is not None:
            text += f" From {only.first:.6g} to {only.last:.6g}; least {only.min:.6g}, most {only.max:.6g}."
        text += "".join(f" Level {_told(change)}." for change in only.changes)
    elif moved:
        last = max((change for course in moved for change in course.changes), key=lambda change: change.at)
        text += f" {len(moved)} of them changed their level, last {rfc3339(last.at)}."
    text += f" {data.hint}." if data.hint else ""
    text += f" Shown: the first {SHOWN}." if many > SHOWN else ""
    return text + said_of(data.warnings)


def _told(change: LevelChange) -> str:
    return f"{change.before:.4g} until {rfc3339(change.at)}, then {change.after:.4g}"
