"""Answers computed by hand, for what is easy to get wrong."""

import math
from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midwatch_contracts.promql import ValueType
from midwatch_lab.metrics.engine.deadline import Deadline
from midwatch_lab.metrics.engine.evaluate import Limits
from midwatch_lab.metrics.engine.query import Span, instant, over_range, read
from midwatch_lab.metrics.errors import BadDataError, ExecutionError, LimitError, QueryTimeoutError
from midwatch_lab.metrics.labels import from_dict
from midwatch_lab.metrics.store import STALE, Store

Samples = Mapping[str, Sequence[tuple[float, float]]]


def _store(samples: Samples) -> Store:
    """Samples (s, value) by `name{a="b"}` without quotes: `x,a=b`."""
    store = Store(retention_s=1e9)
    for text, points in samples.items():
        name, *pairs = text.split(",")
        series = store.series(from_dict({"__name__": name, **dict(pair.split("=") for pair in pairs)}))
        for at, value in points:
            store.append(series, round(at * 1000), value)
    return store


def _ask(samples: Samples, query: str, at: float) -> dict[tuple[tuple[str, str], ...], float]:
    result = instant(_store(samples), read(query), at, Limits())
    return {labels: points[0][1] for labels, points in result.series}


def _one(samples: Samples, query: str, at: float) -> float:
    found = list(_ask(samples, query, at).values())
    assert len(found) == 1
    return found[0]


def test_a_range_is_open_on_the_left() -> None:
    samples = {"x": [(0, 1.0), (60, 2.0), (120, 3.0)]}
    assert _one(samples, "count_over_time(x[60s])", 60) == 1
    assert _ask(samples, "rate(x[1m])", 120) == {}


def test_a_sample_as_old_as_the_lookback_is_not_shown() -> None:
    assert _ask({"x": [(0, 1.0)]}, "x", 299.999) == {(("__name__", "x"),): 1.0}
    assert _ask({"x": [(0, 1.0)]}, "x", 300) == {}


def test_a_staleness_marker_ends_a_series_and_is_left_out_of_ranges() -> None:
    samples = {"x": [(0, 1.0), (10, 2.0), (20, STALE)]}
    assert _ask(samples, "x", 19.999) == {(("__name__", "x"),): 2.0}
    assert _ask(samples, "x", 20) == {}
    assert _one(samples, "count_over_time(x[1m])", 30) == 2
    assert _one(samples, "last_over_time(x[1m])", 30) == 2


def test_rate_extrapolates_to_the_edges_only_where_samples_are_near() -> None:
    # Samples every 10 s, 5 s from both edges of the window: full extrapolation, 3 per 30 s over 40 s.
    near = {"x": [(at, 100.0 + at / 10) for at in (5, 15, 25, 35)]}
    assert _one(near, "increase(x[40s])", 40) == pytest.approx(4.0)
    assert _one(near, "rate(x[40s])", 40) == pytest.approx(0.1)
    # 25 s before the first sample: more than 1.1 intervals, so half an interval there.
    assert _one(near, "increase(x[60s])", 40) == pytest.approx(3 * (30 + 5 + 5) / 30)


def test_a_counter_is_not_extrapolated_below_zero() -> None:
    samples = {"x": [(5, 0.2), (15, 1.2), (25, 2.2), (35, 3.2)]}
    # From 0.2 at 5 s with 0.1/s the counter was zero 2 s earlier, not 5 s.
    assert _one(samples, "increase(x[40s])", 40) == pytest.approx(3 * (30 + 2 + 5) / 30)
    assert _one(samples, "delta(x[40s])", 40) == pytest.approx(3 * (30 + 5 + 5) / 30)


def test_a_reset_adds_what_was_counted_before_it() -> None:
    samples = {"x": [(0, 50.0), (10, 60.0), (20, 5.0), (30, 15.0)]}
    # (0, 30] holds 60, 5, 15: 15 - 60 + 60 in 20 s, and the window's start is one interval before the first.
    assert _one(samples, "increase(x[30s])", 30) == pytest.approx(15 * (20 + 10) / 20)
    assert _one(samples, "resets(x[1m])", 30) == 1
    assert _one(samples, "irate(x[1m])", 25) == pytest.approx(0.5)


def test_a_quantile_lies_linearly_within_its_bucket() -> None:
    samples = {"b,le=1": [(0, 10.0)], "b,le=2.0": [(0, 30.0)], "b,le=+Inf": [(0, 40.0)]}
    assert _one(samples, "histogram_quantile(0.5, b)", 0) == pytest.approx(1.5)
    assert _one(samples, "histogram_quantile(0.9, b)", 0) == 2.0
    assert _one(samples, "histogram_quantile(0.125, b)", 0) == pytest.approx(0.5)
    assert math.isnan(_one({"b,le=1": [(0, 10.0)]}, "histogram_quantile(0.5, b)", 0))


def test_sums_are_compensated() -> None:
    samples = {f"x,i={n}": [(0, value)] for n, value in enumerate([1e100, 1.0, -1e100])}
    assert _one(samples, "sum(x)", 0) == 1.0
    assert _one({"x": [(0, 1e100), (1, 1.0), (2, -1e100)]}, "sum_over_time(x[5s])", 3) == 1.0


def test_the_mean_of_values_whose_sum_runs_over_is_finite() -> None:
    assert _one({"x,i=1": [(0, 1.5e308)], "x,i=2": [(0, 1.5e308)]}, "avg(x)", 0) == pytest.approx(1.5e308)
    assert _one({"x": [(0, 1.5e308), (1, 1.5e308)]}, "avg_over_time(x[5s])", 1) == pytest.approx(1.5e308)


