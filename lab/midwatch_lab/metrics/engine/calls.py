"""Function calls: which Python function answers which PromQL function."""

from collections.abc import Callable
from typing import Protocol

import numpy as np

from midwatch_contracts.promql import Call, Expr, MatrixSelector, Paren, StringLiteral, VectorSelector
from midwatch_lab.metrics.engine import over_time, rates, relabel
from midwatch_lab.metrics.engine.elementwise import CALENDAR, MATHEMATICS, larger, nearest, smaller
from midwatch_lab.metrics.engine.histograms import over_histograms
from midwatch_lab.metrics.engine.values import Floats, Ints, Vector, anywhere
from midwatch_lab.metrics.engine.windows import Windows
from midwatch_lab.metrics.errors import ExecutionError
from midwatch_lab.metrics.labels import NAME, Labels, drop_name, from_dict


class Evaluator(Protocol):
    """What a function needs of the evaluator."""

    times: Ints

    def scalar(self, expr: Expr) -> Floats:
        """Evaluate a scalar: one number a step."""
        ...

    def vector(self, expr: Expr) -> Vector:
        """Evaluate an instant vector."""
        ...

    def windows(self, expr: Expr) -> Windows:
        """Evaluate a range vector."""
        ...

    def sample_times(self, selector: VectorSelector) -> Vector:
        """Return a selector's samples with their own times (s) as values."""
        ...

    def note(self, text: str) -> None:
        """Add a warning to the answer."""
        ...


Function = Callable[[Evaluator, Call], Vector]


def unnamed(vector: Vector) -> Vector:
    """Return a vector without metric names."""
    return vector.relabelled([drop_name(labels) for labels in vector.labels])


def text(expr: Expr) -> str:
    """Return a string argument."""
    while isinstance(expr, Paren):
        expr = expr.expr
    assert isinstance(expr, StringLiteral)  # noqa: S101 (the parser checked the type)
    return expr.value


def _of_windows(function: Callable[[Windows], Vector], *, keeps_name: bool = False) -> Function:
    def call(evaluator: Evaluator, expr: Call) -> Vector:
        found = function(evaluator.windows(expr.args[0]))
        return found if keeps_name else unnamed(found)

    return call


def _of_values(function: Callable[[Floats], Floats]) -> Function:
    def call(evaluator: Evaluator, expr: Call) -> Vector:
        vector = evaluator.vector(expr.args[0])
        return unnamed(vector.with_values(function(vector.values)))

    return call


def _calendar(function: Callable[[Floats], Floats]) -> Function:
    def call(evaluator: Evaluator, expr: Call) -> Vector:
        vector = evaluator.vector(expr.args[0]) if expr.args else of_scalar(evaluator.times / 1000)
        shown = np.where(np.isfinite(vector.values), function(vector.values), np.nan)
        return unnamed(vector.with_values(shown))

    return call


def of_scalar(values: Floats) -> Vector:
    """Return one series without labels."""
    return Vector([()], values[None, :], np.ones((1, len(values)), dtype=np.bool_))


def _vector(evaluator: Evaluator, expr: Call) -> Vector:
    return of_scalar(evaluator.scalar(expr.args[0]))


def _round(evaluator: Evaluator, expr: Call) -> Vector:
    vector = evaluator.vector(expr.args[0])
    step = evaluator.scalar(expr.args[1]) if len(expr.args) > 1 else 1.0
    return unnamed(vector.with_values(nearest(vector.values, step)))


def _clamp(evaluator: Evaluator, expr: Call) -> Vector:
    vector = evaluator.vector(expr.args[0])
    bounds = [evaluator.scalar(arg) for arg in expr.args[1:]]
    if expr.function == "clamp":
        low, high = bounds
        values = larger(low, smaller(high, vector.values))
        vector = vector.filtered(np.broadcast_to(~(high < low), vector.present.shape))
    else:
        values = (smaller if expr.function == "clamp_max" else larger)(bounds[0], vector.values)
    return unnamed(vector.with_values(values))


def _timestamp(evaluator: Evaluator, expr: Call) -> Vector:
    inner = expr.args[0]
    while isinstance(inner, Paren):
        inner = inner.expr
    if isinstance(inner, VectorSelector):
        return unnamed(evaluator.sample_times(inner))
    vector = evaluator.vector(inner)
    return unnamed(vector.with_values(np.broadcast_to(evaluator.times / 1000, vector.values.shape)))


def _sort(evaluator: Evaluator, expr: Call) -> Vector:
    vector = evaluator.vector(expr.args[0])
    if len(evaluator.times) != 1:
        evaluator.note(f"PromQL warning: {expr.function} has no effect on a range query")
        return vector
    column = vector.values[:, 0]
    signed = -column if expr.function == "sort_desc" else column
    rows = [row for row in np.lexsort((signed, np.isnan(column))).tolist() if vector.present[row, 0]]
    return vector.pick(rows)


