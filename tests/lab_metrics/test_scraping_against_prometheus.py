"""Pages, scraped by the original Prometheus and by ours under one configuration: the same series and targets."""

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx2
import pytest

from midwatch_contracts.clock import WallClock
from midwatch_lab.metrics.labels import Labels, from_dict
from midwatch_lab.metrics.scrape_config import read_jobs
from midwatch_lab.metrics.service import MetricsService
from midwatch_lab.metrics.store import is_stale
from midwatch_lab.metrics.targets import populated
from midwatch_lab.original_prometheus import OriginalPrometheus
from promql_harness.pages import PAGES

pytestmark = [pytest.mark.original, pytest.mark.anyio]

TEXT, OPEN = "text/plain; version=0.0.4", "application/openmetrics-text; version=1.0.0"
BOUNDS = ["0", "0.001", "0.00001", "1", "2.5", "10", "100000", "1000000", "1234567", "1e3", "1e21", "123456.5", "+Inf"]
LARGE = (
    "# HELP h A histogram.\n# TYPE h histogram\n"
    + "".join(f'h_bucket{{le="{bound}"}} {number}\n' for number, bound in enumerate(BOUNDS))
    + "h_sum 3\nh_count 12\n"
    + '# TYPE s summary\ns{quantile="0.5"} 1\ns{quantile="1"} 2\ns_sum 1\ns_count 1\n'
    + '# TYPE g gauge\ng{le="1",pod="mine",job=""} NaN\ng{path="a\\\\b\\"c\\nd"} -Inf\n'
    + '{"utf.8 name","la.bel"="x"} 1.5e-7\nuntyped_thing{ a = "b" , } 1e300\n'
)
JOBS = """
- job_name: labels win
  honor_labels: true
- job_name: sample limit
  sample_limit: 5
  extra_scrape_metrics: true
- job_name: sample limit met
  sample_limit: 23
  extra_scrape_metrics: true
- job_name: label limit
  label_limit: 4
- job_name: name limit
  label_name_length_limit: 8
- job_name: value limit
  label_value_length_limit: 15
- job_name: body limit
  body_size_limit: 100B
- job_name: with parameters
  params: {module: [a, b], "odd key": ["x y"]}
- job_name: relabelled
  relabel_configs:
  - {source_labels: [__address__], regex: "(.*):.*", target_label: host}
  - {target_label: __param_target, replacement: t}
  - {source_labels: [pod], target_label: instance}
  - {source_labels: [__meta_x], target_label: x}
- job_name: dropped
  relabel_configs: [{source_labels: [pod], regex: a, action: drop}]
- job_name: samples relabelled
  metric_relabel_configs:
  - {source_labels: [__name__], regex: "h_.*", action: drop}
  - {source_labels: [quantile], regex: "(.+)", target_label: q, replacement: "q${1}"}
  - {regex: quantile, action: labeldrop}
  - {source_labels: [__name__, pod], separator: "/", target_label: both}
- job_name: names taken away
  metric_relabel_configs: [{regex: __name__, action: labeldrop}]
- job_name: without times
  metrics_path: /times
  honor_timestamps: false
- job_name: fallback
  metrics_path: /ct_none
  fallback_scrape_protocol: OpenMetricsText1.0.0
- job_name: interval
  relabel_configs: [{target_label: __scrape_timeout__, replacement: 500ms}]
- job_name: not there
  metrics_path: /nothing
"""
TIMED = ("times", "openmetrics times", "without times")
OURS = {"t_", "om"}
"""Pages whose errors are told in our words, which name the line."""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def page_port() -> Iterator[int]:
    now = round(time.time() * 1000)
    pages = PAGES | {
        "metrics": (TEXT, LARGE),
        "times": (TEXT, f"a 1 {now}\nb 1 {now - 5}\nc 1\n"),
        "openmetrics times": (OPEN, f"a 1 {now / 1000}\nb 1 {now / 1000:.0f}\nc 1\n# EOF\n"),
    }

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            media, body = pages.get(self.path.partition("?")[0][1:].replace("%20", " "), ("", ""))
            if not body and not media:
                self.send_error(404)
                return
            self.send_response(200)
            if media:
                self.send_header("Content-Type", media)
            self.end_headers()
            self.wfile.write(body.encode("utf-8", "surrogateescape"))

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (http.server's own name)
            """Say nothing."""

    class Server(ThreadingHTTPServer):
        request_queue_size = 200  # all are asked at once, and one that waits for its SYN to be sent again is late

    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


def _config(port: int) -> str:
    jobs = JOBS.strip().split("\n- job_name:")
    jobs = [jobs[0], *(f"- job_name:{job}" for job in jobs[1:])]
    jobs += [f"- job_name: {name}\n  metrics_path: /{name}" for name in (*PAGES, "metrics", *TIMED[:2])]
    targets = f"\n  static_configs: [{{targets: ['127.0.0.1:{port}'], labels: {{pod: a, __meta_x: y}}}}]\n"
    return "global: {scrape_interval: 1s, scrape_timeout: 1s}\nscrape_configs:\n" + "".join(j + targets for j in jobs)


async def test_a_page_gives_the_series_that_the_original_gives(
    page_port: int, scraping: "Callable[[str], AbstractContextManager[OriginalPrometheus]]"
) -> None:
    config = _config(page_port)
    jobs = read_jobs(config)
    targets = [populated(labels, job, 60, 10) for job in jobs for labels in job.static]
    service = MetricsService(WallClock(), lambda: targets)
    await service.scraper.once()
    with scraping(config) as original:
        _wait_for_scrapes(original)
        theirs = _series(original)
        told = [original.get(path)["data"] for path in ("targets", "targets/metadata")]
    client = httpx2.AsyncClient(transport=httpx2.ASGITransport(app=service.app), base_url="http://lab")
    async with client:
        mine = [(await client.get(f"/api/v1/{path}")).json()["data"] for path in ("targets", "targets/metadata")]
    one, two = _targets(mine[0]), _targets(told[0])
    assert {k: (one.get(k), two.get(k)) for k in {*one, *two} if one.get(k) != two.get(k)} == {}
    assert sorted(map(str, _metadata(mine[1]))) == sorted(map(str, _metadata(told[1])))
    ours = {s.labels: s.last for s in service.store if s and not is_stale(s.last)}
    assert set(ours) == set(theirs)
    # The second scrape of the original has no new series; whichever scrape answered, ours is the first.
    varying = ("scrape_duration_seconds", "scrape_series_added")
    different = {key for key in ours if dict(key)["__name__"] not in varying and not _same(ours[key], theirs[key])}
    assert different == set()


def _wait_for_scrapes(original: OriginalPrometheus) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        active = original.get("targets", state="active")["data"]["activeTargets"]
        if active and all(target["health"] != "unknown" for target in active):
            return
        time.sleep(0.2)
    pytest.fail("the original did not scrape its targets")


def _series(original: OriginalPrometheus) -> dict[Labels, float]:
    found = original.get("query", query='{__name__!=""}')["data"]["result"]
    return {from_dict(one["metric"]): float(one["value"][1]) for one in found}


def _metadata(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Leave out what was said by pages that failed, of which the original keeps what it read in one scrape or more."""
    return [dict(sorted(one.items())) for one in found if one["target"]["job"][:2] not in OURS]


def _targets(found: dict[str, Any]) -> dict[str, Any]:
    """Return targets by pool, without what differs from scrape to scrape and from host to host."""
    kept = ("discoveredLabels", "labels", "scrapeUrl", "health", "scrapeInterval", "scrapeTimeout", "lastError")
    made: dict[str, Any] = {}
    for target in found["activeTargets"]:
        one = {name: target[name] for name in kept}
        if target["scrapePool"][:2] in OURS:
            one["lastError"] = bool(one["lastError"])
        made[target["scrapePool"]] = one
    return made | {"dropped": found["droppedTargets"], "counts": found["droppedTargetCounts"]}


def _same(a: float, b: float) -> bool:
    return a == b or (math.isnan(a) and math.isnan(b))
