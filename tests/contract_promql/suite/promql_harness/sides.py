"""The two sides of a case, asked alike: the lab's metrics service over ASGI, and the original over HTTP."""

from dataclasses import dataclass
from typing import Any

import httpx2

from midwatch_contracts.clock import VirtualClock
from midwatch_contracts.promql import EVERY_FEATURE, Features
from midwatch_lab.metrics.engine.evaluate import Limits
from midwatch_lab.metrics.remote_write import Data
from midwatch_lab.metrics.service import MetricsService
from promql_harness.cases import NOW_S, Request


@dataclass(frozen=True)
class Answer:
    """One answer: the body decoded from JSON where it is JSON, else as text."""

    code: int
    type: str
    body: Any


async def ask(client: httpx2.AsyncClient, request: Request) -> Answer:
    """Send a request."""
    path = request.path if request.path.startswith("/") else f"/api/v1/{request.path}"
    pairs = httpx2.QueryParams(list(request.parameters))
    if request.method == "POST":
        headers = {"content-type": "application/x-www-form-urlencoded"}
        answer = await client.post(path, content=str(pairs), headers=headers)
    else:
        answer = await client.request(request.method, path, params=pairs)
    kind = answer.headers.get("content-type", "")
    return Answer(int(answer.status_code), kind, answer.json() if kind.startswith("application/json") else answer.text)


def lab_client(data: Data, *, features: bool) -> httpx2.AsyncClient:
    """Return a client of a lab that has the samples, with or without the experimental features."""
    clock = VirtualClock(NOW_S)
    on = EVERY_FEATURE if features else Features()
    service = MetricsService(clock, tuple, retention_s=1e9, limits=Limits(features=on))
    for labels, samples in data.items():
        series = service.store.series(labels)
        for at, value in samples:
            service.store.append(series, at, value)
    transport = httpx2.ASGITransport(app=service.app)
    return httpx2.AsyncClient(transport=transport, base_url="http://lab", timeout=30)
