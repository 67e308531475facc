"""`metrics_query`: the value of a query at one time."""

from typing import Annotated, Any, Literal, cast

from pydantic import Field

from midwatch_contracts.model import Model
from midwatch_contracts.promql import ValueType
from midwatch_mcp.errors import MetricsError
from midwatch_mcp.metrics.client import sample
from midwatch_mcp.metrics.room import MAX_QUERY, WARNINGS, MetricsRoom, checked, entries, labels, said_of
from midwatch_mcp.shapes import Number, Outside
from midwatch_mcp.tool import Answer, tool

SHOWN = 200
"""Series in one answer."""
READ = 2_000
"""Series that are read; more is refused, since nobody reads them and the server pays for them."""


class Sample(Model):
    """One series and its value."""

    labels: dict[str, Outside]
    value: Number


class MetricsQueryData(Model):
    """The answer to an instant query."""

    query: str
    at: float
    """Evaluation time, Unix seconds."""
    result_type: Literal["vector", "scalar"]
    series: list[Sample]
    warnings: list[Outside] = Field(default_factory=list[str])
    """What the API said of its own answer, such as a part that is missing."""


@tool(
    name="metrics_query",
    title="Query metrics",
    description=(
        "Evaluate a PromQL query at one time (default: now). An empty answer is no data, not zero. For a course over "
        "time use metrics_range; to find metric names use metrics_search."
    ),
    cluster="metrics",
    cost="low",
    read_only=True,
    destructive=False,
    idempotent=True,
    open_world=False,
)
async def metrics_query(
    room: MetricsRoom,
    query: Annotated[str, Field(min_length=1, max_length=MAX_QUERY, description="PromQL")],
    time: Annotated[float | None, Field(gt=0, description="Unix seconds")] = None,
) -> Answer[MetricsQueryData]:
    """Parse, ask, and show the series."""
    checked(query, allow=frozenset({ValueType.VECTOR, ValueType.SCALAR}))
    moment = room.clock.now() if time is None else time
    found, warnings = await room.client.query("query", {"query": query, "time": f"{moment:.3f}", "limit": READ + 1})
    kind = found.get("resultType")
    if kind not in {"vector", "scalar"}:
        raise MetricsError(f"the metrics API answered a {kind}, not a vector or scalar")
    series = _series(kind, found.get("result"))
    if len(series) > READ:
        raise MetricsError(f"the query matches more than {READ} series: aggregate with sum by (...), or narrow it")
    data = MetricsQueryData(
        query=query, at=moment, result_type=kind, series=series[:SHOWN], warnings=warnings[:WARNINGS]
    )
    full = {"query": query, "at": moment, "result_type": kind, "series": series, "warnings": warnings}
    return Answer(_summary(series) + said_of(warnings), data, full=full, truncated=len(series) > SHOWN)


def _series(kind: str, result: Any) -> list[Sample]:
    if kind == "scalar":
        return [Sample(labels={}, value=sample(cast("list[Any]", result)[1]))]
    return [
        Sample(labels=labels(entry.get("metric")), value=sample((entry.get("value") or [0, "NaN"])[1]))
        for entry in entries(result)
    ]


def _summary(series: list[Sample]) -> str:
    if not series:
        return "No data: no series matches."
    if len(series) == 1:
        return f"One series: {_short(series[0].value)}."
    numbers = [entry.value for entry in series if isinstance(entry.value, float)]
    spread = f", from {_short(min(numbers))} to {_short(max(numbers))}" if numbers else ", none of them a number"
    shown = f" Shown: the first {SHOWN}." if len(series) > SHOWN else ""
    return f"{len(series)} series{spread}.{shown}"


def _short(value: Number) -> str:
    return value if isinstance(value, str) else f"{value:.6g}"
