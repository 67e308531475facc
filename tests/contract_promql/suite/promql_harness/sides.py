"""The two sides of a case, asked alike: the lab's metrics service over ASGI, and the original over HTTP."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx2

from midwatch_contracts.clock import VirtualClock
from midwatch_contracts.promql import EVERY_FEATURE, Features
from midwatch_lab.metrics.engine.evaluate import Limits
from midwatch_lab.metrics.remote_write import HEADERS, Data, write_request
from midwatch_lab.metrics.retention import Retention
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


@asynccontextmanager
async def lab_client(data: Data, *, features: bool) -> AsyncGenerator[httpx2.AsyncClient]:
    """Give a client of a lab that got the samples by remote write, with or without the experimental features."""
    on = EVERY_FEATURE if features else Features()
    clock = VirtualClock(NOW_S)
    service = MetricsService(clock, tuple, retention=Retention(1e9), limits=Limits(features=on), remote_write=True)
    transport = httpx2.ASGITransport(app=service.app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://lab", timeout=30) as client:
        answer = await client.post("/api/v1/write", content=write_request(data), headers=HEADERS)
        assert answer.status_code == 204, answer.text
        yield client
