"""The HTTP API: shapes, parameters and refusals, as Grafana and prometheus-api-client ask.

Grafana sends forms by POST; prometheus-api-client sends queries by GET, and `match[]` and times as parameters.
"""

from typing import Final

from promql_harness import Cases
from promql_harness.cases import NOW_S, START_S, Request

CASES: Final = Cases()

_NOW: Final = f"{NOW_S:.0f}"
_RANGE: Final = (("start", f"{START_S:.0f}"), ("end", _NOW))


def _ask(path: str, *pairs: tuple[str, str], method: str = "GET") -> Request:
    return Request(path, pairs, method)


def _both(path: str, *pairs: tuple[str, str]) -> tuple[Request, Request]:
    return _ask(path, *pairs), _ask(path, *pairs, method="POST")


CASES.api(
    "label names are listed, of all series and of those selected", *_both("labels", ("match[]", "gauge"), *_RANGE)
)
CASES.api("label names of two selectors are one list", *_both("labels", ("match[]", "gauge"), ("match[]", "short")))
CASES.api("label names outside of the data's time are none", *_both("labels", ("start", "1"), ("end", "2")))
CASES.api("a limit on label names warns when it cuts", *_both("labels", ("match[]", "gauge"), ("limit", "2")))
CASES.api("a limit that is met cuts nothing", *_both("labels", ("match[]", "short"), ("limit", "2")))
CASES.api("values of a label are listed", _ask("label/shape/values"), _ask("label/shape/values", *_RANGE))
CASES.api("values of the name are the metrics", _ask("label/__name__/values", ("match[]", '{job="db"}')))
CASES.api("a label that no series has has no values", _ask("label/missing/values"))
CASES.api("a label of odd characters is named by its escaped form", _ask("label/U__k8s_2e_pod_2f_name/values"))
CASES.api("a limit on values that is met cuts nothing", _ask("label/code/values", ("limit", "3")))
CASES.api("series are found by selectors", *_both("series", ("match[]", 'http_requests_total{job="db",code="500"}')))
CASES.api(
    "series of two selectors are found once",
    *_both("series", ("match[]", "short"), ("match[]", '{le="1",__name__=~"s.*"}')),
)
CASES.api(
    "series outside of the data's time are none", *_both("series", ("match[]", "gauge"), ("start", "1"), ("end", "2"))
)
CASES.api("series need a selector", *_both("series"))
CASES.api(
    "a selector that is none is refused", *_both("series", ("match[]", "gauge +")), *_both("labels", ("match[]", "{"))
)
CASES.api(
    "an expression is no selector", *_both("series", ("match[]", "1 + 1")), *_both("labels", ("match[]", "sum(x)"))
)
CASES.api("exemplars are none", *_both("query_exemplars", ("query", "gauge"), *_RANGE))
CASES.api("exemplars of a query that does not parse are refused", *_both("query_exemplars", ("query", "sum("), *_RANGE))
CASES.api(
    "metadata of nothing scraped is empty", _ask("metadata"), _ask("metadata", ("metric", "gauge"), ("limit", "3"))
)
CASES.api("no rules are no groups", _ask("rules"), _ask("rules", ("type", "alert")))
CASES.api("rules of an unknown type are refused", _ask("rules", ("type", "other")))
CASES.api("no alerts are an empty list", _ask("alerts"))
CASES.api(
    "no targets are empty lists",
    _ask("targets"),
    _ask("targets", ("state", "active")),
    _ask("targets", ("state", "dropped")),
)
CASES.api(
    "what targets say of metrics is nothing without targets",
    _ask("targets/metadata"),
    _ask("targets/metadata", ("metric", "up"), ("limit", "3"), ("match_target", '{job="a"}')),
    _ask("targets/metadata", ("match_target", "{")),
    _ask("targets/metadata", ("limit", "x")),
    _ask("targets/relabel_steps"),
    _ask("targets/relabel_steps", ("scrapePool", "a")),
    _ask("targets/relabel_steps", ("scrapePool", "a"), ("labels", "{}")),
    _ask("scrape_pools"),
    _ask("targets", ("state", "odd")),
    _ask("targets", ("scrapePool", "a"), ("state", "Active")),
)
CASES.api(
    "metadata has limits of the older kind",
    _ask("metadata", ("limit", "x")),
    _ask("metadata", ("limit_per_metric", "x")),
    _ask("metadata", ("limit", "0")),
    _ask("metadata", ("limit", "-1"), ("limit_per_metric", "1")),
)
CASES.api(
    "parts that stand still say so",
    _ask("status/walreplay"),
    _ask("status/tsdb/blocks"),
    _ask("alertmanagers"),
    _ask("notifications"),
)
CASES.api(
    "unknown paths and methods are refused in plain text",
    _ask("nothing"),
    _ask("status"),
    _ask("/nothing"),
    _ask("label/job/values", method="POST"),
    _ask("query", ("query", "1"), method="PUT"),
    _ask("series", ("match[]", "gauge"), method="DELETE"),
    _ask("write"),
    _ask("/-/ready", method="POST"),
)
CASES.api(
    "pages of other origins may ask what they may",
    _ask("query", method="OPTIONS"),
    _ask("write", method="OPTIONS"),
)
CASES.api("nothing federates without a selector", _ask("/federate"))
CASES.api("the server says that it is ready and healthy", _ask("/-/ready"), _ask("/-/healthy"))
CASES.api(
    "a limit on an answer warns when it cuts", *_both("query", ("query", "sort(gauge)"), ("time", _NOW), ("limit", "2"))
)
CASES.api(
    "a limit on a range answer cuts series",
    *_both("query_range", ("query", "gauge"), *_RANGE, ("step", "60"), ("limit", "1")),
)
CASES.api("a time in RFC 3339 is read", *_both("query", ("query", "time()"), ("time", "2023-11-14T22:13:21.5Z")))
CASES.api(
    "a range in RFC 3339 with a step as a duration is read",
    *_both(
        "query_range",
        ("query", "gauge"),
        ("start", "2023-11-14T22:14:00Z"),
        ("end", "2023-11-14T22:15:00Z"),
        ("step", "15s"),
    ),
)
CASES.api(
    "the lookback can be asked for",
    *_both("query", ("query", "short"), ("time", f"{START_S + 400}"), ("lookback_delta", "90s")),
)
CASES.api(
    "a query that takes far longer than it may is timed out",
    *_both(
        "query",
        ("query", "count_over_time(-(vector(1) + vector(2) * vector(3))[4000:1ms])"),
        ("time", _NOW),
        ("timeout", "0.003"),
    ),
)
CASES.api(
    "more steps than 11,000 are refused",
    *_both("query_range", ("query", "gauge"), ("start", "0"), ("end", "11001"), ("step", "1")),
)

