"""The lab's load on simulated servers in this process: exact arrivals, minutes of traffic in moments."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from midwatch_contracts.clock import VirtualClock
from midwatch_lab.load.chat import Stream
from midwatch_lab.load.in_process import InProcess
from midwatch_lab.load.running import Load
from midwatch_lab.load.service import LoadService
from midwatch_serving.api import build_app
from midwatch_serving.service import Service

Starter = Callable[..., AbstractAsyncContextManager[tuple[Service, httpx2.AsyncClient]]]
FLAGS = ("--executor", "simulated", "--cost-model", "h100-llama-3.1-8b", "--max-num-seqs", "64")
LARGE = (*FLAGS, "--num-gpu-blocks-override", "8192", "--max-model-len", "8192")
TARGET = "Service/llm/chat"

pytestmark = pytest.mark.anyio


@contextlib.asynccontextmanager
async def _load(
    serving: Starter, asked: list[float] | None = None, **spec: Any
) -> AsyncGenerator[tuple[Load, Service, VirtualClock]]:
    clock = VirtualClock(auto=True)
    async with serving(*LARGE, clock=clock) as (service, _):
        target = InProcess({"http://simulated": build_app(service)})

        async def ask(url: str, body: bytes, stream: Stream) -> int:
            if asked is not None:
                asked.append(clock.now())
            return await target.ask(url, body, stream)

        loads = LoadService(clock, lambda _: "http://simulated", ask=ask, model=target.model, stopwatch=clock.now)
        load = loads.replace({"target": TARGET, "timeout_s": 600.0, **spec})
        await load.wait()
        yield load, service, clock
        await loads.close()


async def test_minutes_of_chat_are_served_in_moments_with_predicted_latencies(serving: Starter) -> None:
    began = time.monotonic()
    async with _load(serving, preset="chat", rate=4.0, requests=200, token_scale=0.25) as (load, _, clock):
        seen = load.describe()
        assert (seen["state"], seen["sent"], seen["completed"]) == ("done", 200, 200)
        assert clock.now() - 1_700_000_000 > 40
        assert 0.001 < seen["ttft_p95_s"] < 0.5
        assert seen["traffic"]["late_s"]["max"] < 0.001
    assert time.monotonic() - began < 30


async def test_a_replay_on_a_simulated_server_keeps_its_arrival_times(serving: Starter, tmp_path: Path) -> None:
    times = [round(0.37 * n + 0.05 * (n % 5), 3) for n in range(200)]
    rows = "".join(f"{at},ChatGPT,{50 + n},8,9,API log\n" for n, at in enumerate(times))
    path = tmp_path / "b.csv"
    path.write_text(f"Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n{rows}", "utf-8")
    asked: list[float] = []
    async with _load(serving, asked, shape="trace", path=str(path)) as (load, _, _clock):
        assert load.describe()["completed"] == 200
    assert max(abs(at - asked[0] - due) for at, due in zip(asked, times, strict=True)) < 0.005


async def test_conversations_find_what_they_said_in_the_prefix_cache(serving: Starter) -> None:
    spec: dict[str, Any] = {
        "shape": "sessions",
        "turns": 4,
        "calls": 2,
        "prompt_tokens": 120,
        "tool_tokens": 80,
        "output_tokens": 40,
    }
    async with _load(serving, **spec, rate=2.0, requests=20, system={"tokens": 400}) as (load, service, _):
        seen = load.describe()
        assert (seen["completed"], seen["traffic"]["sessions"], seen["traffic"]["broken"]) == (160, 20, 0)
        prefix = service.engine.scheduler.blocks.prefix
        # All but what is new and the rest of a block of 16, of prompts that grow from 520 to 1,480 tokens.
        assert prefix.hits / prefix.queries > 0.8


async def test_a_server_that_is_not_there_and_an_app_that_ends_early_fail_their_requests() -> None:
    async def cut(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})

    clock = VirtualClock(auto=True)
    target = InProcess({"http://cut": cut})
    for url, message in (("http://none", "known: http://cut"), ("http://cut", "ended before its answer was complete")):
        loads = LoadService(clock, lambda _, url=url: url, ask=target.ask, model=target.model, stopwatch=clock.now)
        load = loads.replace({"target": TARGET, "rate": 5, "requests": 2, "model": "tiny"})
        await load.wait()
        assert load.describe()["failed"] == 2
        assert message in load.describe()["last_error"]
        await loads.close()


async def test_a_request_that_is_given_up_ends_in_the_app() -> None:
    ended = asyncio.Event()

    async def hanging(_scope: Any, receive: Any, _send: Any) -> None:
        assert json.loads((await receive())["body"])["stream"]
        try:
            await receive()
        finally:
            ended.set()

    target = InProcess({"http://app": hanging})
    clock = VirtualClock()
    loads = LoadService(clock, lambda _: "http://app", ask=target.ask, model=target.model, stopwatch=clock.now)
    loads.replace({"target": TARGET, "shape": "closed", "concurrency": 1, "model": "tiny"})
    await asyncio.sleep(0.01)
    await loads.close()
    assert ended.is_set()