def _absent(evaluator: Evaluator, expr: Call) -> Vector:
    inner = expr.args[0]
    if expr.function == "absent":
        present = anywhere(evaluator.vector(inner).present)
    else:
        present = anywhere(evaluator.windows(inner).count > 0)
    values = np.ones((1, len(evaluator.times)))
    return Vector([_absent_labels(inner)], values, ~present[None, :])


def _absent_labels(expr: Expr) -> Labels:
    """Return the labels that a selector fixes by equality, each once."""
    selector = expr.selector if isinstance(expr, MatrixSelector) else expr
    found: dict[str, str] = {}
    if not isinstance(selector, VectorSelector):
        return ()
    seen: set[str] = set()
    for matcher in selector.matchers:
        if matcher.name == NAME:
            continue
        if matcher.op == "=" and matcher.name not in seen:
            found[matcher.name] = matcher.value
            seen.add(matcher.name)
        else:
            found[matcher.name] = ""
    return from_dict(found)


def _histogram_quantile(evaluator: Evaluator, expr: Call) -> Vector:
    rank = evaluator.scalar(expr.args[0])
    _note_rank(evaluator, rank)
    return over_histograms(evaluator.vector(expr.args[1]), lambda buckets, step: buckets.quantile(float(rank[step])))


def _histogram_fraction(evaluator: Evaluator, expr: Call) -> Vector:
    lower, upper = evaluator.scalar(expr.args[0]), evaluator.scalar(expr.args[1])
    return over_histograms(
        evaluator.vector(expr.args[2]), lambda buckets, step: buckets.fraction(float(lower[step]), float(upper[step]))
    )


def _note_rank(evaluator: Evaluator, rank: Floats) -> None:
    outside = rank[~((rank >= 0) & (rank <= 1))]
    if len(outside):
        evaluator.note(f"PromQL warning: quantile value should be between 0 and 1, got {outside[0]:g}")


def _quantile_over_time(evaluator: Evaluator, expr: Call) -> Vector:
    rank = evaluator.scalar(expr.args[0])
    _note_rank(evaluator, rank)
    return unnamed(over_time.quantile_over_time(evaluator.windows(expr.args[1]), rank))


def _predict_linear(evaluator: Evaluator, expr: Call) -> Vector:
    ahead = evaluator.scalar(expr.args[1])
    return unnamed(rates.predict_linear(evaluator.windows(expr.args[0]), evaluator.times, ahead))


def _label_replace(evaluator: Evaluator, expr: Call) -> Vector:
    target, template, source, pattern = map(text, expr.args[1:])
    return relabel.label_replace(evaluator.vector(expr.args[0]), target, template, source, pattern)


def _label_join(evaluator: Evaluator, expr: Call) -> Vector:
    target, separator, *sources = map(text, expr.args[1:])
    return relabel.label_join(evaluator.vector(expr.args[0]), target, separator, sources)


def _native_only(_evaluator: Evaluator, expr: Call) -> Vector:
    raise ExecutionError(f"{expr.function} works on native histograms only, which are not offered")


FUNCTIONS: dict[str, Function] = {
    **{name: _of_values(function) for name, function in MATHEMATICS.items()},
    **{name: _calendar(function) for name, function in CALENDAR.items()},
    **{
        name: _of_windows(function, keeps_name=name in ("first_over_time", "last_over_time"))
        for name, function in over_time.FUNCTIONS.items()
    },
    **dict.fromkeys(
        ("histogram_avg", "histogram_count", "histogram_stddev", "histogram_stdvar", "histogram_sum"), _native_only
    ),
    "absent": _absent,
    "absent_over_time": _absent,
    "changes": _of_windows(rates.changes),
    "clamp": _clamp,
    "clamp_max": _clamp,
    "clamp_min": _clamp,
    "delta": _of_windows(lambda windows: rates.extrapolated(windows, counter=False, per_second=False)),
    "deriv": _of_windows(rates.deriv),
    "histogram_fraction": _histogram_fraction,
    "histogram_quantile": _histogram_quantile,
    "idelta": _of_windows(lambda windows: rates.instant(windows, rate=False)),
    "increase": _of_windows(lambda windows: rates.extrapolated(windows, counter=True, per_second=False)),
    "irate": _of_windows(lambda windows: rates.instant(windows, rate=True)),
    "label_join": _label_join,
    "label_replace": _label_replace,
    "predict_linear": _predict_linear,
    "quantile_over_time": _quantile_over_time,
    "rate": _of_windows(lambda windows: rates.extrapolated(windows, counter=True, per_second=True)),
    "resets": _of_windows(rates.resets),
    "round": _round,
    "sort": _sort,
    "sort_desc": _sort,
    "timestamp": _timestamp,
    "vector": _vector,
}
