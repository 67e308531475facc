"""Instant and range queries: text and times in, typed results out."""

from dataclasses import dataclass, field

import numpy as np

from midwatch_contracts.promql import (
    DEFAULT_FEATURES,
    Expr,
    Features,
    MatrixSelector,
    PromqlError,
    ValueType,
    parse,
    resolved,
    selectors,
)
from midwatch_lab.metrics.engine import extended
from midwatch_lab.metrics.engine.annotations import Annotations, line_column
from midwatch_lab.metrics.engine.arguments import bare
from midwatch_lab.metrics.engine.deadline import Deadline
from midwatch_lab.metrics.engine.evaluate import Asked, Evaluation, Limits, literal
from midwatch_lab.metrics.engine.values import Floats, of_scalar
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
    notes: Annotations = field(default_factory=Annotations)


def read(query: str, features: Features = DEFAULT_FEATURES, parameter: str = "query") -> Expr:
    """Parse a query and compile its patterns; `parameter` is what an error says the query was given as.

    Raises:
        BadDataError: when it does not parse, with the column.
    """
    try:
        expr = parse(query, features)
    except PromqlError as error:
        where = "unknown position" if error.position is None else line_column(query, error.position)
        raise BadDataError(f'invalid parameter "{parameter}": {where}: parse error: {error}') from error
    for selector in selectors(expr):
        for matcher in selector.matchers:
            if matcher.op in ("=~", "!~"):
                pattern(matcher.value)
    return expr


def _timed(expr: Expr, asked: Asked) -> Expr:
    """Compute the durations that depend on the query's step and span."""
    try:
        return resolved(expr, asked.step, asked.end - asked.start)
    except PromqlError as error:
        raise BadDataError(f'invalid parameter "query": {error}') from error


def instant(store: Store, expr: Expr, at_s: float, limits: Limits) -> Result:
    """Evaluate a query at one time (Unix seconds, whole milliseconds)."""
    at = _milliseconds(at_s)
    asked = Asked(at, at)
    expr = _timed(expr, asked)
    deadline = _deadline(limits)
    text = literal(expr)
    if text is not None:
        return Result(ValueType.STRING, [], text=(at / 1000, text))
    evaluation = Evaluation(store, np.array([at], dtype=np.int64), asked, limits, deadline)
    with np.errstate(all="ignore"):
        if expr.type is ValueType.SCALAR:
            value = float(evaluation.scalar(expr)[0])
            return Result(expr.type, [], scalar=(at / 1000, value), notes=evaluation.notes)
        if expr.type is ValueType.MATRIX:
            series = _range_vector(evaluation, expr)
            return Result(expr.type, sorted(series), notes=evaluation.notes)
        vector = evaluation.vector(expr)
    series = [
        (labels, [(at / 1000, float(vector.values[row, 0]))])
        for row, labels in enumerate(vector.labels)
        if vector.present[row, 0]
    ]
    return Result(ValueType.VECTOR, series, notes=evaluation.notes)


def _range_vector(evaluation: Evaluation, expr: Expr) -> list[tuple[Labels, Points]]:
    windows = evaluation.windows(expr)
    if windows.marks is None:
        bounds = zip(windows.low[:, 0].tolist(), windows.high[:, 0].tolist(), strict=True)
        found = [(windows.times[low:high], windows.values[low:high]) for low, high in bounds]
    else:
        selector = bare(expr)
        smoothed = isinstance(selector, MatrixSelector) and selector.selector.extension == "smoothed"
        found = extended.points(windows, smoothed=smoothed)
    return [
        (labels, _points(times / 1000, values))
        for labels, (times, values) in zip(windows.labels, found, strict=True)
        if len(times)
    ]


def _deadline(limits: Limits) -> Deadline:
    deadline = Deadline(limits.timeout_s)
    deadline.check("query execution")
    return deadline


@dataclass(frozen=True)
class Span:
    """The times of a range query, in seconds: `start`, `start + step`, … up to `end`."""

    start: float
    end: float
    step: float

    def check(self, limits: Limits) -> None:
        """Refuse times that make no sense, or too many steps.

        Raises:
            BadDataError: in the original's words.
        """
        if self.end < self.start:
            raise BadDataError('invalid parameter "end": end timestamp must not be before start time')
        if self.step <= 0:
            raise BadDataError(
                'invalid parameter "step": zero or negative query resolution step widths are not accepted. '
                "Try a positive integer"
            )
        if (self.end - self.start) // self.step > limits.steps:
            raise BadDataError(
                f"exceeded maximum resolution of {limits.steps:,} points per timeseries. "
                "Try decreasing the query resolution (?step=XX)"
            )


def over_range(store: Store, expr: Expr, span: Span, limits: Limits) -> Result:
    """Evaluate a query at every step of a span; series are sorted by labels.

    Raises:
        BadDataError: when the times or the query's type do not fit.
    """
    start, end, step = _milliseconds(span.start), _milliseconds(span.end), _milliseconds(span.step)
    span.check(limits)
    if step <= 0:
        raise BadDataError('invalid parameter "step": a step is at least a millisecond')
    if expr.type not in (ValueType.SCALAR, ValueType.VECTOR):
        kind = "range vector" if expr.type is ValueType.MATRIX else expr.type.value
        raise BadDataError(
            f'invalid parameter "query": invalid expression type "{kind}" for range query, '
            "must be Scalar or instant Vector"
        )
    asked = Asked(start, end, step)
    expr = _timed(expr, asked)
    times = np.arange(start, end + 1, step, dtype=np.int64)
    evaluation = Evaluation(store, times, asked, limits, _deadline(limits))
    with np.errstate(all="ignore"):
        if expr.type is ValueType.SCALAR:
            values = evaluation.scalar(expr)
            vector = of_scalar(values)
        else:
            vector = evaluation.vector(expr)
    series = [
        (labels, _points(times[vector.present[row]] / 1000, vector.values[row, vector.present[row]]))
        for row, labels in enumerate(vector.labels)
        if vector.present[row].any()
    ]
    series.sort(key=lambda one: one[0])
    return Result(ValueType.MATRIX, series, notes=evaluation.notes)


def _points(times: Floats, values: Floats) -> Points:
    return list(zip(times.tolist(), values.tolist(), strict=True))


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)
