"""`metrics_burn`: how fast an objective's error budget is spent, over several windows.

Multi-window, multi-burn-rate alerting after the Site Reliability Workbook (Google, 2018), chapter 5, table 5-8: a
pair of windows says that the budget is being spent when both spend it faster than a factor; the short one makes the
alert end soon after the cause does. The factor is the share of the budget that the long window would use up: 2 % in 1
h, 5 % in 6 h, 10 % in 3 d of a period of 30 d are factors 14.4, 6 and 1.
"""

import asyncio
import re
from typing import Annotated, Any, Literal, cast

from pydantic import Field

from midwatch_contracts.model import Model
from midwatch_contracts.promql import ValueType
from midwatch_mcp.errors import RefusedError
from midwatch_mcp.metrics.client import sample
from midwatch_mcp.metrics.ranges import seconds_of
from midwatch_mcp.metrics.room import MAX_QUERY, MetricsRoom, checked, entries
from midwatch_mcp.tool import Answer, tool

PLACEHOLDER = "$window"
_ROUNDING = 1e-9
"""How far beyond 0 and 1 a share may be calculated."""


class _Pair(Model):
    severity: Literal["page", "ticket"]
    long: str
    short: str
    budget: float


PAIRS = (
    _Pair(severity="page", long="1h", short="5m", budget=0.02),
    _Pair(severity="page", long="6h", short="30m", budget=0.05),
    _Pair(severity="ticket", long="3d", short="6h", budget=0.10),
)


class BurnPair(Model):
    """One pair of windows. A burn rate of 1 spends the budget exactly by the end of the period."""

    severity: Literal["page", "ticket"]
    long: str
    short: str
    factor: float
    """Both burn rates above this is an alert."""
    long_burn: float | None
    """None: no data."""
    short_burn: float | None
    burning: bool | None
    """None where a window has no data."""


class MetricsBurnData(Model):
    """The pairs, and the shares of bad events by window."""

    query: str
    objective: float
    period: str
    at: float
    pairs: list[BurnPair]
    bad_ratio: dict[str, float | None]
    """By window: bad events among all, 0 to 1."""


@tool(
    name="metrics_burn",
    title="Objective burn",
    description=(
        "How fast an objective's error budget is spent: multi-window burn rates. The query gives the share of bad "
        "events over $window, e.g. 1 - sum(rate(ttft_bucket{le='2.0'}[$window])) / sum(rate(ttft_count[$window]))."
    ),
    cluster="metrics",
    cost="medium",
    read_only=True,
    destructive=False,
    idempotent=True,
    open_world=False,
)
async def metrics_burn(
    room: MetricsRoom,
    *,
    query: Annotated[
        str, Field(min_length=1, max_length=MAX_QUERY, description="PromQL with $window; one series, 0 to 1")
    ],
    objective: Annotated[float, Field(gt=0, lt=1, description="share of good events, e.g. 0.99")],
    period: Annotated[str, Field(max_length=20, description="over which the objective holds")] = "30d",
    time: Annotated[float | None, Field(gt=0, description="Unix seconds; default: now")] = None,
) -> Answer[MetricsBurnData]:
    """Ask for every window at once and judge the pairs."""
    if PLACEHOLDER not in query:
        raise RefusedError(f"the query must give its range as {PLACEHOLDER}, as in rate(x_total[{PLACEHOLDER}])")
    seconds = seconds_of("period", period)
    windows = dict.fromkeys(name for pair in PAIRS for name in (pair.long, pair.short))
    queries = {name: _with_window(query, name) for name in windows}
    for text in queries.values():
        checked(text, allow=frozenset({ValueType.VECTOR, ValueType.SCALAR}))
    moment = room.clock.now() if time is None else time
    found = await asyncio.gather(*(_ratio(room, text, moment) for text in queries.values()))
    ratios = dict(zip(queries, found, strict=True))
    pairs = [_judge(pair, ratios, 1.0 - objective, seconds) for pair in PAIRS]
    data = MetricsBurnData(query=query, objective=objective, period=period, at=moment, pairs=pairs, bad_ratio=ratios)
    return Answer(_summary(data), data)


def _with_window(query: str, window: str) -> str:
    return re.sub(r"\$window\b", window, query)


async def _ratio(room: MetricsRoom, query: str, moment: float) -> float | None:
    found, _ = await room.client.query("query", {"query": query, "time": f"{moment:.3f}", "limit": 2})
    result = found.get("result")
    if found.get("resultType") == "scalar":
        values = [sample(text) for text in cast("list[Any]", result or [])[1:2]]
    else:
        values = [sample((entry.get("value") or [0, "NaN"])[1]) for entry in entries(result)]
    if len(values) > 1:
        raise RefusedError("the query gives several series, where an objective has one: aggregate it with sum(...)")
    value = values[0] if values else None
    if not isinstance(value, float):
        return None
    if not -_ROUNDING <= value <= 1 + _ROUNDING:
        raise RefusedError(f"the query gives {value:.6g}, which is no share of bad events: it must lie between 0 and 1")
    return min(max(value, 0.0), 1.0)


def _judge(pair: _Pair, ratios: dict[str, float | None], budget: float, period_s: float) -> BurnPair:
    factor = pair.budget * period_s / seconds_of("window", pair.long)
    long, short = (None if ratios[name] is None else (ratios[name] or 0.0) / budget for name in (pair.long, pair.short))
    return BurnPair(
        severity=pair.severity,
        long=pair.long,
        short=pair.short,
        factor=round(factor, 6),
        long_burn=long,
        short_burn=short,
        burning=None if long is None or short is None else long > factor and short > factor,
    )


def _summary(data: MetricsBurnData) -> str:
    if all(pair.burning is None for pair in data.pairs):
        return "No data: the query has no value over any pair of windows."
    burning = [pair for pair in data.pairs if pair.burning]
    rates = ", ".join(
        f"{window} {ratio / (1.0 - data.objective):.3g}"
        for window, ratio in data.bad_ratio.items()
        if ratio is not None
    )
    if not burning:
        return f"No pair of windows spends the budget too fast. Burn rates: {rates}."
    named = "; ".join(f"{pair.severity}: {pair.long} and {pair.short} above {pair.factor:g}" for pair in burning)
    return f"The error budget is being spent too fast ({named}). Burn rates: {rates}."
