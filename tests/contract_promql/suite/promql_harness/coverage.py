"""What of the language a set of queries uses, and what there is to use."""

from collections import Counter
from collections.abc import Iterable, Iterator

from midwatch_contracts.promql import (
    AGGREGATIONS,
    COMPARISONS,
    EVERY_FEATURE,
    EXPERIMENTAL_AGGREGATIONS,
    FUNCTIONS,
    SET_OPERATORS,
    Aggregate,
    Binary,
    Call,
    DurationOperation,
    Expr,
    MatrixSelector,
    PromqlError,
    Subquery,
    VectorSelector,
    children,
    parse,
)

NATIVE_ONLY = frozenset({"histogram_avg", "histogram_count", "histogram_stddev", "histogram_stdvar", "histogram_sum"})
"""Functions of native histograms, which the lab refuses by name: named differences."""
_OPERATORS = {"+", "-", "*", "/", "%", "^", "atan2"} | COMPARISONS | SET_OPERATORS
_MODIFIERS = {
    *("offset", "@", "@ start()", "@ end()", "anchored", "smoothed", "subquery", "subquery with a step"),
    *("by", "without", "on", "ignoring", "group_left", "group_right", "bool", "fill", "fill_left", "fill_right"),
    *("=", "!=", "=~", "!~", "unary -", "duration +", "duration -", "duration *", "duration /", "duration %"),
    *("duration ^", "duration step", "duration range", "duration min_of", "duration max_of"),
}
EVERYTHING = (
    {f"{name}()" for name in FUNCTIONS if name not in NATIVE_ONLY}
    | AGGREGATIONS
    | EXPERIMENTAL_AGGREGATIONS
    | _OPERATORS
    | _MODIFIERS
    | {"duration group"}
)
"""Every function, aggregation, operator and modifier that the lab answers for."""


def uses(queries: Iterable[str]) -> Counter[str]:
    """Count in how many of the queries each of `EVERYTHING` stands."""
    count: Counter[str] = Counter()
    for query in queries:
        try:
            expr = parse(query, EVERY_FEATURE)
        except PromqlError:
            continue
        count.update(set(_of(expr)))
    return count


def _of(expr: Expr) -> Iterator[str]:
    match expr:
        case VectorSelector():
            yield from _selector(expr)
        case MatrixSelector():
            yield from _duration(expr.range_expr)
        case Subquery():
            yield "subquery" if expr.step_ms is None else "subquery with a step"
            yield from _read_at(expr)
            yield from (*_duration(expr.range_expr), *_duration(expr.step_expr))
        case Call():
            yield f"{expr.function}()"
        case Aggregate():
            yield expr.op
            if expr.grouping or expr.without:
                yield "without" if expr.without else "by"
        case Binary():
            yield from _binary(expr)
        case _ if type(expr).__name__ == "Unary":
            yield "unary -"
        case _:
            pass
    for child in children(expr):
        yield from _of(child)


def _selector(expr: VectorSelector) -> Iterator[str]:
    yield from (matcher.op for matcher in expr.matchers)
    if expr.extension is not None:
        yield expr.extension
    yield from _read_at(expr)


def _read_at(expr: VectorSelector | Subquery) -> Iterator[str]:
    if expr.offset_ms is not None:
        yield "offset"
    yield from _duration(expr.offset_expr)
    if expr.at is not None:
        yield f"@ {expr.at}()" if isinstance(expr.at, str) else "@"


def _duration(duration: DurationOperation | None) -> Iterator[str]:
    if duration is None:
        return
    yield f"duration {duration.op}"
    for side in (duration.left, duration.right):
        if isinstance(side, DurationOperation):
            yield from _duration(side)


def _binary(expr: Binary) -> Iterator[str]:
    yield expr.op
    if expr.return_bool:
        yield "bool"
    matching = expr.matching
    if matching is None:
        return
    yield "on" if matching.on else "ignoring"
    if matching.group is not None:
        yield f"group_{matching.group}"
    left, right = matching.fill_left, matching.fill_right
    if left is not None and left == right:
        yield "fill"
    else:
        yield from (name for name, value in (("fill_left", left), ("fill_right", right)) if value is not None)
