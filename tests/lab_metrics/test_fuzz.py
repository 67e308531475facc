"""Whatever is asked, of the language or not: an answer in Prometheus's envelope, within its limits, and never a 500."""

import math
from typing import Any

import httpx2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from midwatch_contracts.clock import VirtualClock
from midwatch_contracts.promql import EVERY_FEATURE, FUNCTIONS, Signature, ValueType
from midwatch_lab.metrics.engine.evaluate import Limits
from midwatch_lab.metrics.engine.query import Result, Span, instant, over_range, read
from midwatch_lab.metrics.errors import MetricsError
from midwatch_lab.metrics.labels import from_dict
from midwatch_lab.metrics.retention import Retention
from midwatch_lab.metrics.service import MetricsService
from midwatch_lab.metrics.store import STALE, Store

pytestmark = pytest.mark.anyio

START_S = 1_700_000_000
LIMITS = Limits(samples=20_000, steps=100, timeout_s=5, features=EVERY_FEATURE)
ODD = [1.0, 2.0, math.nan, math.inf, -math.inf, 0.0, -0.0, 1e308, STALE, 5e-324, -3.5]


def _fill(store: Store) -> None:
    for number, name in enumerate(("x", "y_total", "h_bucket", "target_info")):
        for label in ("a", "b"):
            for bound in ("1", "+Inf", "no"):
                labels = {"__name__": name, "job": "j", "instance": label}
                series = store.series(
                    from_dict({**labels, "le": bound} if name == "h_bucket" else {**labels, "l": bound})
                )
                for index in range(20):
                    value = ODD[(index * 7 + number + len(bound)) % len(ODD)]
                    store.append(series, (START_S + index * 15) * 1000 + number, value)


STORE = Store(retention_s=1e9)
_fill(STORE)

_DURATION = st.sampled_from(["1m", "15s", "90s", "step() + 1s", "range() / 2 + 1m", "1ms", "10y", "min_of(1m, 2m)"])
_NUMBER = st.sampled_from(["0", "1", "-1", "0.5", "NaN", "Inf", "1e300", "time()", "pi()", "scalar(x)", "step()"])
_TEXT = st.sampled_from(['"a"', '"l"', '"$1"', '"(.*)"', '""', '"__name__"', '"("'])
_MATCHERS = st.sampled_from(["", '{l="1"}', '{l!~"n.*"}', '{instance=~"a|b",job="j"}', '{missing=""}'])
_MODIFIER = st.sampled_from(
    ["", "", " offset 1m", " offset -30s", f" @ {START_S + 60}", " @ end()", " @ start() offset 15s"]
)
_EXTENSION = st.sampled_from(["", "", "", " anchored", " smoothed"])
_OPERATOR = st.sampled_from(
    ["+", "-", "*", "/", "%", "^", "atan2", "==", "!=", "> bool", "<", ">=", "and", "or", "unless"]
)
_MATCHING = st.sampled_from(
    ["", "", " on (l)", " ignoring (le, l)", " on (job) group_left (instance)", " on (l) group_right ()", " fill (0)"]
)
_AGGREGATION = st.sampled_from(["sum", "avg", "count", "min", "max", "group", "stddev", "stdvar"])
_WITH_NUMBER = st.sampled_from(["topk", "bottomk", "quantile", "limitk", "limit_ratio"])
_GROUPING = st.sampled_from(["", " by (l)", " without (instance)", " by (job, missing)"])
_SELECTOR = st.tuples(st.sampled_from(["x", "y_total", "h_bucket", "none", "target_info"]), _MATCHERS).map("".join)
_INSTANT = st.tuples(_SELECTOR, _EXTENSION, _MODIFIER).map("".join)


