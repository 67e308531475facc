"""The functions that a server offers with `promql-experimental-functions`."""

from collections.abc import Callable

import numpy as np

from midwatch_contracts.promql import Call
from midwatch_lab.metrics.engine.arguments import Evaluator, position, text
from midwatch_lab.metrics.engine.calls import Function, histograms, note_rank, quantile_of, range_of
from midwatch_lab.metrics.engine.sums import Sums, add, quantile
from midwatch_lab.metrics.engine.values import Floats, Ints, Vector, merge, unnamed
from midwatch_lab.metrics.engine.windows import Windows
from midwatch_lab.metrics.errors import ExecutionError
from midwatch_lab.metrics.labels import from_dict
from midwatch_lab.metrics.numbers import bound_text, shortest_text

_TRAPEZOID = 2
_STRATEGIES = (0.0, 1.0, 2.0)


def _placed(windows: Windows, found: Floats) -> Vector:
    present = windows.count > 0
    values = np.full(present.shape, np.nan)
    values[present] = found
    return unnamed(Vector(windows.labels, values, present))


def _each(measure: Callable[[Ints, Floats], float]) -> Function:
    """Return what answers a function by `measure(times, values)` of each window."""

    def call(evaluator: Evaluator, expr: Call) -> Vector:
        windows = range_of(evaluator, expr)
        present = windows.count > 0
        pairs = zip(windows.low[present].tolist(), windows.high[present].tolist(), strict=True)
        found = [
            measure(windows.times[low:high], windows.values[low:high]) for low, high in evaluator.deadline.over(pairs)
        ]
        return _placed(windows, np.array(found, dtype=np.float64))

    return call


def _mad(_times: Ints, values: Floats) -> float:
    """Return the median absolute deviation; NaN where any sample is."""
    if np.isnan(values).any():
        return np.nan
    return quantile(0.5, np.abs(values - quantile(0.5, values)))


def _time_of(pick: Callable[[Floats], Floats]) -> Callable[[Ints, Floats], float]:
    """Return the time (s) of the last sample that has the extreme value; of the last one where all are NaN."""

    def measure(times: Ints, values: Floats) -> float:
        wanted = pick(values)
        index = len(values) - 1 if np.isnan(wanted) else np.flatnonzero(values == wanted)[-1]
        return float(times[index]) / 1000

    return measure


def _smoothing(evaluator: Evaluator, expr: Call) -> Vector:
    windows = range_of(evaluator, expr)
    level, trend = evaluator.scalar(expr.args[1]), evaluator.scalar(expr.args[2])
    used = (windows.count > 0).any(axis=0)
    for name, factor in (("smoothing", level), ("trend", trend)):
        wrong = factor[used & ((factor <= 0) | (factor >= 1))]
        if len(wrong):
            short = "sf" if name == "smoothing" else "tf"
            raise ExecutionError(f"invalid {name} factor. Expected: 0 < {short} < 1, got: {_fixed(float(wrong[0]))}")
    present = windows.count >= 2  # noqa: PLR2004 (a trend needs two samples)
    column = np.nonzero(present)[1]
    level, trend = level[column], trend[column]
    first = windows.low[present]
    before, smooth = np.zeros(len(first)), windows.values[first]
    slope = windows.values[np.minimum(first + 1, len(windows.values) - 1)] - smooth if len(first) else np.zeros(0)
    for rank, (where, index) in enumerate(windows.ranks(present)):
        if rank == 0:
            continue
        if rank > 1:
            slope[where] = trend[where] * (smooth[where] - before[where]) + (1 - trend[where]) * slope[where]
        next_level = level[where] * windows.values[index] + (1 - level[where]) * (smooth[where] + slope[where])
        before[where], smooth[where] = smooth[where], next_level
    values = np.full(present.shape, np.nan)
    values[present] = smooth
    return unnamed(Vector(windows.labels, values, present))


def _fixed(value: float) -> str:
    """Return a number as Go's `%f`."""
    return f"{value:.6f}" if np.isfinite(value) else shortest_text(value)


