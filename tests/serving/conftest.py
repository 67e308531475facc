"""What the serving tests share: small models, a service in this process, a server in another."""

import argparse
import asyncio
import contextlib
import subprocess
import sys
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest

from midwatch_contracts.clock import WallClock
from midwatch_serving.api import build_app
from midwatch_serving.commands import configure
from midwatch_serving.model import Model, tiny
from midwatch_serving.options import parse_options
from midwatch_serving.server import build_service
from midwatch_serving.service import Service

START_DEADLINE_S = 30


@pytest.fixture(scope="session")
def model() -> Model:
    return tiny(0)


ServiceFactory = Callable[..., AbstractAsyncContextManager[tuple[Service, httpx2.AsyncClient]]]


@pytest.fixture
def serving(model: Model) -> ServiceFactory:
    """A service in this process: `async with serving("--max-num-seqs", "2") as (service, client)`."""

    @contextlib.asynccontextmanager
    async def start(*flags: str) -> AsyncGenerator[tuple[Service, httpx2.AsyncClient]]:
        parser = argparse.ArgumentParser()
        configure(parser)
        service = build_service(parse_options(parser.parse_args(flags), {}), model, WallClock())
        engine = asyncio.create_task(service.engine.run())
        transport = httpx2.ASGITransport(build_app(service))
        try:
            async with httpx2.AsyncClient(transport=transport, base_url="http://serving") as client:
                yield service, client
        finally:
            engine.cancel()
            await asyncio.wait({engine})

    return start


@dataclass
class Server:
    """A server process, its address and its log."""

    process: subprocess.Popen[str]
    url: str
    log: Path


@pytest.fixture
def server(tmp_path: Path) -> Generator[Callable[..., Server]]:
    """Starts `python -m midwatch_serving --port 0` with more flags, and kills what is left at the end."""
    with contextlib.ExitStack() as ending:

        def start(*flags: str, stdin: int | None = subprocess.DEVNULL) -> Server:
            log = tmp_path / "server.log"
            process = subprocess.Popen(
                [sys.executable, "-m", "midwatch_serving", "--port", "0", *flags],
                stdin=stdin,
                stdout=subprocess.PIPE,
                stderr=ending.enter_context(log.open("w")),
                text=True,
            )
            ending.callback(_end, process)
            assert process.stdout is not None
            url = process.stdout.readline().strip()
            assert url, log.read_text()
            return Server(process, url, log)

        yield start


def _end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait(START_DEADLINE_S)
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()
