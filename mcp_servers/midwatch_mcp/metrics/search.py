"""`metrics_search`: metric names by words, over the name, the help text and the unit."""

import asyncio
import re
from collections.abc import Mapping
from typing import Annotated, Any, cast

from pydantic import Field

from midwatch_contracts.model import Model
from midwatch_mcp.metrics.room import MetricsRoom, entries
from midwatch_mcp.shapes import Outside
from midwatch_mcp.tool import Answer, tool

_WORDS = re.compile(r"[a-z0-9]+")
_TYPES = frozenset({"counter", "gauge", "histogram", "gaugehistogram", "summary", "info", "stateset"})
_PREFIX = 4
"""Letters that two words must share to count as forms of one (`queue`, `queueing`)."""


class Metric(Model):
    """One metric family."""

    name: str
    type: str
    """As its exposition says; `unknown` where the server holds no metadata."""
    unit: Outside
    help: Outside


class MetricsSearchData(Model):
    """The metrics that fit best, best first."""

    metrics: list[Metric]
    matched: int
    total: int


@tool(
    name="metrics_search",
    title="Find metrics",
    description="Find metric names by words of their name or help text, best first; an empty text lists names.",
    cluster="metrics",
    cost="low",
    read_only=True,
    destructive=False,
    idempotent=True,
    open_world=False,
)
async def metrics_search(
    room: MetricsRoom,
    text: Annotated[str, Field(max_length=200, description="words, such as: time to first token")] = "",
    limit: Annotated[int, Field(ge=1, le=200)] = 20,
) -> Answer[MetricsSearchData]:
    """Score every name against the words."""
    names, metadata = await asyncio.gather(
        room.client.get("label/__name__/values"), room.client.get("metadata", {"limit_per_metric": 1})
    )
    known = [str(name) for name in cast("list[Any]", names or [])]
    told = cast("dict[str, Any]", metadata or {})
    wanted = _WORDS.findall(text.casefold())
    scored = [(_score(wanted, metric), metric) for metric in (_metric(name, told) for name in known)]
    found = [metric for score, metric in sorted(scored, key=lambda pair: (-pair[0], pair[1].name)) if score > 0]
    data = MetricsSearchData(metrics=found[:limit], matched=len(found), total=len(known))
    best = f" Best: {found[0].name}." if found and wanted else ""
    return Answer(
        f"{len(found)} of {len(known)} metrics match.{best}",
        data,
        full={"metrics": found},
        truncated=len(found) > limit,
    )


def _metric(name: str, told: Mapping[str, Any]) -> Metric:
    """Return what is known of a series name; parts of a histogram or summary carry the metadata of their family."""
    family = next((base for base in (name, *_families(name)) if base in told), name)
    first = (entries(told.get(family)) or [{"type": "unknown"}])[0]
    kind = str(first.get("type"))
    return Metric(
        name=name,
        type=kind if kind in _TYPES else "unknown",
        unit=str(first.get("unit") or ""),
        help=str(first.get("help") or ""),
    )


def _families(name: str) -> list[str]:
    return [name.removesuffix(end) for end in ("_bucket", "_sum", "_count", "_total") if name.endswith(end)]


def _score(wanted: list[str], metric: Metric) -> float:
    """Return 1 for an empty search, else 2 a word in the name and 1 in the help, less for shared beginnings."""
    if not wanted:
        return 1.0
    named, told = set(_WORDS.findall(metric.name.casefold())), set(_WORDS.findall(metric.help.casefold()))
    total = sum(2.0 * _likeness(word, named) + _likeness(word, told) for word in wanted)
    return total / len(wanted) if total else 0.0


def _likeness(word: str, words: set[str]) -> float:
    if word in words:
        return 1.0
    alike = len(word) >= _PREFIX and any(
        other.startswith(word[:_PREFIX]) and (other.startswith(word) or word.startswith(other)) for other in words
    )
    return 0.5 if alike else 0.0
