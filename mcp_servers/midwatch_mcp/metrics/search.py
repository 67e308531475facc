"""`metrics_search`: metrics by what a question means, over names, help, labels and label values."""

import asyncio
from typing import Annotated

from pydantic import Field

from midwatch_contracts.model import Model
from midwatch_mcp.metrics.catalogue import PLAIN, Family, families, labels_of, series_of, values_meant
from midwatch_mcp.metrics.room import MetricsRoom
from midwatch_mcp.metrics.wording import Described, Index
from midwatch_mcp.shapes import Outside
from midwatch_mcp.tool import Answer, tool

DETAILED = 10
"""Metrics, from the best, of which labels and number of series are read."""


class Metric(Model):
    """One metric; a histogram is one, by its buckets."""

    name: str
    type: str
    """As its exposition says; else by its name; else `unknown`."""
    unit: Outside
    """As its exposition says, else by its name; empty where neither tells."""
    help: Outside
    """A series that a rule records has the rule's expression here."""
    example: str
    """A query that reads it as its type is meant to be read."""
    labels: list[Outside] | None = None
    """Names of its labels; None beyond the tenth metric."""
    series: int | None = None
    """How many it has now; None where it is not measured."""
    values: list[Outside] = Field(default_factory=list[str])
    """Label values that the question means, such as `OOMKilled`."""


class MetricsSearchData(Model):
    """The metrics that fit best, best first."""

    metrics: list[Metric]
    matched: int
    total: int


@tool(
    name="metrics_search",
    title="Find metrics",
    description=(
        "Find metrics by what you want to know, in everyday words, over names, help, labels and their values, best "
        "first, each with type, unit, labels and an example query; an empty text lists names."
    ),
    cluster="metrics",
    cost="low",
    read_only=True,
    destructive=False,
    idempotent=True,
    open_world=False,
)
async def metrics_search(
    room: MetricsRoom,
    text: Annotated[str, Field(max_length=200, description="such as: slow first token")] = "",
    limit: Annotated[int, Field(ge=1, le=200)] = 20,
) -> Answer[MetricsSearchData]:
    """Rank every metric by the words, then look more closely at the best."""
    known, meant = await asyncio.gather(families(room), values_meant(room, text) if text.strip() else _nothing())
    ranked = _ranked(known, meant, text) if text.strip() else known
    best = ranked[: min(limit, DETAILED)]
    series, names = await asyncio.gather(series_of(room, best), asyncio.gather(*(labels_of(room, one) for one in best)))
    found = [_metric(family, meant.get(family.counted, set())) for family in ranked]
    for place, (family, own) in enumerate(zip(best, names, strict=True)):
        found[place] = found[place].model_copy(update={"labels": own, "series": series.get(family.counted)})
    data = MetricsSearchData(metrics=found[:limit], matched=len(found), total=len(known))
    return Answer(_summary(data, text), data, full={"metrics": found}, truncated=len(found) > limit)


async def _nothing() -> dict[str, set[str]]:
    return {}


def _ranked(known: list[Family], meant: dict[str, set[str]], text: str) -> list[Family]:
    described = [Described(one.name, one.help, sorted(meant.get(one.counted, ()))) for one in known]
    scores = Index.of(described).scores(text)
    order = sorted(range(len(known)), key=lambda place: (-scores[place], known[place].name))
    return [known[place] for place in order if scores[place] > 0]


def _metric(family: Family, values: set[str]) -> Metric:
    return Metric(
        name=family.name,
        type=family.type,
        unit=family.unit,
        help=family.help,
        example=family.example,
        values=sorted(values),
    )


def _summary(data: MetricsSearchData, text: str) -> str:
    told = f"{data.matched} of {data.total} metrics match."
    if not data.metrics or not text.strip():
        return told
    best = data.metrics[0]
    # A name beyond the old alphabet may be a sentence of somebody's: it stays in its field.
    return told + (f" Best: {best.name} ({best.type}): {best.example}." if PLAIN.fullmatch(best.name) else "")
