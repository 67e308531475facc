"""What a server offers with `promql-experimental-functions` and `promql-binop-fill-modifiers`, and native functions."""

from typing import Final

from promql_harness import Cases

CASES: Final = Cases()

_SCALARS: Final = ("start()", "end()", "step()", "range()", "end() - start() - range()", "vector(step()) + 1")
_RANGES: Final = ("many_total[2m]", 'gauge{shape=~"odd|wave"}[3m]', "dense[20s]", "many_total[2m:10s]", "nothing[1m]")
_FILLS: Final = ("fill (0)", "fill_left (-1.5)", "fill_right (3)", "fill_left (1) fill_right (2)", "fill (NaN)")

CASES.queries([f"{query} + 0" if "vector" in query else query for query in _SCALARS], features=True)
CASES.queries(
    [
        f"{function}({samples})"
        for function in (
            *("mad_over_time", "integral", "ts_of_first_over_time", "ts_of_last_over_time"),
            *("ts_of_max_over_time", "ts_of_min_over_time"),
        )
        for samples in _RANGES
    ],
    features=True,
)
CASES.queries(
    [
        f"double_exponential_smoothing({samples}, 0.{level}, 0.{trend})"
        for samples in _RANGES
        for level, trend in ((3, 1), (9, 5))
    ],
    features=True,
)
CASES.queries(
    [
        "double_exponential_smoothing(many_total[1m], 0, 0.5)",
        "double_exponential_smoothing(many_total[1m], 0.5, 1)",
        "double_exponential_smoothing(nothing[1m], 0, 0.5)",
        "double_exponential_smoothing(gauge[20s], 0.5, 0.5)",
        "integral(many_total[2m], 0)",
        "integral(many_total[2m], 1)",
        "integral(gauge[2m], 2)",
        "integral(gauge[2m], 3)",
        "integral(gauge[2m], 0.5)",
        "integral(gauge[2m], NaN)",
        "integral(dense[1m], scalar(dense) % 3)",
        "max_of(1, 2)",
        "min_of(1, NaN)",
        "max_of(scalar(dense), 30)",
        "min_of(time(), 1700000300) + max_of(-Inf, 0)",
        "max_of(min_of(1, 2), 3) * vector(2)",
        "min_of(step(), 10)",
        "start_timestamp(gauge)",
        "start_timestamp(gauge offset 1m)",
        "start_timestamp(sum(gauge))",
        "avg_over_time(vector(end())[1m:10s])",
        "sum_over_time(vector(step())[1m:10s])",
        "max_over_time(vector(range())[2m:step() + 10s])",
        "start() + time()",
        "vector(start()) + vector(end())",
        "range() > bool 100",
        'histogram_quantiles(ttft_bucket, "q", 0.5)',
        'histogram_quantiles(ttft_bucket, "q", 0.5, 0.9, 1)',
        'histogram_quantiles(rate(ttft_bucket[1m]), "quantile", 0.1, 0.99)',
        'histogram_quantiles(falling_bucket, "q", 0.25, 0.75)',
        'histogram_quantiles(broken_bucket, "q", 0.25, 2, NaN)',
        'histogram_quantiles(ttft_bucket, "q", 0.5, 0.5)',
        'histogram_quantiles(ttft_bucket{pod="p0"}, "q", scalar(dense) / 100)',
        'histogram_quantiles(endless_bucket, "pod", 0.5)',
        'histogram_quantiles(nothing, "q", 0.5)',
    ],
    features=True,
)
CASES.queries(
    [
        'sort_by_label(many_total, "number")',
        'sort_by_label(many_total, "even", "number")',
        'sort_by_label(queue_depth, "shard")',
        'sort_by_label(gauge, "missing")',
        'sort_by_label_desc(many_total, "number")',
        'sort_by_label_desc(queue_depth, "job", "shard")',
        'sort_by_label_desc(http_requests_total, "code", "instance")',
        "sort_by_label(gauge)",
        'sort_by_label(nothing, "a")',
    ],
    features=True,
    ordered=True,
)
CASES.queries(
    [
        "limitk(3, many_total)",
        "limitk(2, many_total) by (even)",
        "limitk(0, many_total)",
        "limitk(100, gauge)",
        "limitk(NaN, gauge)",
        "limitk(1e30, gauge)",
        "limitk(-2, gauge)",
        "count(limitk(scalar(dense) / 20, many_total))",
        "limitk by (job) (1, http_requests_total)",
        "limit_ratio(0.5, many_total)",
        "limit_ratio(-0.5, many_total)",
        "limit_ratio(0.25, http_requests_total) by (job)",
        "limit_ratio(1, gauge)",
        "limit_ratio(0, gauge)",
        "limit_ratio(2, gauge)",
        "limit_ratio(-1.5, gauge)",
        "limit_ratio(NaN, gauge)",
        "limit_ratio(scalar(dense) / 97, http_requests_total)",
        'limit_ratio(0.6, {"http.größe"} or gauge)',
        "limit_ratio(0.3, rate(ttft_bucket[1m]))",
    ],
    features=True,
)
CASES.queries(
    [
        f"{query.format(fill)}"
        for fill in _FILLS
        for query in (
            'many_total{{number=~"[0-5]"}} + {} many_total{{number=~"[3-8]"}}',
            'many_total{{number=~"[0-5]"}} > bool on (number) {} many_total{{number=~"[3-8]"}}',
            'http_requests_total{{instance!="c"}} * on (instance, job) group_left (zone) {} node_info{{zone!="za"}}',
            'node_info{{zone!="za"}} - on (instance, job) group_right (zone) {} http_requests_total{{instance!="c"}}',
            "gauge < ignoring (path) {} gauge offset 5m",
        )
    ],
    features=True,
)
CASES.queries(
    [
        "many_total + fill (1) nothing",
        "nothing + fill (1) many_total",
        "nothing + fill (1) nothing",
        "nothing / on (even) fill_left (2) many_total",
        "sum by (even) (many_total) == fill (3) vector(3)",
        "many_total + fill (1) 2",
        "many_total and fill (1) many_total",
        "many_total + on (even) fill (0) many_total",
    ],
    features=True,
)
CASES.queries(
    [
        "info(http_requests_total)",
        'info(http_requests_total, {version=~".+"})',
        'info(http_requests_total, {region="north"})',
        'info(http_requests_total, {region="north",version=""})',
        'info(http_requests_total, {missing="x"})',
        'info(http_requests_total, {missing=~".*"})',
        "info(rate(http_requests_total[2m]))",
        'info(http_requests_total, {__name__="build_info"})',
        'info(http_requests_total, {__name__=~".+_info"})',
        'info(http_requests_total, {__name__=~".+_info",branch=~".+"})',
        'info(http_requests_total, {__name__!="node_info"})',
        "info(gauge)",
        "info(sum by (job) (http_requests_total))",
        "info(target_info)",
        'info({__name__=~"target_info|node_info"})',
        "info(http_requests_total offset 5m)",
        "info(http_requests_total @ 1700000600)",
        "info(sum by (instance, job) (http_requests_total)) * 2",
        "sum by (version) (info(http_requests_total))",
        "info(http_requests_total, {})",
        'info(info(http_requests_total, {version=~".+"}), {region=~".+"})',
        "info(max_over_time(http_requests_total[1m:15s] offset 5m))",
        "info(nothing)",
        "info(http_requests_total, up)",
        "info(http_requests_total, 1)",
    ],
    features=True,
)
CASES.queries(
    [
        "histogram_avg(gauge)",
        "histogram_count(http_requests_total)",
        "histogram_sum(rate(http_requests_total[5m]))",
        "histogram_stddev(gauge)",
        "histogram_stdvar(gauge)",
        "gauge </ 2",
        "gauge >/ 2",
    ]
)
