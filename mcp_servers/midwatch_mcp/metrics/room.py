"""What the metrics tools work with."""

from dataclasses import dataclass, field
from typing import Any, cast

from midwatch_contracts.clock import Clock, WallClock
from midwatch_contracts.errors import PromqlError
from midwatch_contracts.promql import ValueType, expr_type, parse
from midwatch_mcp.errors import RefusedError
from midwatch_mcp.metrics.client import PrometheusClient

MAX_QUERY = 10_000
"""Longest query in characters."""


@dataclass(frozen=True)
class MetricsRoom:
    """One Prometheus-compatible API and a clock to read `now` from."""

    client: PrometheusClient
    clock: Clock = field(default_factory=WallClock)


def checked(query: str, *, allow: frozenset[ValueType]) -> None:
    """Parse a query before it is sent.

    Raises:
        RefusedError: it does not parse (with the place), or has a type that the tool does not answer.
    """
    try:
        found = expr_type(parse(query))
    except PromqlError as error:
        place = "" if error.position is None else f" (at character {error.position + 1})"
        raise RefusedError(f"the query does not parse{place}: {error}") from error
    if found not in allow:
        wanted = " or ".join(sorted(kind.value for kind in allow))
        mend = "; wrap it in a function such as rate(), or ask for less" if found is ValueType.MATRIX else ""
        raise RefusedError(f"the query gives a {found.value}, where a {wanted} is needed{mend}")


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
