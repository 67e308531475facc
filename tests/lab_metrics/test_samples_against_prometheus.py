"""What the lab writes as text, read by the original: exported samples, and series to federate."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest

from midwatch_contracts.clock import WallClock
from midwatch_lab.metrics.remote_write import HEADERS, write_request
from midwatch_lab.metrics.service import MetricsService
from midwatch_lab.metrics.store import STALE
from midwatch_lab.original_prometheus import OriginalPrometheus, prometheus_running
from promql_harness.cases import NOW_S
from promql_harness.data import samples
from promql_harness.sides import lab_client

pytestmark = [pytest.mark.original, pytest.mark.anyio]
EVERYTHING = {"query": '{__name__=~".+"}[20m]', "time": str(NOW_S + 300)}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def test_promtool_takes_the_exported_samples_and_the_original_then_answers_the_same(
    prometheus_binaries: Path, tmp_path: Path
) -> None:
    async with lab_client(samples(), features=False) as lab:
        page = (await lab.get("/samples")).text
        ours = (await lab.get("/api/v1/query", params=EVERYTHING)).json()["data"]["result"]
        some = (await lab.get("/samples", params={"match[]": "gauge", "start": NOW_S - 60, "end": NOW_S})).text
    (tmp_path / "samples").write_text(page)
    command = ["tsdb", "create-blocks-from", "openmetrics", str(tmp_path / "samples"), str(tmp_path / "tsdb")]
    made = await anyio.run_process([str(prometheus_binaries / "promtool"), *command], check=False)
    assert made.returncode == 0, made.stderr.decode()
    with prometheus_running(prometheus_binaries / "prometheus", tmp_path) as original:
        theirs = original.get("query", **EVERYTHING)["data"]["result"]
    assert len(theirs) > 90
    assert _by_labels(ours) == _by_labels(theirs)
    assert 0 < some.count("\n") < page.count("\n") / 20
    assert some.endswith("# EOF\n")


def _by_labels(found: list[dict[str, Any]]) -> dict[str, Any]:
    return {str(sorted(one["metric"].items())): one["values"] for one in found}


async def test_series_are_federated_as_by_the_original(
    receiving: "Callable[[], AbstractContextManager[OriginalPrometheus]]",
) -> None:
    now = round(time.time() * 1000)
    data = {
        (("__name__", "a_total"), ("instance", "x"), ("job", "j")): [(now - 1000, 1.0), (now, 1e6)],
        (("__name__", "a_total"), ("job", 'q"\\\n')): [(now, 1.5e-9)],
        (("__name__", "odd.name"), ("la-bel", "ü")): [(now, float("nan"))],
        (("__name__", "gone"),): [(now - 1000, 1.0), (now, STALE)],
        (("__name__", "old"),): [(now - 400_000, 1.0)],
        (("__name__", "b"), ("a", "2")): [(now, float("inf"))],
        (("__name__", "b"), ("a", "1")): [(now - 200_000, -0.0)],
    }
    service = MetricsService(WallClock(), tuple, remote_write=True)
    transport = httpx2.ASGITransport(app=service.app)
    told: list[list[str]] = []
    with receiving() as original:
        original.write(data)
        async with (
            httpx2.AsyncClient(transport=transport, base_url="http://lab") as lab,
            httpx2.AsyncClient(base_url=original.url) as other,
        ):
            written = await lab.post("/api/v1/write", content=write_request(data), headers=HEADERS)
            assert written.status_code == 204
            for client in (lab, other):
                answers = [
                    await client.get("/federate", params={"match[]": selectors}, headers={"accept": accept})
                    for selectors in ('{__name__=~".+"}', ["b", 'a_total{job="j"}'])
                    for accept in ("*/*", "text/plain;version=1.0.0;escaping=allow-utf-8")
                ]
                told.append([answer.text for answer in answers] + [answers[0].headers["content-type"]])
    assert told[0] == told[1]
