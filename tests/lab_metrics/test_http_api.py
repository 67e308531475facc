"""The HTTP API: Prometheus's shapes and errors, over ASGI."""

from typing import Any

import httpx2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from midwatch_contracts.clock import VirtualClock
from midwatch_lab.metrics.pages import Fetched
from midwatch_lab.metrics.service import MetricsService
from midwatch_lab.metrics.targets import Target

pytestmark = pytest.mark.anyio

PAGE = (
    "# HELP x Some thing.\n# TYPE x counter\n"
    'x{code="200"} 3\nx{code="500"} NaN\n# TYPE h histogram\nh_bucket{le="1"} 1\nh_bucket{le="+Inf"} 2\n'
)
RULES = "groups: [{name: g, rules: [{alert: High, expr: 'x > 1', for: 10s}, {record: r, expr: sum(x)}]}]"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Lab:
    def __init__(self) -> None:
        self.clock = VirtualClock()
        labels = {"job": "chat", "instance": "a:8000", "pod": "a"}
        self.service = MetricsService(self.clock, lambda: [Target(labels, "http://a:8000/metrics")], fetch=self.fetch)
        self.service.set_rules(RULES)

    async def fetch(self, url: str, timeout_s: float, _limit: int) -> Fetched:
        assert (url, timeout_s) == ("http://a:8000/metrics", 1.0)
        return Fetched(PAGE, "text/plain")

    async def ask(self, path: str, method: str = "GET", **parameters: Any) -> tuple[int, Any]:
        transport = httpx2.ASGITransport(app=self.service.app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://lab") as client:
            if method == "POST":
                answer = await client.post(path, data=parameters)
            else:
                answer = await client.get(path, params=parameters)
        return answer.status_code, answer.json() if "json" in answer.headers["content-type"] else answer.text


@pytest.fixture
async def lab() -> Lab:
    found = Lab()
    for _ in range(3):
        await found.service.scraper.once()
        found.service.rules.evaluate(found.clock.now())
        await found.clock.advance(1.0)
    return found


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_an_instant_query_has_the_shape_of_the_original(lab: Lab, method: str) -> None:
    now = lab.clock.now()
    code, body = await lab.ask("/api/v1/query", method, query='x{code=~"2.."}')
    metric = {"__name__": "x", "code": "200", "job": "chat", "instance": "a:8000", "pod": "a"}
    assert (code, body) == (
        200,
        {"status": "success", "data": {"resultType": "vector", "result": [{"metric": metric, "value": [now, "3"]}]}},
    )
    assert (await lab.ask("/api/v1/query", method, query="1 / 0"))[1]["data"] == {
        "resultType": "scalar",
        "result": [now, "+Inf"],
    }
    nan = (await lab.ask("/api/v1/query", method, query='x{code="500"}'))[1]["data"]["result"]
    assert nan[0]["value"][1] == "NaN"


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_range_query_has_the_shape_of_the_original(lab: Lab, method: str) -> None:
    end = lab.clock.now()
    code, body = await lab.ask("/api/v1/query_range", method, query="sum(h_bucket)", start=end - 2, end=end, step="1s")
    assert code == 200
    assert body["data"] == {
        "resultType": "matrix",
        "result": [{"metric": {}, "values": [[end - 2, "3"], [end - 1, "3"], [end, "3"]]}],
    }


async def test_times_are_read_as_seconds_and_as_rfc3339(lab: Lab) -> None:
    for time in ("1700000001", "2023-11-14T22:13:21Z", "2023-11-14T23:13:21.000+01:00"):
        _, body = await lab.ask("/api/v1/query", query="time()", time=time)
        assert body["data"]["result"] == [1700000001.0, "1700000001"]


@pytest.mark.parametrize(
    ("path", "parameters", "expected", "message"),
    [
        ("query", {}, (400, "bad_data"), 'parameter "query"'),
        ("query", {"query": "sum("}, (400, "bad_data"), "1:5: parse error"),
        ("query", {"query": "x", "time": "soon"}, (400, "bad_data"), "valid timestamp"),
        ("query", {"query": "x", "time": "1e300"}, (400, "bad_data"), "valid timestamp"),
        ("query", {"query": "x", "time": "nan"}, (400, "bad_data"), "valid timestamp"),
        ("query", {"query": "x * on () x"}, (422, "execution"), "many-to-many"),
        ("query", {"query": 'x{a=~"[z-a]"}'}, (400, "bad_data"), "RE2"),
        ("query_range", {"query": "x", "start": 0, "end": 1}, (400, "bad_data"), '"step"'),
        ("query_range", {"query": "x", "start": 0, "end": 1, "step": 0}, (400, "bad_data"), "zero or negative"),
        ("query_range", {"query": "x", "start": 2, "end": 1, "step": 1}, (400, "bad_data"), "before start"),
        ("query_range", {"query": "x", "start": 0, "end": 11001, "step": 1}, (400, "bad_data"), "11,000 points"),
        (
            "query_range",
            {"query": "x[5m]", "start": 0, "end": 1, "step": 1},
            (400, "bad_data"),
            "invalid expression type",
        ),
        ("series", {}, (400, "bad_data"), "match[]"),
        ("series", {"match[]": "x + 1"}, (400, "bad_data"), "no plain series selector"),
        ("labels", {"limit": "-1"}, (400, "bad_data"), '"limit"'),
        ("rules", {"type": "other"}, (400, "bad_data"), '"type"'),
    ],
)
async def test_errors_have_the_codes_and_types_of_the_original(
    lab: Lab, path: str, parameters: dict[str, Any], expected: tuple[int, str], message: str
) -> None:
    found, body = await lab.ask(f"/api/v1/{path}", **parameters)
    assert (found, body["status"], body["errorType"]) == (expected[0], "error", expected[1])
    assert message in body["error"]


async def test_series_labels_and_values_are_listed(lab: Lab) -> None:
    _, body = await lab.ask("/api/v1/series", **{"match[]": 'x{code="200"}'})
    assert [one["code"] for one in body["data"]] == ["200"]
    assert (await lab.ask("/api/v1/label/code/values"))[1]["data"] == ["200", "500"]
    assert (await lab.ask("/api/v1/label/code/values", limit=1))[1]["data"] == ["200"]
    assert (await lab.ask("/api/v1/label/le/values"))[1]["data"] == ["+Inf", "1.0"]
    labels = (await lab.ask("/api/v1/labels", **{"match[]": "x"}))[1]["data"]
    assert labels == ["__name__", "code", "instance", "job", "pod"]
    assert (await lab.ask("/api/v1/labels", end=1_600_000_000))[1]["data"] == []


async def test_metadata_targets_rules_alerts_and_build_are_shown(lab: Lab) -> None:
    metadata = (await lab.ask("/api/v1/metadata", metric="x"))[1]["data"]
    assert metadata == {"x": [{"type": "counter", "help": "Some thing.", "unit": ""}]}
    target = (await lab.ask("/api/v1/targets"))[1]["data"]["activeTargets"][0]
    assert (target["health"], target["lastError"], target["scrapeUrl"]) == ("up", "", "http://a:8000/metrics")
    assert target["labels"] == {"job": "chat", "instance": "a:8000", "pod": "a"}
    assert target["lastScrape"] == "2023-11-14T22:13:22.000Z"
    group = (await lab.ask("/api/v1/rules"))[1]["data"]["groups"][0]
    assert [(rule["name"], rule["type"], rule["health"]) for rule in group["rules"]] == [
        ("High", "alerting", "ok"),
        ("r", "recording", "ok"),
    ]
    only = (await lab.ask("/api/v1/rules", type="record"))[1]["data"]["groups"][0]["rules"]
    assert [rule["name"] for rule in only] == ["r"]
    alerts = (await lab.ask("/api/v1/alerts"))[1]["data"]["alerts"]
    assert [(alert["labels"]["alertname"], alert["state"], alert["value"]) for alert in alerts] == [
        ("High", "pending", "3e+00")
    ]
    assert group["rules"][0]["alerts"] == alerts
    assert (await lab.ask("/api/v1/status/buildinfo"))[1]["data"]["version"].startswith("3.")
    assert (await lab.ask("/-/ready"))[0] == 200


async def test_a_warning_stands_beside_the_answer(lab: Lab) -> None:
    _, body = await lab.ask("/api/v1/query", query="histogram_quantile(2, h_bucket)")
    assert body["warnings"] == ["PromQL warning: quantile value should be between 0 and 1, got 2 (1:20)"]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(["query", "query_range", "series", "labels", "label/x/values", "targets", "rules"]),
    st.dictionaries(
        st.sampled_from(["query", "time", "start", "end", "step", "match[]", "limit", "lookback_delta", "type"]),
        st.text(st.characters(codec="utf-8"), max_size=12) | st.sampled_from(["x", "rate(x[5m])", "1", "1e18", "5m"]),
    ),
)
async def test_no_request_gives_a_500(lab: Lab, path: str, parameters: dict[str, str]) -> None:
    code, body = await lab.ask(f"/api/v1/{path}", **parameters)
    assert code in (200, 400, 422)
    assert body["status"] in ("success", "error")
