"""The evaluator held against the original Prometheus 3.16: the same samples, the same queries, the same answers."""

import math
import random
import struct
from typing import TYPE_CHECKING, Any

import pytest

from midwatch_contracts.promql import PromqlError, ValueType, format_expr, parse
from midwatch_lab.metrics.engine.evaluate import Limits
from midwatch_lab.metrics.engine.query import Result, Span, instant, over_range, read
from midwatch_lab.metrics.errors import MetricsError
from midwatch_lab.metrics.labels import from_dict
from midwatch_lab.metrics.store import STALE, Store

if TYPE_CHECKING:
    from conftest import Data, Original

pytestmark = pytest.mark.original

START = 1_700_000_000_000
NOW = START / 1000 + 600
LIMITS = Limits()


def _labels(name: str, **labels: str) -> tuple[tuple[str, str], ...]:
    return from_dict({"__name__": name, **labels})


def _counter(seed: int, *, step: int, count: int, jitter: int = 0, reset: float = 0.02) -> list[tuple[int, float]]:
    """A counter that grows unevenly, with resets, gaps and scrapes that are up to `jitter` ms off."""
    draw = random.Random(seed)  # noqa: S311 (data, not secrets)
    samples: list[tuple[int, float]] = []
    value = draw.uniform(0, 50)
    for index in range(count):
        value = draw.uniform(0, 2) if draw.random() < reset else value + draw.choice([0, 0, 1, 2.5, 7.125])
        if draw.random() > 0.05:
            samples.append((START + index * step + draw.randint(-jitter, jitter), value))
    return samples


def _data() -> "Data":
    data: dict[tuple[tuple[str, str], ...], list[tuple[int, float]]] = {}
    draw = random.Random(7)  # noqa: S311 (data, not secrets)
    seed = 0
    for job in ("api", "db"):
        for instance in ("a", "b", "c"):
            for code in ("200", "500"):
                seed += 1
                key = _labels("http_requests_total", job=job, instance=instance, code=code)
                data[key] = _counter(seed, step=15_000, count=41, jitter=1 if instance == "b" else 0)
            data[_labels("node_info", job=job, instance=instance, zone="z" + instance)] = [
                (START + index * 15_000, 1.0) for index in range(41)
            ]
    for pod in ("p0", "p1", "p2"):
        bounds = ["0.1", "0.25", "0.5", "1", "2.5", "5.0", "+Inf"]
        totals = [0.0] * len(bounds)
        samples: list[list[tuple[int, float]]] = [[] for _ in bounds]
        for index in range(121):
            seen = draw.expovariate(1.5)
            for position, bound in enumerate(bounds):
                totals[position] += seen <= float(bound)
                samples[position].append((START + index * 5000, totals[position]))
        for bound, found in zip(bounds, samples, strict=True):
            data[_labels("ttft_bucket", pod=pod, le=bound)] = found
    times = [START + index * 15_000 for index in range(41)]
    shapes: dict[str, list[float]] = {
        "wave": [math.sin(index / 5) * 10 for index in range(41)],
        "odd": [draw.choice([math.nan, math.inf, -math.inf, 0.0, -1.5, 1e300, -0.0]) for _ in times],
        "ends": [STALE if 20 <= index < 25 or index >= 38 else float(index) for index in range(41)],
        "same": [3.0] * 41,
        "huge": [1e308, 1.5e308] * 20 + [1e308],
    }
    for shape, values in shapes.items():
        data[_labels("gauge", shape=shape, path=f"/v1/{shape}\nx")] = list(zip(times, values, strict=True))
    data[_labels("short", le="1")] = [(START + 300_000, 5.0)]
    data[_labels("dense", unit="s")] = [(START + index * 1000, float(index % 97)) for index in range(601)]
    data[_labels("epoch")] = [(time, START / 1000 + 86400 * 17.37 * index) for index, time in enumerate(times)]
    return data


@pytest.fixture(scope="module")
def both(prometheus: "Original") -> "tuple[Original, Store]":
    data = _data()
    prometheus.write(data)
    store = Store(retention_s=1e9)
    for labels, samples in data.items():
        series = store.series(labels)
        for at, value in samples:
            store.append(series, at, value)
    return prometheus, store


