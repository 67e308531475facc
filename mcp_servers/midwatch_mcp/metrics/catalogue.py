"""What metrics there are: names, types, units and help, parts of a histogram as one, recorded series with their rule.

Metadata and rules are read where the API has them; without, a name's ending tells its type and unit, as the naming
rules of Prometheus have it (https://prometheus.io/docs/practices/naming/).
"""

import asyncio
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from midwatch_contracts.promql import quote_pattern, quote_value
from midwatch_mcp.errors import MetricsError
from midwatch_mcp.metrics.client import sample
from midwatch_mcp.metrics.room import MetricsRoom, entries, labels, part
from midwatch_mcp.metrics.wording import meant, stem, words

NAMES = 50_000
"""Names that are searched; an API with more is asked for these."""
PLAIN = re.compile(r"[A-Za-z_:][A-Za-z0-9_:]*")
_TYPES = frozenset({"counter", "gauge", "histogram", "gaugehistogram", "summary", "info", "stateset"})
_PARTS = ("_bucket", "_sum", "_count")
_UNITS = ("seconds", "bytes", "ratio", "celsius", "joules", "volts", "amperes", "grams", "meters", "cores", "tokens")
_TELLING = frozenset(
    [
        "condition",
        "code",
        "finished_reason",
        "fstype",
        "method",
        "mode",
        "phase",
        "qos_class",
        "reason",
        "resource",
        "sleep_state",
        "source",
        "stage",
        "state",
        "status",
        "type",
        "verb",
    ]
)
"""Labels whose values say what a series is about; the values of others (pods, addresses) only say whose it is."""
_VALUES = 300
_MEANT_VALUES = 5


@dataclass(frozen=True)
class Family:
    """One metric; `name` is the series that a query reads."""

    name: str
    type: str
    unit: str
    help: str

    @property
    def selector(self) -> str:
        """The name as a query has it; quoted where it is beyond the old alphabet."""
        return self.name if PLAIN.fullmatch(self.name) else "{" + quote_value(self.name) + "}"

    @property
    def counted(self) -> str:
        """The series of which there is one for each set of labels."""
        return self.name.removesuffix("_bucket") + "_count" if self.type == "histogram" else self.name

    @property
    def example(self) -> str:
        """A query that reads it as its type is meant to be read."""
        if self.type == "histogram" and self.name.endswith("_bucket"):
            return f"histogram_quantile(0.95, sum by (le) (rate({self.selector}[5m])))"
        if self.type in {"counter", "histogram"}:
            return f"sum(rate({self.selector}[5m]))"
        return self.selector


async def families(room: MetricsRoom) -> list[Family]:
    """Return what metrics there are, in the order of the alphabet."""
    names, metadata, rules = await asyncio.gather(
        room.client.get("label/__name__/values", {"limit": NAMES}),
        room.client.get_if_offered("metadata", {"limit_per_metric": 1}),
        room.client.get_if_offered("rules", {"type": "record"}),
    )
    known = sorted({str(name) for name in cast("list[Any]", names or [])[:NAMES]})
    told = cast("dict[str, Any]", metadata) if isinstance(metadata, dict) else {}
    return list(_families(known, told, _recorded(rules)))


def _families(known: Sequence[str], told: Mapping[str, Any], recorded: Mapping[str, str]) -> Iterator[Family]:
    there = set(known)
    for name in known:
        base = next((name.removesuffix(end) for end in _PARTS if name.endswith(end)), name)
        described = next((one for one in (name, base, name.removesuffix("_total")) if one in told), name)
        first = (entries(told.get(described)) or [{}])[0]
        kind = str(first.get("type"))
        if kind not in _TYPES:
            kind = _type_by_name(base, there) if base != name else "counter" if name.endswith("_total") else "unknown"
        if base != name and kind in {"histogram", "summary"} and name != _read(base, kind, there):
            continue
        help_text = str(first.get("help") or "") or recorded.get(name, "")
        yield Family(name, kind, str(first.get("unit") or "") or _unit(base), help_text)


def _type_by_name(base: str, there: set[str]) -> str:
    return "histogram" if all(base + end in there for end in _PARTS) else "unknown"


def _read(base: str, kind: str, there: set[str]) -> str:
    """Return the part of a histogram or summary that stands for it."""
    if kind == "histogram" and base + "_bucket" in there:
        return base + "_bucket"
    return base if base in there else base + "_count"


def _unit(name: str) -> str:
    said = name.removesuffix("_total").split("_")
    return next((unit for unit in _UNITS if unit in said[-2:]), "")


def _recorded(rules: Any) -> dict[str, str]:
    """Return what recording rules record, as `recorded: <expression>` by name."""
    groups = entries(part(rules, "groups"))
    listed = [rule for group in groups for rule in entries(group.get("rules")) if rule.get("type") == "recording"]
    return {str(rule.get("name")): f"recorded: {rule.get('query', '')}" for rule in listed}


async def values_meant(room: MetricsRoom, question: str) -> dict[str, set[str]]:
    """Return, by metric name, the label values that a question means: `OOMKilled`, `MemoryPressure`.

    Only labels whose values tell what a series is about are looked into, and the values that fit best.
    """
    offered = await room.client.get_if_offered("labels")
    listed = sorted(_TELLING & {str(name) for name in cast("list[Any]", offered or [])})
    answers = await asyncio.gather(
        *(room.client.get_if_offered(f"label/{label}/values", {"limit": _VALUES}) for label in listed)
    )
    wanted = meant(question)
    fits = [
        (sum(wanted.get(one, 0.0) for one in stems) / len(stems), label, str(value))
        for label, answer in zip(listed, answers, strict=True)
        for value in cast("list[Any]", answer or [])[:_VALUES]
        if (stems := {stem(word) for word in words(str(value))})
    ]
    best = sorted((fit for fit in fits if fit[0] > 0), reverse=True)[:_MEANT_VALUES]
    selectors = [f"{{{label}={quote_value(value)}}}" for _, label, value in best]
    found = await asyncio.gather(
        *(room.client.get_if_offered("series", {"match[]": one, "limit": _VALUES}) for one in selectors)
    )
    meant_by: dict[str, set[str]] = {}
    for (_, _, value), series in zip(best, found, strict=True):
        for entry in entries(series):
            meant_by.setdefault(labels(entry).get("__name__", ""), set()).add(value)
    return meant_by


async def labels_of(room: MetricsRoom, family: Family) -> list[str]:
    """Return the label names of a metric; none where the API does not tell."""
    found = await room.client.get_if_offered("labels", {"match[]": f"{{__name__={quote_value(family.counted)}}}"})
    return [str(name) for name in cast("list[Any]", found or []) if name != "__name__"]


async def series_of(room: MetricsRoom, listed: Sequence[Family]) -> dict[str, int]:
    """Return the number of series of each metric by the name that is counted; empty where the API does not say."""
    if not listed:
        return {}
    pattern = "|".join(quote_pattern(family.counted) for family in listed)
    query = f"count by (__name__) ({{__name__=~{quote_value(pattern)}}})"
    try:
        found, _ = await room.client.query("query", {"query": query, "time": f"{room.clock.now():.3f}"})
    except MetricsError:
        # Some APIs refuse a selector over names: then the number is not measured, which None says.
        return {}
    counts = {
        labels(entry.get("metric")).get("__name__", ""): sample((entry.get("value") or [0, "NaN"])[1])
        for entry in entries(found.get("result"))
    }
    return {name: int(count) for name, count in counts.items() if isinstance(count, float)}
