"""Instant and range queries: text and times in, typed results out."""

from dataclasses import dataclass

import numpy as np

from midwatch_contracts.promql import Expr, PromqlError, ValueType, parse, selectors
from midwatch_lab.metrics.engine.evaluate import Evaluation, Limits, literal
from midwatch_lab.metrics.engine.values import Floats, Vector
from midwatch_lab.metrics.errors import BadDataError
from midwatch_lab.metrics.labels import Labels
from midwatch_lab.metrics.patterns import pattern
from midwatch_lab.metrics.store import Store

Points = list[tuple[float, float]]
"""(Unix seconds, value) pairs."""


@dataclass(frozen=True)
class Result:
    """An answer. By `type`: `series` (one point each for a vector, points for a matrix), `scalar`, or `text`."""

    type: ValueType
    series: list[tuple[Labels, Points]]
    scalar: tuple[float, float] | None = None
    text: tuple[float, str] | None = None
    notes: tuple[str, ...] = ()


def read(query: str) -> Expr:
    """Parse a query and compile its patterns.

    Raises:
        BadDataError: when it does not parse, with the column.
    """
    try:
        expr = parse(query)
    except PromqlError as error:
        where = "unknown position" if error.position is None else _line_column(query, error.position)
        raise BadDataError(f'invalid parameter "query": {where}: parse error: {error}') from error
    for selector in selectors(expr):
        for matcher in selector.matchers:
            if matcher.op in ("=~", "!~"):
                pattern(matcher.value)
    return expr


def _line_column(query: str, position: int) -> str:
    before = query[:position]
    return f"{before.count(chr(10)) + 1}:{position - before.rfind(chr(10))}"


def instant(store: Store, expr: Expr, at_s: float, limits: Limits) -> Result:
    """Evaluate a query at one time (Unix seconds, whole milliseconds)."""
    at = _milliseconds(at_s)
    text = literal(expr)
    if text is not None:
        return Result(ValueType.STRING, [], text=(at / 1000, text))
    evaluation = Evaluation(store, np.array([at], dtype=np.int64), at, at, limits)
    with np.errstate(all="ignore"):
        if expr.type is ValueType.SCALAR:
            value = float(evaluation.scalar(expr)[0])
            return Result(expr.type, [], scalar=(at / 1000, value), notes=tuple(evaluation.notes))
        if expr.type is ValueType.MATRIX:
            windows = evaluation.windows(expr)
            series = [
                (labels, _points(windows.times[low:high] / 1000, windows.values[low:high]))
                for labels, low, high in zip(windows.labels, windows.low[:, 0], windows.high[:, 0], strict=True)
                if high > low
            ]
            return Result(expr.type, sorted(series), notes=tuple(evaluation.notes))
        vector = evaluation.vector(expr)
    series = [
        (labels, [(at / 1000, float(vector.values[row, 0]))])
        for row, labels in enumerate(vector.labels)
        if vector.present[row, 0]
    ]
    return Result(ValueType.VECTOR, series, notes=tuple(evaluation.notes))


@dataclass(frozen=True)
class Span:
    """The times of a range query, in seconds: `start`, `start + step`, … up to `end`."""

    start: float
    end: float
    step: float


def over_range(store: Store, expr: Expr, span: Span, limits: Limits) -> Result:
    """Evaluate a query at every step of a span; series are sorted by labels.

    Raises:
        BadDataError: when the times or the query's type do not fit.
    """
    start, end, step = _milliseconds(span.start), _milliseconds(span.end), _milliseconds(span.step)
    if end < start:
        raise BadDataError('invalid parameter "end": end timestamp must not be before start time')
    if step <= 0:
        raise BadDataError(
            'invalid parameter "step": zero or negative query resolution step widths are not accepted. '
            "Try a positive integer"
        )
    if (end - start) // step > limits.steps:
        raise BadDataError(
            f"exceeded maximum resolution of {limits.steps:,} points per timeseries. "
            "Try decreasing the query resolution (?step=XX)"
        )
    if expr.type not in (ValueType.SCALAR, ValueType.VECTOR):
        raise BadDataError(f"invalid expression type {expr.type!r} for range query, must be Scalar or instant Vector")
    times = np.arange(start, end + 1, step, dtype=np.int64)
    evaluation = Evaluation(store, times, start, end, limits)
    with np.errstate(all="ignore"):
        if expr.type is ValueType.SCALAR:
            values = evaluation.scalar(expr)
            vector = Vector([()], values[None, :], np.ones((1, len(times)), dtype=np.bool_))
        else:
            vector = evaluation.vector(expr)
    series = [
        (labels, _points(times[vector.present[row]] / 1000, vector.values[row, vector.present[row]]))
        for row, labels in enumerate(vector.labels)
        if vector.present[row].any()
    ]
    series.sort(key=lambda one: one[0])
    return Result(ValueType.MATRIX, series, notes=tuple(evaluation.notes))


def _points(times: Floats, values: Floats) -> Points:
    return list(zip(times.tolist(), values.tolist(), strict=True))


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)