for _name, _value in (
    ("time", "soon"),
    ("time", "2023-13-01T00:00:00Z"),
    ("limit", "-1"),
    ("limit", "x"),
    ("timeout", "soon"),
    ("lookback_delta", "soon"),
):
    CASES.api(
        f"an instant query with {_name}={_value} is refused",
        *_both("query", ("query", "gauge"), ("time", _NOW) if _name != "time" else (_name, _value), (_name, _value)),
    )
for _name, _value in (
    ("start", "soon"),
    ("end", "x"),
    ("step", "x"),
    ("step", "0"),
    ("step", "-5"),
    ("start", ""),
    ("step", ""),
    ("end", "0"),
):
    _fixed = tuple(pair for pair in (*_RANGE, ("step", "15")) if pair[0] != _name)
    CASES.api(
        f"a range query with {_name}={_value or 'nothing'} is refused",
        *_both("query_range", ("query", "gauge"), *_fixed, (_name, _value)),
    )
for _path in ("labels", "series", "label/job/values"):
    CASES.api(f"{_path} with a start that is no time is refused", _ask(_path, ("match[]", "gauge"), ("start", "soon")))
    CASES.api(f"{_path} with a limit that is none is refused", _ask(_path, ("match[]", "gauge"), ("limit", "-1")))

_FORMATTED: Final = (
    "sum by(job)(rate(http_requests_total{code=~\"5..\",job!='a'}[5m]))",
    "a+b*c^2 unless on(x)d",
    'topk(5,sum by (namespace,pod) (rate(container_cpu_usage_seconds_total{container!="",image!=""}[5m])) * 100)',
    'histogram_quantile(0.95, sum by (le, model_name) (rate(vllm:time_to_first_token_seconds_bucket{ns="c"}[5m]))) > 2',
    "-(-x) + (5m) * 1h30m",
    "x[5m*2] offset -(1h)",
    'max_over_time(deriv(rate(distance_covered_total{a="b"}[5s])[30s:5s] offset 1m)[10m:] @ end())',
    'label_replace(up{job="a very long job name that fills the line"}, "target", "$1-some", "source", "(.*):(.*)")',
    'x{b="c",a="d"} @ 1.5 offset 3',
    '{"utf.8","a b"=~"c"}',
    'count_values without (a) ("v", x) == bool ignoring (b) group_left (c) y',
    "1_000 + 0x10 + 1e3 + Inf - NaN",
    "'it''s'",
    "x anchored + y @ start() smoothed",
    "sum(",
    "",
)
for _query in _FORMATTED:
    CASES.api(f"the query {_query!r} is formatted", *_both("format_query", ("query", _query)))
    CASES.api(f"the query {_query!r} is shown as a tree", *_both("parse_query", ("query", _query)))
for _query in (
    'info(x, {a="b"}) + fill (1) limitk(2, y)',
    "histogram_quantiles(x, 'q', 0.1, 0.2)",
    "x[step() * 2] offset -range()",
):
    CASES.api(
        f"the experimental query {_query!r} is formatted", *_both("format_query", ("query", _query)), features=True
    )
    CASES.api(
        f"the experimental query {_query!r} is shown as a tree", *_both("parse_query", ("query", _query)), features=True
    )
