"""What clients expect around the answers: origins, packing, status pages, refusals, and samples as text."""

from collections.abc import AsyncIterator

import httpx2
import pytest

from midwatch_contracts.clock import VirtualClock
from midwatch_lab.metrics.labels import from_dict
from midwatch_lab.metrics.pages import Fetched
from midwatch_lab.metrics.scrape_config import read_jobs
from midwatch_lab.metrics.service import MetricsService
from midwatch_lab.metrics.targets import Target, populated

pytestmark = pytest.mark.anyio
NOW_S = 1_700_000_000.0
CONFIG = """
global: {scrape_interval: 1s, scrape_timeout: 1s}
scrape_configs:
- job_name: chat
  sample_limit: 100
  static_configs: [{targets: ['a:1'], labels: {pod: a}}, {targets: ['b:1'], labels: {pod: b}}]
  relabel_configs: [{source_labels: [pod], regex: b, action: drop}]
"""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def _page(_url: str, _timeout_s: float, _limit: int) -> Fetched:
    return Fetched("# TYPE x counter\nx 1\ny 2\n" + "".join(f'z{{n="{n}"}} 1\n' for n in range(50)), "text/plain")


@pytest.fixture
async def client() -> AsyncIterator[httpx2.AsyncClient]:
    jobs = read_jobs(CONFIG)
    found = [populated(labels, job, 1, 1) for job in jobs for labels in job.static]
    service = MetricsService(VirtualClock(NOW_S), lambda: found, fetch=_page, jobs=jobs)
    await service.scraper.once()
    transport = httpx2.ASGITransport(app=service.app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://lab") as made:
        yield made


async def test_a_page_of_another_origin_may_read_the_answers(client: httpx2.AsyncClient) -> None:
    answer = await client.get("/api/v1/query", params={"query": "1"}, headers={"origin": "http://grafana"})
    assert answer.headers["access-control-allow-origin"] == "http://grafana"
    asked = await client.options("/api/v1/query", headers={"origin": "http://grafana"})
    assert (asked.status_code, asked.headers["access-control-allow-methods"]) == (204, "GET, POST, OPTIONS")


async def test_a_large_answer_is_packed_for_who_takes_it_so(client: httpx2.AsyncClient) -> None:
    packed = await client.get("/api/v1/series", params={"match[]": "z"}, headers={"accept-encoding": "gzip"})
    assert packed.headers["content-encoding"] == "gzip"
    plain = await client.get("/api/v1/series", params={"match[]": "z"}, headers={"accept-encoding": "identity"})
    assert "content-encoding" not in plain.headers
    assert packed.json() == plain.json()


async def test_what_grafana_sends_is_answered(client: httpx2.AsyncClient) -> None:
    headers = {"X-Dashboard-Uid": "d", "X-Panel-Id": "1", "content-type": "application/x-www-form-urlencoded"}
    form = f"query=x&start={NOW_S - 60}&end={NOW_S}&step=15"
    answer = await client.post("/api/v1/query_range", content=form, headers=headers)
    assert answer.json()["data"]["result"][0]["values"] == [[NOW_S, "1"]]
    for path in ("labels", "label/__name__/values", "metadata?limit=10", "rules", "alerts", "query_exemplars?query=x"):
        assert (await client.get(f"/api/v1/{path}")).json()["status"] == "success", path
    assert (await client.post("/api/v1/labels", content="match[]=x", headers=headers)).json()["data"][0] == "__name__"


async def test_the_server_tells_of_itself(client: httpx2.AsyncClient) -> None:
    async def told(path: str) -> dict[str, str]:
        return (await client.get(f"/api/v1/status/{path}")).json()["data"]

    assert read_jobs((await told("config"))["yaml"]) == read_jobs(CONFIG)
    assert (await told("flags"))["query.lookback-delta"] == "5m"
    assert (await told("runtimeinfo"))["startTime"].startswith("2023-11-14T22:13:20")
    counted = (await client.get("/api/v1/status/tsdb", params={"limit": 1})).json()["data"]
    assert counted["seriesCountByMetricName"] == [{"name": "z", "value": 50}]
    assert counted["headStats"]["numSeries"] == 57
    assert (await client.get("/")).status_code == 200


async def test_targets_are_shown_by_pool_with_what_was_discovered(client: httpx2.AsyncClient) -> None:
    data = (await client.get("/api/v1/targets", params={"scrapePool": "chat"})).json()["data"]
    assert data["activeTargets"][0]["discoveredLabels"]["__scrape_interval__"] == "1s"
    assert [one["discoveredLabels"]["pod"] for one in data["droppedTargets"]] == ["b"]
    assert data["droppedTargetCounts"] == {"chat": 1}
    asked = {"scrapePool": "chat", "labels": '{"pod": "b"}'}
    steps = (await client.get("/api/v1/targets/relabel_steps", params=asked)).json()["data"]["steps"]
    assert [(step["rule"]["action"], step["keep"]) for step in steps] == [("drop", False)]
    for labels, problem in (("[]", "JSON object"), ("{", "parsing"), ('{"a": 5}', "texts"), ("", "no labels")):
        refused = await client.get("/api/v1/targets/relabel_steps", params={**asked, "labels": labels})
        assert (refused.status_code, problem in refused.json()["error"]) == (400, True)
    assert (await client.get("/api/v1/scrape_pools")).json()["data"] == {"scrapePools": ["chat"]}
    said = (await client.get("/api/v1/targets/metadata", params={"match_target": '{pod="a"}', "metric": "x"})).json()
    assert [(one["target"]["pod"], one["type"]) for one in said["data"]] == [("a", "counter")]


async def test_samples_are_written_as_text_of_what_is_asked_for(client: httpx2.AsyncClient) -> None:
    found = await client.get("/samples", params={"match[]": ["x", "y"], "start": NOW_S - 1})
    assert found.headers["content-type"].startswith("application/openmetrics-text")
    assert found.text == (
        'x{instance="a:1",job="chat",pod="a"} 1 1700000000.000\n'
        'y{instance="a:1",job="chat",pod="a"} 2 1700000000.000\n# EOF\n'
    )
    assert (await client.get("/samples", params={"match[]": "x", "end": NOW_S - 1})).text == "# EOF\n"
    refused = await client.get("/samples", params={"match[]": "x +"})
    assert refused.status_code == 400
    assert '"match[]"' in refused.text


async def test_times_of_exported_samples_are_the_same_when_read() -> None:
    service = MetricsService(VirtualClock(NOW_S), tuple)
    series = service.store.series(from_dict({"__name__": "x"}))
    times = [1_700_000_000_001 + 7 * step for step in range(1000)]
    for at in times:
        service.store.append(series, at, 1.0)
    transport = httpx2.ASGITransport(app=service.app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://lab") as client:
        lines = (await client.get("/samples")).text.splitlines()[:-1]
    assert [int(float(line.split()[2]) * 1000) for line in lines] == times


def test_a_target_named_without_a_job_is_listed_under_its_label() -> None:
    assert Target({"job": "kube-state-metrics"}, "").pool == "kube-state-metrics"