QUERIES = [
    # selectors, offsets, @ and staleness
    "http_requests_total",
    'http_requests_total{job="api",code!="500"}',
    'http_requests_total{instance=~"a|b",job!~"d.*"}',
    'gauge{path=~"/v1/.*x"}',
    'gauge{shape="ends"}',
    'gauge{shape="ends"} offset 1m',
    "gauge offset -1m",
    "gauge @ 1700000300",
    "gauge @ end() offset 30s",
    "gauge @ start()",
    "short",
    "short offset 4m",
    "short offset 5m",
    'gauge{shape="ends"}[2m]',
    "dense[5s]",
    "nothing",
    # rates
    "rate(http_requests_total[1m])",
    "rate(http_requests_total[15s])",
    "rate(http_requests_total[31s])",
    "rate(http_requests_total[5m] offset 1m)",
    "increase(http_requests_total[2m])",
    "increase(http_requests_total[10m] @ end())",
    "delta(gauge[2m])",
    "irate(http_requests_total[2m])",
    "idelta(gauge[2m])",
    "deriv(gauge[3m])",
    "deriv(dense[1m])",
    "predict_linear(gauge[3m], 60)",
    "predict_linear(http_requests_total[3m] offset 1m, 3600)",
    "changes(gauge[5m])",
    "resets(http_requests_total[10m])",
    "resets(gauge[10m])",
    "rate(dense[20s])",
    "sum by (job) (rate(http_requests_total[2m]))",
    "sum(rate(http_requests_total[2m])) without (instance, code)",
    # over time
    "avg_over_time(gauge[3m])",
    "sum_over_time(gauge[3m])",
    "min_over_time(gauge[3m])",
    "max_over_time(gauge[3m])",
    "count_over_time(gauge[3m])",
    "last_over_time(gauge[3m])",
    "first_over_time(gauge[3m])",
    "present_over_time(gauge[3m])",
    "stddev_over_time(gauge[3m])",
    "stdvar_over_time(dense[1m])",
    "quantile_over_time(0.3, gauge[3m])",
    "quantile_over_time(2, dense[1m])",
    'absent_over_time(nothing{a="b",c=~"d"}[5m])',
    "absent_over_time(short[1m])",
    # subqueries
    "max_over_time(rate(http_requests_total[1m])[5m:30s])",
    "avg_over_time(gauge[5m:])",
    "rate(sum(http_requests_total)[5m:15s])",
    "count_over_time(vector(1)[5m:7s] offset 1m)",
    "sum_over_time(http_requests_total[3m:1m] @ end())",
    "min_over_time((time() - gauge)[4m:20s])",
    'last_over_time(gauge{shape="ends"}[2m:10s])',
    # histograms
    "histogram_quantile(0.95, sum by (le) (rate(ttft_bucket[20s])))",
    "histogram_quantile(0.5, rate(ttft_bucket[1m]))",
    "histogram_quantile(0.99, sum by (le, pod) (increase(ttft_bucket[5m])))",
    "histogram_quantile(0, sum by (le) (ttft_bucket))",
    "histogram_quantile(1, sum by (le) (ttft_bucket))",
    "histogram_quantile(1.5, sum by (le) (ttft_bucket))",
    "histogram_quantile(-1, sum by (le) (ttft_bucket))",
    "histogram_quantile(NaN, sum by (le) (ttft_bucket))",
    'histogram_quantile(0.9, ttft_bucket{le!="+Inf"})',
    "histogram_quantile(0.9, -ttft_bucket)",
    "histogram_quantile(0.9, short)",
    "histogram_fraction(0, 0.5, rate(ttft_bucket[1m]))",
    "histogram_fraction(0.2, 3, sum by (le) (ttft_bucket))",
    "histogram_fraction(-Inf, +Inf, ttft_bucket)",
    # aggregations
    "sum(http_requests_total)",
    "sum(gauge)",
    "avg(gauge)",
    'avg(gauge{shape!="odd"})',
    "avg by (job) (http_requests_total)",
    "min(gauge)",
    "max by (shape) (gauge)",
    "count by (job, code) (http_requests_total)",
    "count(nothing)",
    "group without (code) (http_requests_total)",
    "stddev(http_requests_total)",
    "stdvar by (job) (http_requests_total)",
    "stddev(gauge)",
    "topk(3, http_requests_total)",
    "topk by (job) (1, rate(http_requests_total[5m]))",
    "bottomk(2, http_requests_total)",
    "topk(2, gauge)",
    "topk(0, gauge)",
    "topk(NaN, gauge)",
    "topk(1e30, gauge)",
    "topk(scalar(count(nothing)), gauge)",
    "quantile(0.5, http_requests_total)",
    "quantile by (job) (0.9, http_requests_total)",
    "quantile(0.25, gauge)",
    "quantile(7, gauge)",
    'count_values("value", gauge)',
    'count_values by (job) ("code", http_requests_total)',
    # operators and matching
    "http_requests_total * 2 + 1",
    "1 - gauge",
    "gauge % 3",
    "gauge ^ 2",
    "2 ^ 3 ^ 2 - -2 ^ 2",
    "gauge atan2 2",
    "-gauge",
    "gauge / 0",
    "gauge > 2",
    "gauge > bool 2",
    "2 < gauge",
    "gauge == gauge",
    "gauge != gauge",
    "1 > bool 2",
    "http_requests_total > 50 < 100",
    'http_requests_total{code="500"} / ignoring (code) http_requests_total{code="200"}',
    'http_requests_total{code="500"} > ignoring (code) http_requests_total{code="200"}',
    'http_requests_total{code="500"} > bool on (job, instance) http_requests_total{code="200"}',
    'http_requests_total{code="500"} < on (job, instance) http_requests_total{code="200"}',
    "http_requests_total * on (job, instance) group_left (zone) node_info",
    "node_info * on (job, instance) group_right (zone) http_requests_total",
    "http_requests_total > on (job, instance) group_left (zone) node_info",
    "http_requests_total * on (job) group_left () node_info",
    "http_requests_total * on (job, instance) node_info",
    "node_info + on (job) node_info",
    "http_requests_total > on () node_info",
    "node_info * on (job, instance) group_left () http_requests_total",
    "sum by (job) (http_requests_total) / on (job) group_right () http_requests_total",
    'http_requests_total and on (instance) http_requests_total{code="500"} > 40',
    'http_requests_total{job="api"} or node_info',
    "http_requests_total or ignoring (zone, code) node_info",
    'http_requests_total unless on (instance) node_info{zone="za"}',
    "gauge or vector(1)",
    "nothing or vector(0)",
    "vector(1) unless nothing",
    "gauge and ignoring (shape, path) vector(time() % 2)",
    'sum(http_requests_total{code="500"}) / sum(http_requests_total) > 0.2',
    '{__name__=~"short|epoch"} + 1',
    '-{__name__=~"gauge|node_info"}',
    "rate({__name__=~'dense|epoch'}[1m])",
    # functions of single samples
    "abs(gauge)",
    "ceil(gauge / 3)",
    "floor(gauge / 3)",
    "round(gauge / 3)",
    "round(gauge, 0.25)",
    "round(http_requests_total, 5)",
    "clamp(gauge, -2, 2)",
    "clamp(gauge, 2, -2)",
    "clamp_min(gauge, 0)",
    "clamp_max(gauge, NaN)",
    "exp(gauge)",
    "sqrt(gauge)",
    "ln(gauge)",
    "log2(gauge)",
    "log10(abs(gauge))",
    "sgn(gauge)",
    "sin(gauge) + cos(gauge) + tan(gauge)",
    "asin(gauge / 20) + acos(gauge / 20) + atan(gauge)",
    "sinh(gauge / 20) + cosh(gauge / 20) + tanh(gauge)",
    "asinh(gauge) + acosh(gauge) + atanh(gauge / 20)",
    "deg(gauge) + rad(gauge)",
    "sort(http_requests_total)",
    "sort_desc(gauge)",
    "scalar(short)",
    "scalar(gauge)",
    "scalar(sum(gauge{shape='wave'})) + vector(time())",
    "vector(pi())",
    "time()",
    "timestamp(http_requests_total)",
    "timestamp((gauge offset 1m))",
    "timestamp(gauge * 1)",
    'absent(nothing{a="b",a="c",d="e"})',
    "absent(gauge)",
    "absent(sum(nothing))",
    "minute() + hour() * 100",
    "day_of_month(epoch) + day_of_week(epoch) * 100",
    "day_of_year(epoch)",
    "days_in_month(epoch) + month(epoch) * 100 + year(epoch) * 10000",
    'label_replace(http_requests_total, "host", "$1-${n}-$$-$2x", "instance", "(?P<n>.)")',
    'label_replace(gauge, "shape", "", "path", "/v1/.*")',
    'label_replace(gauge, "path", "$1", "path", "/v1/(o.*|w.*)")',
    'label_replace(http_requests_total, "instance", "x", "instance", ".*")',
    'label_replace(gauge, "a", "b", "c", "(")',
    'label_replace(gauge, "__name__", "other", "shape", "w.*")',
    'label_join(http_requests_total, "all", "-", "job", "instance", "none")',
    'label_join(gauge, "shape", ",")',
    '"text"',
    "42",
    "1e-9 * vector(1e21)",
]


