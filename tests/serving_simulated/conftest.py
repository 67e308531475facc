"""What the simulator's tests share: a plain cost model, deployments, and services that simulate."""

import argparse
import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import httpx2
import pytest

from midwatch_contracts.clock import Clock, WallClock
from midwatch_serving.api import build_app
from midwatch_serving.commands import configure
from midwatch_serving.cost_model import Cache, CostModel, ErrorBand, Overhead, StepSeconds
from midwatch_serving.deployment import Deployment
from midwatch_serving.limits import Limits
from midwatch_serving.model import Model, tiny
from midwatch_serving.options import parse_options
from midwatch_serving.server import build_service
from midwatch_serving.service import Service


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def model() -> Model:
    return tiny(0)


def _cost_model(**seconds: float) -> CostModel:
    # Powers of two, so that sums are exact.
    terms = {"fixed": 2**-8, "decode": 2**-11, "decode_context": 2**-18, "prefill_token": 2**-13} | seconds
    return CostModel(
        name="round",
        about="round numbers",
        source=("made up for tests",),
        uncertainty="none",
        max_model_len=2048,
        cache=Cache(num_blocks=256),
        seconds=StepSeconds.model_validate(terms),
        overhead=Overhead(step=2**-12),
        error=ErrorBand(ttft_p50=0.1, ttft_p95=0.2, tpot_p50=0.1, tpot_p95=0.2, basis="made up"),
    )


@pytest.fixture(scope="session")
def make_cost() -> Callable[..., CostModel]:
    """A cost model in round numbers, but for the terms that are given."""
    return _cost_model


@pytest.fixture(scope="session")
def cost() -> CostModel:
    return _cost_model()


@pytest.fixture(scope="session")
def deploy() -> Callable[..., Deployment]:
    """A deployment of few and small things, but for what is given."""

    def make(*, seqs: int = 4, tokens: int = 64, blocks: int = 256, **more: Any) -> Deployment:
        return Deployment(Limits(seqs, tokens), num_blocks=blocks, block_size=16, max_model_len=2048, **more)

    return make


Starter = Callable[..., AbstractAsyncContextManager[tuple[Service, httpx2.AsyncClient]]]


@pytest.fixture
def serving(model: Model) -> Starter:
    """A service in this process: `async with serving("--executor", "simulated") as (service, client)`."""

    @contextlib.asynccontextmanager
    async def start(*flags: str, clock: Clock | None = None) -> AsyncGenerator[tuple[Service, httpx2.AsyncClient]]:
        parser = argparse.ArgumentParser()
        configure(parser)
        service = build_service(parse_options(parser.parse_args(flags), {}), model, clock or WallClock())
        engine = asyncio.create_task(service.engine.run())
        transport = httpx2.ASGITransport(build_app(service))
        try:
            async with httpx2.AsyncClient(transport=transport, base_url="http://serving") as client:
                yield service, client
        finally:
            engine.cancel()
            await asyncio.wait({engine})

    return start
