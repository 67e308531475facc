"""The library `prometheus-api-client`, as it comes from the package index, against the lab's Prometheus."""

import asyncio
import json
import socket
import sys
from pathlib import Path

import anyio
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.routing import Mount

from midwatch_contracts.clock import WallClock
from midwatch_lab.metrics.pages import Fetched
from midwatch_lab.metrics.scrape_config import Job
from midwatch_lab.metrics.service import MetricsService
from midwatch_lab.metrics.targets import populated

pytestmark = [pytest.mark.slow, pytest.mark.packaging, pytest.mark.anyio]

SCRIPT = """
import json, sys
from datetime import datetime, timedelta
from prometheus_api_client import PrometheusConnect
connect = PrometheusConnect(url=sys.argv[1], disable_ssl=True)
now = datetime.now()
soon = now + timedelta(seconds=1)  # the library rounds its times to whole seconds
print(json.dumps({
    "connected": connect.check_prometheus_connection(),
    "metrics": connect.all_metrics(),
    "names": connect.get_label_names(),
    "values": connect.get_label_values("job"),
    "series": connect.get_series(now - timedelta(minutes=5), now, params={"match[]": "x"}),
    "current": connect.get_current_metric_value("x", {"job": "chat"}),
    "range": connect.get_metric_range_data("x", start_time=now - timedelta(minutes=4), end_time=soon),
    "query": connect.custom_query("sum(x)"),
    "query_range": connect.custom_query_range("x", now - timedelta(minutes=1), soon, "1"),
    "pools": connect.get_scrape_pools(),
    "targets": connect.get_targets("active"),
    "target_metadata": connect.get_target_metadata({"job": "chat"}, "x"),
    "metadata": connect.get_metric_metadata("x"),
}))
"""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def _page(_url: str, _timeout_s: float, _limit: int) -> Fetched:
    return Fetched("# HELP x Some.\n# TYPE x gauge\nx 3\n", "text/plain")


async def test_the_library_works_unmodified(tmp_path: Path) -> None:
    uv = str(Path(sys.executable).parent / "uv")
    python = str(tmp_path / "venv" / "bin" / "python")
    await anyio.run_process([uv, "venv", "--quiet", "--python", sys.executable, str(tmp_path / "venv")])
    await anyio.run_process([uv, "pip", "install", "--quiet", "--python", python, "prometheus-api-client>=0.6,<1"])
    target = populated({"__address__": "a:1"}, Job("chat"), 1, 1)
    service = MetricsService(WallClock(), lambda: [target], fetch=_page)
    await service.scraper.once()
    listening = socket.create_server(("127.0.0.1", 0))
    app = Starlette(routes=[Mount("/prometheus", app=service.app)])
    server = uvicorn.Server(uvicorn.Config(app, lifespan="off", log_config=None))
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    url = f"http://127.0.0.1:{listening.getsockname()[1]}/prometheus"
    try:
        ended = await anyio.run_process([python, "-c", SCRIPT, url], check=False)
    finally:
        server.should_exit = True
        await serving
    assert ended.returncode == 0, ended.stderr.decode()
    found = json.loads(ended.stdout)
    assert found["connected"] is True
    assert "x" in found["metrics"]
    assert found["values"] == ["chat"]
    assert found["series"] == [{"__name__": "x", "job": "chat", "instance": "a:1"}]
    assert [one["value"][1] for one in (*found["current"], *found["query"])] == ["3", "3"]
    assert found["range"][0]["values"][0][1] == found["query_range"][0]["values"][0][1] == "3"
    assert (found["pools"], [one["health"] for one in found["targets"]["activeTargets"]]) == (["chat"], ["up"])
    assert found["target_metadata"][0]["help"] == found["metadata"][0]["help"] == "Some."