def test_matching_many_to_many_is_refused_even_where_a_comparison_keeps_nothing() -> None:
    samples = {"x,i=1": [(0, 1.0)], "x,i=2": [(0, 2.0)], "y,i=1": [(0, 9.0)]}
    with pytest.raises(ExecutionError, match="group_left"):
        _ask(samples, "x > on () y", 0)
    with pytest.raises(ExecutionError, match="duplicate series"):
        _ask(samples, "y > on () x", 0)


def test_group_left_takes_labels_from_the_one_side() -> None:
    samples = {"x,i=1": [(0, 3.0)], "x,i=2": [(0, 4.0)], "owner,team=a": [(0, 2.0)]}
    found = _ask(samples, "x * on () group_left (team) owner", 0)
    assert found == {(("i", "1"), ("team", "a")): 6.0, (("i", "2"), ("team", "a")): 8.0}


def test_series_that_come_to_share_their_labels_fail_unless_their_times_are_apart() -> None:
    with pytest.raises(ExecutionError, match="same labelset"):
        _ask({"x": [(0, 1.0)], "y": [(0, 1.0)]}, '-{__name__=~"x|y"}', 0)
    apart = _store({"x": [(0, 1.0), (5, STALE)], "y": [(10, 2.0)]})
    result = over_range(apart, read('-{__name__=~"x|y"}'), Span(0, 10, 10), Limits())
    assert result.series == [((), [(0.0, -1.0), (10.0, -2.0)])]


def test_a_subquery_leaves_out_its_start_and_aligns_towards_zero() -> None:
    assert _one({}, "count_over_time(vector(1)[30s:10s])", 60) == 3
    assert _one({}, "count_over_time(vector(1)[30s:10s])", 65) == 3
    # From -25 s to 5 s: aligned by truncation, the first step is -20 s.
    assert _one({}, "min_over_time(vector(time())[30s:10s])", 5) == -20
    assert _one({}, "min_over_time(vector(time())[30s:10s])", 10) == -10


def test_at_end_is_the_end_of_the_range_at_every_step() -> None:
    store = _store({"x": [(at, float(at)) for at in range(0, 100, 10)]})
    result = over_range(store, read("x @ end() - x"), Span(0, 40, 20), Limits())
    assert result.series == [((), [(0.0, 40.0), (20.0, 20.0), (40.0, 0.0)])]


def test_what_needs_native_histograms_is_refused_by_name() -> None:
    with pytest.raises(ExecutionError, match="histogram_avg works on native histograms only"):
        _ask({"x": [(0, 1.0)]}, "histogram_avg(x)", 0)


def test_a_query_that_takes_too_long_is_broken_off_while_it_is_evaluated() -> None:
    store = _store({f"x,i={n}": [(0, 1.0)] for n in range(20)})
    with pytest.raises(QueryTimeoutError, match=r"^query timed out in query execution$"):
        instant(store, read("x"), 0, Limits(timeout_s=-1))
    ticks = iter(range(1000))
    deadline = Deadline(5, lambda: next(ticks))
    with pytest.raises(QueryTimeoutError, match=r"^query timed out in expression evaluation$"):
        list(deadline.over(range(100_000)))
    assert next(ticks) < 10


def test_a_query_that_would_hold_too_much_is_refused() -> None:
    store = _store({f"x,i={n}": [(0, 1.0)] for n in range(20)})
    limits = Limits(samples=100)
    with pytest.raises(LimitError, match="too many samples into memory"):
        over_range(store, read("x"), Span(0, 9, 1), limits)
    with pytest.raises(LimitError):
        instant(store, read("sum_over_time(vector(1)[1y:1ms])"), 0, limits)
    with pytest.raises(LimitError, match="a window holds"):
        instant(store, read("sum_over_time(vector(1)[30d:1s])"), 0, Limits())
    with pytest.raises(BadDataError, match="11,000 points"):
        over_range(store, read("x"), Span(0, 12_000, 1), Limits())


def test_a_range_query_of_a_range_vector_is_refused() -> None:
    with pytest.raises(BadDataError, match="must be Scalar or instant Vector"):
        over_range(_store({}), read("x[5m]"), Span(0, 10, 1), Limits())


@given(st.lists(st.floats(0, 1e6), min_size=2, max_size=30), st.integers(1, 40), st.integers(1, 15))
def test_a_range_query_gives_at_each_step_what_instant_queries_give(
    increments: list[float], length: int, step: int
) -> None:
    total, points = 0.0, list[tuple[float, float]]()
    for index, more in enumerate(increments):
        total = more if index % 11 == 10 else total + more
        points.append((index * 3.0, total))
    store = _store({"x": points})
    expr = read(f"rate(x[{length}s]) or -max_over_time(x[{length}s] offset -{step}s)")
    ranged = over_range(store, expr, Span(0, 90, step), Limits())
    by_step = {at: value for _, found in ranged.series for at, value in found}
    for at in range(0, 91, step):
        alone = instant(store, expr, at, Limits())
        assert [points[0][1] for _, points in alone.series] == ([by_step[at]] if at in by_step else [])


def test_types_of_answers() -> None:
    store = _store({"x": [(0, 1.0)]})
    assert instant(store, read("1 + 1"), 5, Limits()).scalar == (5.0, 2.0)
    assert instant(store, read("'a'"), 5, Limits()).text == (5.0, "a")
    matrix = instant(store, read("x[5m]"), 5, Limits())
    assert (matrix.type, matrix.series) == (ValueType.MATRIX, [((("__name__", "x"),), [(0.0, 1.0)])])
