"""What the metrics tools work with."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from midwatch_contracts.clock import Clock, WallClock
from midwatch_contracts.errors import PromqlError
from midwatch_contracts.promql import Aggregate, Expr, Paren, ValueType, VectorSelector, expr_type, parse
from midwatch_mcp.errors import RefusedError
from midwatch_mcp.metrics.client import PrometheusClient

MAX_QUERY = 10_000
"""Longest query in characters."""
WARNINGS = 5
"""Warnings of the API in one answer."""
_COUNTER_ENDS = ("_total", "_bucket", "_count")
_SUMS = frozenset({"sum", "max", "min", "avg"})


@dataclass(frozen=True)
class MetricsRoom:
    """One Prometheus-compatible API and a clock to read `now` from."""

    client: PrometheusClient
    clock: Clock = field(default_factory=WallClock)


def checked(query: str, *, allow: frozenset[ValueType]) -> Expr:
    """Parse a query before it is sent, and return it.

    Raises:
        RefusedError: it does not parse (with the place), or has a type that the tool does not answer.
    """
    try:
        parsed = parse(query)
        found = expr_type(parsed)
    except PromqlError as error:
        place = "" if error.position is None else f" (at character {error.position + 1})"
        raise RefusedError(f"the query does not parse{place}: {error}") from error
    if found not in allow:
        wanted = " or ".join(sorted(kind.value for kind in allow))
        mend = "; wrap it in a function such as rate(), or ask for less" if found is ValueType.MATRIX else ""
        raise RefusedError(f"the query gives a {found.value}, where a {wanted} is needed{mend}")
    return parsed


def raw_counter(query: Expr) -> str | None:
    """Return the counter that a query shows as its lifetime total, alone or summed up, by its name; else None."""
    while isinstance(query, Paren) or (isinstance(query, Aggregate) and query.op in _SUMS):
        query = query.expr
    if not isinstance(query, VectorSelector):
        return None
    name = next((one.value for one in query.matchers if one.name == "__name__" and one.op == "="), query.name)
    return name if name is not None and name.endswith(_COUNTER_ENDS) else None


def said_of(warnings: Sequence[str]) -> str:
    """Return the sentence that sends a reader to the API's own warnings; their text stays in a field of its own."""
    return " The API warns of its answer: see warnings." if warnings else ""


def entries(value: Any) -> list[dict[str, Any]]:
    """Return a list of objects, or an empty list for anything else."""
    return [item for item in cast("list[Any]", value) if isinstance(item, dict)] if isinstance(value, list) else []


def part(value: Any, key: str) -> Any:
    """Return a field of an object, or None where there is no such field or no object."""
    return cast("dict[str, Any]", value).get(key) if isinstance(value, dict) else None


def labels(value: Any) -> dict[str, str]:
    """Return a label set."""
    if not isinstance(value, dict):
        return {}
    return {str(name): str(text) for name, text in cast("dict[str, Any]", value).items()}
