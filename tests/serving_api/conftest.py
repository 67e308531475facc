"""A service in this process with a very small model, by itself or listening on a real port."""

import argparse
import asyncio
import contextlib
import socket
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace

import httpx2
import openai
import pytest
import uvicorn
from starlette.applications import Starlette

from midwatch_contracts.clock import Clock, WallClock
from midwatch_serving.access import guards
from midwatch_serving.api import build_app
from midwatch_serving.commands import configure
from midwatch_serving.model import TINY, Model, tiny
from midwatch_serving.options import parse_options
from midwatch_serving.sampling import Sample
from midwatch_serving.server import build_service
from midwatch_serving.service import Service
from midwatch_serving.work import StepResult, Work

SMALL = replace(TINY, layers=2, hidden=48, heads=6, kv_heads=2, ffn=64)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def model() -> Model:
    return tiny(0, SMALL)


class Script:
    """Says the same text to everyone, a byte a token, and then blanks."""

    def __init__(self, text: str) -> None:
        self._text = text.encode()

    def execute(self, work: list[Work]) -> StepResult:
        tokens = [None if w.output_index is None else self._text[w.output_index :][:1] or b" " for w in work]
        return StepResult([None if token is None else Sample(token[0]) for token in tokens], 0.0)


def build(model: Model, flags: tuple[str, ...], clock: Clock, script: str | None) -> tuple[Service, Starlette]:
    parser = argparse.ArgumentParser()
    configure(parser)
    options = parse_options(parser.parse_args(flags), {})
    service = build_service(options, model, clock)
    if script is not None:
        service.engine._executor = Script(script)  # pyright: ignore[reportPrivateUsage] (a model that says what it is told)
    return service, build_app(service, guards=guards(options.api_keys, options.rate_limit, clock))


ServiceFactory = Callable[..., AbstractAsyncContextManager[tuple[Service, httpx2.AsyncClient]]]


@pytest.fixture
def serving(model: Model) -> ServiceFactory:
    """A service in this process: `async with serving("--max-num-seqs", "2") as (service, client)`.

    With `script` the model says that text instead of its own.
    """

    @contextlib.asynccontextmanager
    async def start(
        *flags: str, script: str | None = None, clock: Clock | None = None
    ) -> AsyncGenerator[tuple[Service, httpx2.AsyncClient]]:
        service, app = build(model, flags, clock or WallClock(), script)
        engine = asyncio.create_task(service.engine.run())
        transport = httpx2.ASGITransport(app)
        try:
            async with httpx2.AsyncClient(transport=transport, base_url="http://serving") as client:
                yield service, client
        finally:
            engine.cancel()
            await asyncio.wait({engine})

    return start


@dataclass
class Listening:
    """A service that listens, and a client of OpenAI's own."""

    service: Service
    url: str
    client: openai.AsyncOpenAI


class _Http(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


@pytest.fixture
def listening(model: Model) -> Callable[..., AbstractAsyncContextManager[Listening]]:
    """As `serving`, over a socket: `async with listening() as here: here.client.chat...`."""

    @contextlib.asynccontextmanager
    async def start(*flags: str, script: str | None = None) -> AsyncGenerator[Listening]:
        service, app = build(model, flags, WallClock(), script)
        listener = socket.create_server(("127.0.0.1", 0))
        http = _Http(uvicorn.Config(app, log_config=None, access_log=False, lifespan="off"))
        tasks = [asyncio.create_task(service.engine.run()), asyncio.create_task(http.serve([listener]))]
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        try:
            async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0, timeout=20) as client:
                yield Listening(service, url, client)
        finally:
            http.should_exit = True
            await tasks[1]
            tasks[0].cancel()
            await asyncio.wait(tasks)
            listener.close()

    return start
