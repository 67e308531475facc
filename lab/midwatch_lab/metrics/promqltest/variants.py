"""Other queries that must answer what an instant query answers: with `@` set to its time, asked at other times.

The original's runner asks them too, since they go other ways through an evaluator.
"""

from collections.abc import Iterator
from dataclasses import replace

from midwatch_contracts.promql import Call, Expr, Subquery, VectorSelector, children, mapped

_DEPEND_ON_TIME = frozenset(
    {
        *("days_in_month", "day_of_month", "day_of_week", "day_of_year", "hour", "minute", "month", "year"),
        *("end", "range", "start", "step", "time", "timestamp", "predict_linear"),
    }
)


def calls(expr: Expr) -> Iterator[str]:
    """Return the names of all functions that a query calls."""
    if isinstance(expr, Call):
        yield expr.function
    for child in children(expr):
        yield from calls(child)


def variants(expr: Expr, at: int) -> list[tuple[Expr, int]]:
    """Return (query, time in ms): every outermost selector or subquery reads at `at`, whenever it is asked.

    None where a function answers by the time of the evaluation itself.
    """
    if not _DEPEND_ON_TIME.isdisjoint(calls(expr)):
        return []
    times = [-10 * at, 0, at // 5, at, 10 * at] if at else [-1000, 0, 1000]
    return [(pinned(expr, at), time) for time in times]


def pinned(expr: Expr, at: int) -> Expr:
    """Set `@` wherever none is set; what stands inside a subquery is read at the subquery's times."""
    if isinstance(expr, VectorSelector | Subquery):
        return expr if isinstance(expr.at, int) else replace(expr, at=at)
    return mapped(expr, lambda child: pinned(child, at))
