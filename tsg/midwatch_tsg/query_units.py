"""The unit of a PromQL query, from the names of its metrics (Prometheus' naming rules: the unit is a suffix)."""

from midwatch_contracts.cel import Unit
from midwatch_contracts.promql import (
    Aggregate,
    Binary,
    Call,
    Expr,
    MatrixSelector,
    Paren,
    Subquery,
    Unary,
    VectorSelector,
    selectors,
)

_SUFFIXES: tuple[tuple[str, Unit], ...] = (
    ("_seconds", "seconds"),
    ("_bytes", "bytes"),
    ("_perc", "ratio"),
    ("_ratio", "ratio"),
    ("_tokens", "count"),
    ("_count", "count"),
    ("_replicas", "count"),
)
_KEEP_AGGREGATE = frozenset({"sum", "avg", "min", "max", "topk", "bottomk", "quantile", "stddev"})
_KEEP_CALL = frozenset(
    {"abs", "ceil", "floor", "round", "sort", "sort_desc", "clamp", "clamp_min", "clamp_max", "scalar", "increase"}
    | {"delta", "label_replace"}
)


def query_unit(query: Expr) -> Unit | None:  # noqa: PLR0911 (one case a kind of node)
    """Return the unit of the value of a query, or None when its names do not tell."""
    match query:
        case VectorSelector():
            return _metric(query.name or "")
        case MatrixSelector():
            return query_unit(query.selector)
        case Paren() | Unary() | Subquery():
            return query_unit(query.expr)
        case Aggregate() if query.op in {"count", "group"}:
            return "count"
        case Aggregate():
            return query_unit(query.expr) if query.op in _KEEP_AGGREGATE else None
        case Call():
            return _call(query)
        case Binary():
            return _binary(query)
        case _:
            return None


def _binary(query: Binary) -> Unit | None:
    left, right = query_unit(query.left), query_unit(query.right)
    if query.op == "/" and left is not None and left == right:
        return "ratio"
    same = right is None or left == right
    return left if same and query.op in {"or", "and", "unless", "+", "-"} else None


def _call(query: Call) -> Unit | None:
    name = query.function
    if name in {"rate", "irate"}:
        return _rate(query)
    if name in {"time", "timestamp"}:
        return "seconds"
    if name == "count_over_time":
        return "count"
    if name in {"histogram_quantile", "quantile_over_time"}:
        return query_unit(query.args[-1])
    return query_unit(query.args[0]) if name in _KEEP_CALL or name.endswith("_over_time") else None


def _rate(query: Call) -> Unit | None:
    """Buckets keep the unit of what they measure, for histogram_quantile's sake; a count becomes one per second."""
    selector = selectors(query)[:1]
    unit = query_unit(query.args[0])
    if selector and (selector[0].name or "").endswith("_bucket"):
        return unit
    return "per_second" if unit == "count" else None


def _metric(name: str) -> Unit | None:
    if name == "up" or ":num_" in name or name.startswith("num_"):
        return "count"
    measured = name
    for part in ("_bucket", "_sum", "_total"):
        measured = measured.removesuffix(part)
    for suffix, unit in _SUFFIXES:
        if measured.endswith(suffix):
            return unit
    return "count" if name.endswith("_total") else None
