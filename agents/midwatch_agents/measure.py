"""Before and after: the plan's own query, read just before the change and once it is verified.

Nothing here knows of TTFT: what is read is what the plan promises to improve, its first expectation over a query.
"""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from midwatch_agents.errors import ToolCallError
from midwatch_agents.events import Recorder
from midwatch_agents.tools import Caller

LEAD_S = 45.0
"""How much of the time before the change the chart shows."""
POINTS = 60


def first_query(plan: Mapping[str, Any]) -> str | None:
    """Return the first query among a plan's expectations; None when all are over objects."""
    expectations = cast("Sequence[Mapping[str, Any]]", plan.get("expect", ()))
    return next((str(e["promql"]) for e in expectations if e.get("promql")), None)


def reading(data: Mapping[str, Any]) -> float | None:
    """Return the value of an instant answer, the highest where it has several series; None for no data or NaN."""
    series = cast("Sequence[Mapping[str, Any]]", data.get("series", ()))
    values = [float(item["value"]) for item in series if isinstance(item.get("value"), int | float)]
    return max(values, default=None)


async def now(caller: Caller, recorder: Recorder, promql: str | None, *, name: str, step: str) -> float | None:
    """Read the query once and record it as `name`; a reading that fails is recorded as not measured."""
    if promql is None:
        return None
    try:
        result = await caller.call("metrics_query", {"query": promql}, step=step)
    except ToolCallError as error:
        recorder.record("measured", {"name": name, "query": promql, "value": None, "says": str(error)}, step=step)
        return None
    value = reading(result.data)
    body = {"name": name, "query": promql, "value": value, "basis": "measured", "says": result.summary}
    recorder.record("measured", body, step=step, evidence=result.evidence.id)
    return value


async def series(caller: Caller, recorder: Recorder, promql: str | None, *, since: float | None, now: float) -> None:
    """Record the query's course over the change, for the chart."""
    if promql is None or since is None or now <= since:
        return
    arguments = {"query": promql, "start": since - LEAD_S, "end": now, "points": POINTS}
    try:
        result = await caller.call("metrics_range", arguments, step="verify")
    except ToolCallError:
        # The caller has recorded why; a chart that is missing changes nothing about the verdict.
        return
    courses = cast("Sequence[Mapping[str, Any]]", result.data.get("series", ()))
    found = [_points(item) for item in courses]
    points = max(found, key=len, default=list[list[float]]())
    recorder.record("series", {"query": promql, "points": points, "changed_at": since}, evidence=result.evidence.id)


def _points(item: Mapping[str, Any]) -> list[list[float]]:
    raw = cast("Sequence[Sequence[Any]]", item.get("points", ()))
    return [[float(at), float(value)] for at, value in raw if isinstance(value, int | float)]