def _ours(store: Store, query: str, span: Span | None) -> Result | str:
    try:
        expr = read(query)
        return instant(store, expr, NOW, LIMITS) if span is None else over_range(store, expr, span, LIMITS)
    except MetricsError as error:
        return error.kind


def _value(text: str) -> float:
    return float(text.replace("Inf", "inf"))


def _theirs(answer: dict[str, Any]) -> dict[tuple[tuple[str, str], ...], list[tuple[float, float]]]:
    found: dict[tuple[tuple[str, str], ...], list[tuple[float, float]]] = {}
    for one in answer["result"]:
        points = one["values"] if "values" in one else [one["value"]]
        found[from_dict(one["metric"])] = [(float(at), _value(value)) for at, value in points]
    return found


def _same(a: float, b: float) -> bool:
    if math.isnan(a) or math.isnan(b):
        return math.isnan(a) and math.isnan(b)
    return a == b or abs(a - b) <= 1e-12 * max(abs(a), abs(b)) or abs(a - b) <= 1e-9 * min(1.0, abs(b))


def _compare(query: str, ours: Result | str, answer: dict[str, Any]) -> None:
    if answer["status"] == "error":
        assert ours == answer["errorType"], f"{query}: {answer['error']}"
        return
    assert isinstance(ours, Result), f"{query}: ours fails with {ours}, the original answers"
    data = answer["data"]
    assert ours.type == data["resultType"]
    if ours.type is ValueType.STRING:
        assert ours.text == (data["result"][0], data["result"][1])
        return
    if ours.type is ValueType.SCALAR:
        assert ours.scalar is not None
        assert _same(ours.scalar[1], _value(data["result"][1])), query
        return
    theirs, mine = _theirs(data), dict(ours.series)
    assert len(mine) == len(ours.series), f"{query}: a label set stands twice"
    assert set(mine) == set(theirs), query
    for labels, points in theirs.items():
        assert [at for at, _ in mine[labels]] == [at for at, _ in points], f"{query}: {labels}"
        for (at, value), (_, wanted) in zip(mine[labels], points, strict=True):
            assert _same(value, wanted), f"{query}: {labels} at {at}: {value}, not {wanted}"


