"""One page, scraped by the original Prometheus and by ours: the same series with the same values."""

import asyncio
import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from midwatch_contracts.clock import WallClock
from midwatch_lab.metrics.labels import Labels, from_dict
from midwatch_lab.metrics.service import MetricsService
from midwatch_lab.metrics.store import is_stale
from midwatch_lab.metrics.targets import Target
from midwatch_lab.original_prometheus import OriginalPrometheus

pytestmark = [pytest.mark.original, pytest.mark.anyio]

BOUNDS = ["0", "0.001", "0.00001", "1", "2.5", "10", "100000", "1000000", "1234567", "1e3", "1e21", "123456.5", "+Inf"]
PAGE = (
    "# HELP h A histogram.\n# TYPE h histogram\n"
    + "".join(f'h_bucket{{le="{bound}"}} {number}\n' for number, bound in enumerate(BOUNDS))
    + "h_sum 3\nh_count 12\n"
    + '# TYPE s summary\ns{quantile="0.5"} 1\ns{quantile="1"} 2\ns_sum 1\ns_count 1\n'
    + '# TYPE g gauge\ng{le="1",pod="mine",job=""} NaN\ng{path="a\\\\b\\"c\\nd"} -Inf\n'
    + '{"utf.8 name","la.bel"="x"} 1.5e-7\nuntyped_thing{ a = "b" , } 1e300\n'
)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
        self.end_headers()
        self.wfile.write(PAGE.encode())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (http.server's own name)
        """Say nothing."""


@pytest.fixture
def page_port() -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


def _same(a: float, b: float) -> bool:
    return a == b or (math.isnan(a) and math.isnan(b))


async def test_a_page_gives_the_series_that_the_original_gives(
    page_port: int, scraping: "Callable[[int], AbstractContextManager[OriginalPrometheus]]"
) -> None:
    labels = {"job": "chat", "instance": f"127.0.0.1:{page_port}", "pod": "a"}
    service = MetricsService(WallClock(), lambda: [Target(labels, f"http://127.0.0.1:{page_port}/metrics")])
    await service.scraper.once()
    ours = {series.labels: series.values[-1] for series in service.store}
    theirs: dict[Labels, float] = {}
    with scraping(page_port) as original:
        deadline = time.monotonic() + 30
        while not theirs and time.monotonic() < deadline:
            answer = original.get("query", query='{job="chat"}')["data"]["result"]
            theirs = {from_dict(one["metric"]): float(one["value"][1]) for one in answer}
            await asyncio.sleep(0.2)
    assert set(ours) == set(theirs)
    measured = {key for key in ours if dict(key)["__name__"] == "scrape_duration_seconds"}
    different = {key for key in set(ours) - measured if not _same(ours[key], theirs[key])}
    # The second scrape of the original has no new series; whichever scrape answered, ours is the first.
    assert {dict(key)["__name__"] for key in different} <= {"scrape_series_added"}
    assert not any(is_stale(value) for value in ours.values())
