"""`metrics_range`: the course of a query over a time, summarised and thinned."""

import math
from typing import Annotated, Any, cast

from pydantic import Field

from midwatch_contracts.errors import ContractError
from midwatch_contracts.model import Model
from midwatch_contracts.promql import ValueType
from midwatch_contracts.times import parse_duration
from midwatch_mcp.errors import MetricsError, RefusedError
from midwatch_mcp.metrics.client import sample
from midwatch_mcp.metrics.room import MAX_QUERY, MetricsRoom, checked, entries, labels
from midwatch_mcp.shapes import Number, Outside
from midwatch_mcp.tool import Answer, tool

SHOWN = 20
"""Series in one answer."""
READ = 200
MAX_RANGE_S = 31 * 86_400.0
_MIN_STEP_S = 0.1


class Course(Model):
    """One series over the range; the figures leave NaN and infinities out, and are None where nothing is left."""

    labels: dict[str, Outside]
    first: float | None
    last: float | None
    min: float | None
    max: float | None
    mean: float | None
    points: list[tuple[float, Number]]


class MetricsRangeData(Model):
    """The answer to a range query."""

    query: str
    start: float
    end: float
    step_s: float
    series: list[Course]


@tool(
    name="metrics_range",
    title="Query metrics over time",
    description=(
        "Evaluate a PromQL query from start to end (default: the last duration) at no more than the given points; each "
        "series with first, last, min, max, mean."
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
    checked(query, allow=frozenset({ValueType.VECTOR, ValueType.SCALAR}))
    begin, finish = _range(room, start, end, duration)
    step = max(math.ceil((finish - begin) / (points - 1) * 1000) / 1000, _MIN_STEP_S)
    series, warnings = await read_courses(room, query, begin, finish, step)
    head = {"query": query, "start": begin, "end": finish, "step_s": step}
    data = MetricsRangeData.model_validate(head | {"series": series[:SHOWN]})
    full = head | {"series": series, "warnings": warnings}
    return Answer(_summary(series, finish - begin), data, full=full, truncated=len(series) > SHOWN)


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
    series = [_course(entry) for entry in entries(found.get("result"))]
    if len(series) > READ:
        raise MetricsError(f"the query matches more than {READ} series: aggregate with sum by (...), or narrow it")
    return series, warnings


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
        raise RefusedError(f"{name}: {text!r} is not between 0 and 31 days")
    return found


def _range(room: MetricsRoom, start: float | None, end: float | None, duration: str) -> tuple[float, float]:
    finish = room.clock.now() if end is None else end
    try:
        begin = finish - parse_duration(duration) if start is None else start
    except ContractError as error:
        raise RefusedError(f"duration: {error}") from error
    if begin >= finish:
        raise RefusedError(f"the range is empty: it starts at {begin:.3f} and ends at {finish:.3f} (Unix seconds)")
    if finish - begin > MAX_RANGE_S:
        raise RefusedError(f"the range is {(finish - begin) / 86_400:.1f} days, over the limit of 31: ask for less")
    return begin, finish


def _course(entry: dict[str, Any]) -> Course:
    pairs = cast("list[list[Any]]", entry.get("values") or [])
    points = [(float(moment), sample(text)) for moment, text in pairs]
    numbers = [value for _, value in points if isinstance(value, float)]
    return Course(
        labels=labels(entry.get("metric")),
        first=numbers[0] if numbers else None,
        last=numbers[-1] if numbers else None,
        min=min(numbers, default=None),
        max=max(numbers, default=None),
        mean=math.fsum(numbers) / len(numbers) if numbers else None,
        points=points,
    )


def _summary(series: list[Course], seconds: float) -> str:
    if not series:
        return "No data: no series matches in the range."
    text = f"{len(series)} series over {seconds:.0f} s."
    if len(series) == 1 and series[0].last is not None:
        only = series[0]
        text += f" From {only.first:.6g} to {only.last:.6g}; least {only.min:.6g}, most {only.max:.6g}."
    return text + (f" Shown: the first {SHOWN}." if len(series) > SHOWN else "")