def test_the_queries_are_many_and_most_have_an_answer(both: "tuple[Original, Store]") -> None:
    assert len(QUERIES) >= 60
    answered = [found for query in QUERIES if isinstance(found := _ours(both[1], query, None), Result) and found.series]
    assert len(answered) >= 0.8 * len(QUERIES)


@pytest.mark.parametrize("query", QUERIES)
def test_an_instant_query_answers_what_the_original_answers(both: "tuple[Original, Store]", query: str) -> None:
    original, store = both
    _compare(query, _ours(store, query, None), original.get("query", query=query, time=NOW))


@pytest.mark.parametrize("query", QUERIES)
def test_a_range_query_answers_what_the_original_answers(both: "tuple[Original, Store]", query: str) -> None:
    original, store = both
    span = Span(START / 1000 - 30, NOW + 400, 17)
    answer = original.get("query_range", query=query, start=span.start, end=span.end, step=span.step)
    _compare(query, _ours(store, query, span), answer)


def test_what_needs_native_histograms_is_refused_by_name(both: "tuple[Original, Store]") -> None:
    with pytest.raises(MetricsError, match="histogram_avg works on native histograms only"):
        instant(both[1], read("histogram_avg(gauge)"), NOW, LIMITS)


@pytest.mark.parametrize(
    "query",
    [
        "topk(3, http_requests_total)",
        "bottomk(4, http_requests_total)",
        "sort(http_requests_total)",
        "sort_desc(rate(http_requests_total[5m]))",
    ],
)
def test_sorted_answers_come_in_the_order_of_the_original(both: "tuple[Original, Store]", query: str) -> None:
    original, store = both
    ours = _ours(store, query, None)
    assert isinstance(ours, Result)
    theirs = original.get("query", query=query, time=NOW)["data"]["result"]
    assert [points[0][1] for _, points in ours.series] == pytest.approx([_value(one["value"][1]) for one in theirs])


def test_the_parser_accepts_and_refuses_what_the_original_does(both: "tuple[Original, Store]") -> None:
    original, _ = both
    draw = random.Random(3)  # noqa: S311 (data, not secrets)
    pieces = [
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        '"',
        "by",
        "offset",
        "5m",
        "@",
        "-",
        ",",
        "on",
        "1",
        "sum",
        " ",
        "bool",
        "=~",
    ]
    differ: list[str] = []
    for _ in range(1500):
        text = list(draw.choice(QUERIES))
        for _ in range(draw.randint(0, 2)):
            at = draw.randint(0, len(text))
            text[at : at + draw.randint(0, 2)] = [draw.choice(pieces)]
        query = "".join(text)
        answer = original.get("format_query", query=query)
        try:
            parsed = format_expr(parse(query))
        except PromqlError:
            parsed = None
        if (parsed is None) != (answer["status"] == "error"):
            differ.append(f"{query!r}: ours {parsed}, theirs {answer.get('error', answer.get('data'))}")
        elif parsed is not None:
            again = original.get("format_query", query=parsed)
            assert format_expr(parse(answer["data"])) == format_expr(parse(again["data"])), query
    assert not differ, "\n".join(differ[:20])


def test_the_stale_marker_is_the_one_bit_pattern() -> None:
    assert struct.pack(">d", STALE) == bytes.fromhex("7ff0000000000002")
