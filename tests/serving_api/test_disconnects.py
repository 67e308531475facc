"""Fifty clients that come, ask all kinds of things and go away at any moment leave nothing behind."""

import asyncio
import json
import logging
import random
import time
from pathlib import Path
from typing import Any

import pytest
from starlette.types import Message, Scope

from midwatch_serving.api import build_app
from midwatch_serving.service import Service

pytestmark = pytest.mark.anyio

CLIENTS = 50
DEADLINE_S = 20
STATM = Path("/proc/self/statm")
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}
FORMAT = {"type": "json_schema", "name": "s", "schema": SCHEMA}
HELLO = [{"role": "user", "content": "hello"}]
ASKS: list[tuple[str, dict[str, Any]]] = [
    ("/v1/chat/completions", {"messages": HELLO, "stream": True}),
    ("/v1/chat/completions", {"messages": HELLO, "n": 3, "stream": True, "logprobs": True, "top_logprobs": 5}),
    ("/v1/chat/completions", {"messages": HELLO, "response_format": {"type": "json_object"}}),
    ("/v1/completions", {"prompt": ["one", "two", "x" * 200], "stream": True, "echo": True, "logprobs": 1}),
    ("/v1/completions", {"prompt": "x" * 5000}),
    ("/v1/responses", {"input": "hello", "stream": True, "text": {"format": FORMAT}}),
    ("/v1/responses", {"input": "hello", "store": False}),
    ("/admin/score", {"prefix": "The watch " * 9, "texts": ["a", "bc", "def"] * 9}),
]


def request(draw: random.Random) -> bytes:
    path, body = draw.choice(ASKS)
    limit = "max_output_tokens" if path == "/v1/responses" else "max_tokens"
    length = {} if path == "/admin/score" else {limit: draw.randrange(1, 120), "temperature": 1.0}
    content = json.dumps({"model": "tiny", **body, **length}).encode()
    head = f"POST {path} HTTP/1.1\r\nhost: here\r\nconnection: close\r\ncontent-length: {len(content)}\r\n\r\n"
    return head.encode() + content


async def client(port: int, seed: int, until: float) -> int:
    """Ask again and again; go away after a random part of the answer, or of the request. Return the answers read."""
    draw = random.Random(seed)  # noqa: S311 (a load that can be repeated)
    answers = 0
    while time.monotonic() < until:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        asked = request(draw)
        try:
            manner = draw.random()
            if manner < 0.1:
                writer.write(asked[: draw.randrange(len(asked))])
            else:
                writer.write(asked)
                if manner < 0.5:
                    await reader.read(-1)
                    answers += 1
                elif manner < 0.9:
                    await reader.read(draw.randrange(1, 3000))
            await asyncio.sleep(0)
        finally:
            writer.close()
    return answers


def resident() -> int:
    """Bytes of memory that this process holds; 0 where the system does not tell."""
    return int(STATM.read_text().split()[1]) * 4096 if STATM.exists() else 0


async def storm(here: Any, seconds: float, seed: int) -> int:
    port = int(here.url.rpartition(":")[2])
    until = time.monotonic() + seconds
    answers = await asyncio.gather(*(client(port, seed * 1000 + number, until) for number in range(CLIENTS)))
    return sum(answers)


async def settled(service: Service, tasks: int) -> None:
    """Wait until nothing is left; fail with what is."""
    end = time.monotonic() + DEADLINE_S
    while service.engine.scheduler.has_work or len(asyncio.all_tasks()) > tasks:
        assert time.monotonic() < end, (service.engine.scheduler.sequences(), asyncio.all_tasks())
        await asyncio.sleep(0.01)
    engine = service.engine
    engine.scheduler.check_integrity()
    assert engine.idle.is_set()
    assert not engine._streams  # pyright: ignore[reportPrivateUsage] (what is left behind)
    assert engine.scheduler.blocks.num_free == engine.scheduler.blocks.num_blocks


async def test_clients_that_disconnect_at_random_leave_nothing_behind(
    listening: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async with listening("--max-num-seqs", "16", "--enable-prefix-caching") as here:
        tasks = len(asyncio.all_tasks())
        assert await storm(here, 1, seed=1) > 10
        await settled(here.service, tasks)
        answer = await here.client.chat.completions.create(model="tiny", messages=HELLO, max_tokens=3)
        assert answer.usage.completion_tokens == 3
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []


async def test_a_client_that_stops_reading_is_dropped_and_leaves_when_its_connection_does(serving: Any) -> None:
    async with serving("--max-model-len", "4096", script="x" * 4000) as (service, client):
        body = json.dumps({"model": "tiny", "messages": HELLO, "max_tokens": 3000, "stream": True}).encode()
        incoming = [{"type": "http.request", "body": body, "more_body": False}]
        gone = asyncio.Event()
        sent: list[Message] = []

        async def receive() -> Message:
            if incoming:
                return incoming.pop()
            await gone.wait()
            return {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            sent.append(message)
            if len(sent) > 3:
                await gone.wait()

        scope: Scope = {"type": "http", "method": "POST", "path": ASKS[0][0], "query_string": b"", "headers": []}
        stuck = asyncio.ensure_future(build_app(service)(scope, receive, send))
        answer = await client.post(ASKS[0][0], json={"model": "tiny", "messages": HELLO, "max_tokens": 900})
        assert answer.json()["usage"]["completion_tokens"] == 900
        assert not service.engine.scheduler.has_work
        assert not stuck.done()
        metrics = (await client.get("/metrics")).text
        assert 'finished_reason="abort",model_name="tiny"} 1.0' in metrics
        gone.set()
        await asyncio.wait_for(stuck, DEADLINE_S)
    assert b'"finish_reason":"abort"' in sent[-2]["body"] + sent[-3]["body"]


@pytest.mark.slow
async def test_two_minutes_of_that_leave_nothing_behind_and_memory_stays_flat(listening: Any) -> None:
    async with listening("--max-num-seqs", "16", "--enable-prefix-caching") as here:
        tasks = len(asyncio.all_tasks())
        await storm(here, 30, seed=2)
        await settled(here.service, tasks)
        before = resident()
        assert await storm(here, 90, seed=3) > 500
        await settled(here.service, tasks)
        assert resident() - before < 24 << 20
