"""The functions of a default server, one Python function each."""

from collections.abc import Callable

import numpy as np

from midwatch_contracts.promql import Call, Expr, MatrixSelector, VectorSelector, quote_value
from midwatch_lab.metrics.engine import extended, over_time, quantiles, rates, relabel
from midwatch_lab.metrics.engine.arguments import Evaluator, bare, position, text
from midwatch_lab.metrics.engine.elementwise import CALENDAR, MATHEMATICS, dated, larger, nearest, smaller
from midwatch_lab.metrics.engine.histograms import Buckets, Histograms
from midwatch_lab.metrics.engine.values import Floats, Vector, anywhere, of_scalar, unnamed
from midwatch_lab.metrics.engine.windows import Windows
from midwatch_lab.metrics.errors import ExecutionError
from midwatch_lab.metrics.labels import METADATA, NAME, Labels, from_dict, value_of
from midwatch_lab.metrics.numbers import shortest_text

Function = Callable[[Evaluator, Call], Vector]
_COUNTERS = ("_total", "_sum", "_count", "_bucket")


def range_of(evaluator: Evaluator, call: Call, index: int = 0) -> Windows:
    """Evaluate a call's range vector; `anchored` and `smoothed` go with some functions only."""
    selector = bare(call.args[index])
    extended.check(selector.selector.extension if isinstance(selector, MatrixSelector) else None, call.function)
    return evaluator.windows(selector)


def _of_windows(function: Callable[[Windows], Vector], *, keeps_name: bool = False) -> Function:
    def call(evaluator: Evaluator, expr: Call) -> Vector:
        found = function(range_of(evaluator, expr))
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
        shown = np.where(dated(vector.values), function(vector.values), np.nan)
        return unnamed(vector.with_values(shown))

    return call


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
    inner = bare(expr.args[0])
    if isinstance(inner, VectorSelector):
        return unnamed(evaluator.sample_times(inner))
    vector = evaluator.vector(inner)
    return unnamed(vector.with_values(np.broadcast_to(evaluator.times / 1000, vector.values.shape)))


def warn_unsorted(evaluator: Evaluator, expr: Call) -> None:
    """Warn that a range query is not sorted."""
    evaluator.notes.warn("sort is ineffective for range queries since results are always ordered by labels", expr.start)


def _sort(evaluator: Evaluator, expr: Call) -> Vector:
    vector = evaluator.vector(expr.args[0])
    if len(evaluator.times) != 1:
        warn_unsorted(evaluator, expr)
        return vector
    column = vector.values[:, 0]
    signed = -column if expr.function == "sort_desc" else column
    rows = [row for row in np.lexsort((signed, np.isnan(column))).tolist() if vector.present[row, 0]]
    return vector.pick(rows)


def _absent(evaluator: Evaluator, expr: Call) -> Vector:
    inner = bare(expr.args[0])
    if expr.function == "absent":
        present = anywhere(evaluator.vector(inner).present)
    else:
        present = anywhere(range_of(evaluator, expr).count > 0)
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
        if matcher.name in METADATA:
            continue
        if matcher.op == "=" and matcher.name not in seen:
            found[matcher.name] = matcher.value
            seen.add(matcher.name)
        else:
            found[matcher.name] = ""
    return from_dict(found)


def histograms(evaluator: Evaluator, call: Call, index: int) -> Histograms:
    """Evaluate a call's classic histograms."""
    found = Histograms.of(evaluator.vector(call.args[index]))
    for warning in found.warning():
        evaluator.notes.warn(warning, position(call, index))
    return found


def quantile_of(evaluator: Evaluator, buckets: Buckets, rank: float, step: int, at: int | None) -> float:
    """Return a histogram's quantile; note, at the position `at`, where its counts had to be made to rise."""
    if not 0 <= rank <= 1:
        return np.nan if np.isnan(rank) else np.copysign(np.inf, rank)
    risen, forced = buckets.risen(int(evaluator.times[step]))
    if forced is not None and at is not None:
        evaluator.notes.force(forced, at)
    return risen.quantile(rank)