def _argument(kind: ValueType, vector: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    ranged = st.tuples(_SELECTOR, _DURATION, _EXTENSION, _MODIFIER).map(lambda p: f"{p[0]}[{p[1]}]{p[2]}{p[3]}")
    subquery = st.tuples(vector, st.sampled_from(["[2m:15s]", "[1m:]", "[3m:1m] offset 1m"])).map(
        lambda p: f"({p[0]}){p[1]}"
    )
    return {
        ValueType.SCALAR: _NUMBER,
        ValueType.STRING: _TEXT,
        ValueType.VECTOR: vector,
        ValueType.MATRIX: st.one_of(ranged, subquery),
    }[kind]


def _call(name: str, signature: Signature, vector: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    least = len(signature.args) - (signature.optional != 0)
    arguments = [_argument(kind, vector) for kind in signature.args]
    if name == "info":
        arguments[1] = st.sampled_from(["{}", '{l=~".+"}', '{__name__=~".+_info"}'])
    wrap = f"vector({name}({{}}))" if signature.returns is ValueType.SCALAR else f"{name}({{}})"
    counts = st.integers(least, len(arguments))
    return counts.flatmap(lambda count: st.tuples(*arguments[:count])).map(lambda found: wrap.format(", ".join(found)))


def _grow(vector: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    calls = [_call(name, signature, vector) for name, signature in FUNCTIONS.items()]
    return st.one_of(
        st.tuples(vector, _OPERATOR, _MATCHING, vector).map(lambda p: f"({p[0]}) {p[1]}{p[2]} ({p[3]})"),
        st.tuples(vector, _OPERATOR, _NUMBER).map(lambda p: f"({p[0]}) {p[1]} {p[2]}"),
        st.tuples(_AGGREGATION, _GROUPING, vector).map(lambda p: f"{p[0]}{p[1]} ({p[2]})"),
        st.tuples(_WITH_NUMBER, _GROUPING, _NUMBER, vector).map(lambda p: f"{p[0]}{p[1]} ({p[2]}, {p[3]})"),
        st.tuples(_TEXT, vector).map(lambda p: f"count_values({p[0]}, {p[1]})"),
        vector.map(lambda text: f"-({text})"),
        *calls,
    )


QUERIES = st.recursive(_INSTANT, _grow, max_leaves=5)


def _asked(query: str) -> tuple[Result, Result] | MetricsError:
    try:
        expr = read(query, EVERY_FEATURE)
        ranged = over_range(STORE, expr, Span(START_S, START_S + 300, 31), LIMITS)
        return instant(STORE, expr, START_S + 300, LIMITS), ranged
    except MetricsError as error:
        return error


@settings(max_examples=400)
@given(QUERIES)
def test_any_query_of_the_language_is_answered_within_its_limits_or_refused_by_a_named_error(query: str) -> None:
    answer = _asked(query)
    if isinstance(answer, MetricsError):
        assert answer.kind in ("bad_data", "execution", "timeout"), query
        assert str(answer)
        return
    found, ranged = answer
    assert sum(len(points) for _, points in ranged.series) <= LIMITS.samples
    labels = [one for one, _ in ranged.series]
    assert labels == sorted(set(labels)), query
    assert len({one for one, _ in found.series}) == len(found.series), query
    found.notes.rendered(query)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def service() -> MetricsService:
    made = MetricsService(VirtualClock(START_S + 300), tuple, retention=Retention(1e9), limits=LIMITS)
    _fill(made.store)
    return made


_PATH = st.sampled_from(
    [
        *("query", "query_range", "series", "labels", "label/l/values", "metadata", "targets", "rules", "alerts"),
        *("format_query", "parse_query", "query_exemplars", "status/buildinfo", "status/tsdb", "status/config"),
        *("targets/metadata", "scrape_pools", "write", "..%2f..%2ffederate"),
        *("label/%ff/values", "label//values", "label/U__/values", "nothing"),
    ]
)
_NAME = st.sampled_from(
    [
        *("query", "time", "start", "end", "step", "match[]", "limit", "timeout", "lookback_delta", "type", "state"),
        *("match_target", "limit_per_metric", "metric", "scrapePool"),
    ]
)
_VALUE = st.one_of(
    st.binary(max_size=30),
    QUERIES.map(str.encode),
    st.sampled_from(
        [b"1700000100", b"1e400", b"-1", b"nan", b"1s", b"0x10", b"9" * 400, b"2023-11-14T22:13:20Z", b"x[1y:1ms]"]
    ),
)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(["GET", "POST"]), _PATH, st.lists(st.tuples(_NAME, _VALUE), max_size=5), st.binary(max_size=40))
async def test_any_bytes_over_http_get_an_answer_and_never_a_500(
    service: MetricsService, method: str, path: str, pairs: list[tuple[str, bytes]], tail: bytes
) -> None:
    form = b"&".join(name.encode() + b"=" + value.hex().encode() for name, value in pairs if not value)
    quoted = "&".join(f"{name}={''.join(f'%{byte:02x}' for byte in value)}" for name, value in pairs)
    body: Any = (form or quoted.encode()) + tail
    transport = httpx2.ASGITransport(app=service.app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://lab") as client:
        url = f"/api/v1/{path}" + (f"?{quoted}" if method == "GET" else "")
        headers = {"content-type": "application/x-www-form-urlencoded"}
        answer = await client.request(method, url, content=body if method == "POST" else None, headers=headers)
    assert answer.status_code < 500 or answer.status_code == 503, (url, body)
    if answer.headers["content-type"].startswith("application/json"):
        assert answer.json()["status"] in ("success", "error")