def _integral(evaluator: Evaluator, expr: Call) -> Vector:
    windows = range_of(evaluator, expr)
    present = windows.count > 0
    size = int(present.sum())
    column = np.nonzero(present)[1]
    given = evaluator.scalar(expr.args[1]) if len(expr.args) > 1 else np.full(len(evaluator.times), _TRAPEZOID)
    known = np.isin(given, _STRATEGIES)
    for wrong in dict.fromkeys(map(shortest_text, given[~known & present.any(axis=0)].tolist())):
        evaluator.notes.warn(f"strategy should be 0, 1, or 2 (default), using 2, got {wrong}", position(expr, 1))
    strategy = np.where(known, given, _TRAPEZOID)[column]
    sums = Sums(size)
    filled = np.nan_to_num(windows.values, nan=0.0, posinf=np.inf, neginf=-np.inf)
    for rank, (where, index) in enumerate(windows.ranks(present)):
        if rank == 0:
            continue
        after, before, chosen = filled[index], filled[index - 1], strategy[where]
        middle, lost = add(after, before, np.zeros(len(after)))
        over = np.isinf(middle) & np.isfinite(after) & np.isfinite(before)
        middle, lost = np.where(over, after / 2 + before / 2, middle / 2), np.where(over, 0.0, lost / 2)
        height = np.where(chosen == 0, before, np.where(chosen == 1, after, middle))
        lost = np.where(chosen == _TRAPEZOID, lost, 0.0)
        span = (windows.times[index] - windows.times[index - 1]) / 1000
        some = (height != 0) | (lost != 0)
        sums.carry[where[some]] += (lost * span)[some]
        sums.add(where[some], (height * span)[some])
    return _placed(windows, sums.value())


def _histogram_quantiles(evaluator: Evaluator, expr: Call) -> Vector:
    label = text(expr.args[1])
    ranks = [evaluator.scalar(arg) for arg in expr.args[2:]]
    for index, rank in enumerate(ranks, 2):
        note_rank(evaluator, rank, position(expr, index))
    found = histograms(evaluator, expr, 0)
    at = position(expr, 0)
    vectors: list[Vector] = []
    told = np.zeros(len(evaluator.times), dtype=np.bool_)
    for rank in ranks:
        # The original mends the counts of a histogram at its first quantile, and finds nothing to mend at the next.
        places = [None if known else at for known in told.tolist()]
        measured = found.measured(
            evaluator.deadline,
            lambda buckets, step, rank=rank, places=places: quantile_of(
                evaluator, buckets, float(rank[step]), step, places[step]
            ),
        )
        told |= (rank >= 0) & (rank <= 1)
        texts = np.array([bound_text(value) for value in rank.tolist()])
        for text_of in dict.fromkeys(texts.tolist()):
            labels = [from_dict({**dict(one), label: text_of}) for one in measured.labels]
            vectors.append(Vector(labels, measured.values, measured.present & (texts == text_of)))
    joined = Vector(
        [labels for one in vectors for labels in one.labels],
        np.concatenate([one.values for one in vectors]),
        np.concatenate([one.present for one in vectors]),
    )
    return merge(joined)


def _start_timestamp(evaluator: Evaluator, expr: Call) -> Vector:
    """Answer nothing, as a server that stores no start timestamps does."""
    evaluator.vector(expr.args[0])
    return Vector.empty(len(evaluator.times))


FUNCTIONS: dict[str, Function] = {
    "double_exponential_smoothing": _smoothing,
    "histogram_quantiles": _histogram_quantiles,
    "integral": _integral,
    "mad_over_time": _each(_mad),
    "start_timestamp": _start_timestamp,
    "ts_of_first_over_time": _each(lambda times, _: float(times[0]) / 1000),
    "ts_of_last_over_time": _each(lambda times, _: float(times[-1]) / 1000),
    "ts_of_max_over_time": _each(_time_of(np.fmax.reduce)),
    "ts_of_min_over_time": _each(_time_of(np.fmin.reduce)),
}