def _histogram_quantile(evaluator: Evaluator, expr: Call) -> Vector:
    rank = evaluator.scalar(expr.args[0])
    note_rank(evaluator, rank, position(expr, 0))
    at = position(expr, 1)
    found = histograms(evaluator, expr, 1)
    return found.measured(
        evaluator.deadline,
        lambda buckets, step: quantile_of(evaluator, buckets, float(rank[step]), step, at),
        quantiles.quick(found, rank),
    )


def _histogram_fraction(evaluator: Evaluator, expr: Call) -> Vector:
    lower, upper = evaluator.scalar(expr.args[0]), evaluator.scalar(expr.args[1])
    return histograms(evaluator, expr, 2).measured(
        evaluator.deadline, lambda buckets, step: buckets.fraction(float(lower[step]), float(upper[step]))
    )


def note_rank(evaluator: Evaluator, rank: Floats, at: int) -> None:
    """Warn of ranks that are none."""
    for outside in dict.fromkeys(map(shortest_text, rank[~((rank >= 0) & (rank <= 1))].tolist())):
        evaluator.notes.warn(f"quantile value should be between 0 and 1, got {outside}", at)


def _quantile_over_time(evaluator: Evaluator, expr: Call) -> Vector:
    rank = evaluator.scalar(expr.args[0])
    windows = range_of(evaluator, expr, 1)
    note_rank(evaluator, rank[anywhere(windows.count > 0)], position(expr, 0))
    return unnamed(over_time.quantile_over_time(windows, rank))


def _counter_rate(evaluator: Evaluator, expr: Call) -> Vector:
    """Answer `rate`, `increase` and `delta`."""
    counter, per_second = expr.function != "delta", expr.function == "rate"
    windows = range_of(evaluator, expr)
    if windows.marks is None:
        found = rates.extrapolated(windows, counter=counter, per_second=per_second)
    else:
        smoothed = _extension(expr) == "smoothed"
        found = extended.rate(windows, smoothed=smoothed, counter=counter, per_second=per_second)
    if counter:
        _note_gauges(evaluator, found, position(expr, 0))
    return unnamed(found)


def _note_gauges(evaluator: Evaluator, found: Vector, at: int) -> None:
    shown = np.flatnonzero(found.present.any(axis=1)).tolist()
    for name in dict.fromkeys(value_of(found.labels[row], NAME) for row in shown):
        if name and not name.endswith(_COUNTERS):
            evaluator.notes.inform(
                f"metric might not be a counter, name does not end in _total/_sum/_count/_bucket: {quote_value(name)}",
                at,
            )


def _extension(expr: Call) -> str | None:
    selector = bare(expr.args[0])
    return selector.selector.extension if isinstance(selector, MatrixSelector) else None


def _events(evaluator: Evaluator, expr: Call) -> Vector:
    """Answer `changes` and `resets`."""
    windows = range_of(evaluator, expr)
    if windows.marks is not None:
        windows = extended.anchored_low(windows)
    return unnamed((rates.changes if expr.function == "changes" else rates.resets)(windows))


def _predict_linear(evaluator: Evaluator, expr: Call) -> Vector:
    ahead = evaluator.scalar(expr.args[1])
    return unnamed(rates.predict_linear(range_of(evaluator, expr), evaluator.times, ahead))


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
    "changes": _events,
    "clamp": _clamp,
    "clamp_max": _clamp,
    "clamp_min": _clamp,
    "delta": _counter_rate,
    "deriv": _of_windows(rates.deriv),
    "histogram_fraction": _histogram_fraction,
    "histogram_quantile": _histogram_quantile,
    "idelta": _of_windows(lambda windows: rates.instant(windows, rate=False)),
    "increase": _counter_rate,
    "irate": _of_windows(lambda windows: rates.instant(windows, rate=True)),
    "label_join": _label_join,
    "label_replace": _label_replace,
    "predict_linear": _predict_linear,
    "quantile_over_time": _quantile_over_time,
    "rate": _counter_rate,
    "resets": _events,
    "round": _round,
    "sort": _sort,
    "sort_desc": _sort,
    "timestamp": _timestamp,
    "vector": _vector,
}
