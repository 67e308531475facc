"""What the tests of metrics and operations share: the tiny model, and a service in this process."""

import argparse
import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager
from functools import partial

import httpx2
import pytest

from midwatch_contracts.clock import WallClock
from midwatch_serving.api import build_app
from midwatch_serving.commands import configure
from midwatch_serving.model import Model, tiny
from midwatch_serving.options import parse_options
from midwatch_serving.server import build_service
from midwatch_serving.service import Service

ServiceFactory = Callable[..., AbstractAsyncContextManager[tuple[Service, httpx2.AsyncClient]]]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def model() -> Model:
    return tiny(0)


@pytest.fixture
def serving(model: Model) -> ServiceFactory:
    """A service in this process: `async with serving("--max-num-seqs", "2") as (service, client)`."""

    @contextlib.asynccontextmanager
    async def start(*flags: str) -> AsyncGenerator[tuple[Service, httpx2.AsyncClient]]:
        parser = argparse.ArgumentParser()
        configure(parser)
        options = parse_options(parser.parse_args(flags), {})
        service = build_service(options, model, WallClock(), reload=partial(tiny, 0))
        engine = asyncio.create_task(service.engine.run())
        transport = httpx2.ASGITransport(build_app(service))
        try:
            async with httpx2.AsyncClient(transport=transport, base_url="http://serving") as client:
                yield service, client
        finally:
            engine.cancel()
            await asyncio.wait({engine})

    return start
