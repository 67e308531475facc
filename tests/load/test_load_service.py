"""Loads in virtual time against scripted servers, and one over real HTTP."""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from midwatch_contracts.clock import VirtualClock, WallClock
from midwatch_contracts.entity import Entity
from midwatch_lab.load.chat import Stream, first_model
from midwatch_lab.load.errors import HttpError, SpecError
from midwatch_lab.load.service import LoadService
from midwatch_lab.load.statistics import Statistics

pytestmark = pytest.mark.anyio
CHAT = "Service/llm/chat"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def _event(text: str | None) -> bytes:
    delta = {"role": "assistant"} if text is None else {"content": text}
    return b"data: " + json.dumps({"choices": [{"index": 0, "delta": delta}]}).encode() + b"\n\n"


class World:
    """A service whose server answers after `seconds` of virtual time, or as `outcome` says."""

    def __init__(self, seconds: float = 1.0) -> None:
        self.clock = VirtualClock()
        self.seconds = seconds
        self.outcome = "ok"
        self.url: str | None = "http://chat:8000"
        self.asked: list[tuple[float, dict[str, Any]]] = []
        self.models = itertools.count(1)
        self.service = LoadService(self.clock, self.resolve, ask=self.ask, model=self.model)

    def resolve(self, entity: Entity) -> str | None:
        assert str(entity) == CHAT
        return self.url

    async def model(self, url: str, _timeout_s: float) -> str:
        return f"{url}#{next(self.models)}"

    async def ask(self, url: str, body: bytes, stream: Stream) -> int:
        assert url == self.url
        self.asked.append((self.clock.now(), json.loads(body)))
        await self.clock.sleep(self.seconds)
        if self.outcome == "timeout":
            raise TimeoutError
        if self.outcome == "refused":
            raise ConnectionRefusedError("refused")
        if self.outcome == "404":
            return 404
        stream.feed(_event(None) + _event("a") + _event("b") + (b"" if self.outcome == "cut" else b"data: [DONE]\n\n"))
        return 200

    async def run(self, seconds: float, **spec: Any) -> dict[str, Any]:
        self.service.replace({"target": CHAT, **spec})
        await self.passes(seconds)
        return self.service.stats()[0]

    async def passes(self, seconds: float) -> None:
        for _ in range(20):
            await asyncio.sleep(0)  # tasks that were just made reach their first sleep
        for _ in range(round(seconds * 20)):
            await self.clock.advance(0.05)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    found = World()
    yield found
    await found.service.close()


async def test_an_open_loop_keeps_its_rate_whatever_the_answers_take(world: World) -> None:
    world.seconds = 3.0
    seen = await world.run(200, rate=5.0, shape="poisson")
    assert seen["sent"] == pytest.approx(1000, rel=0.1)
    assert seen["completed"] == pytest.approx(seen["sent"] - 15, abs=15)
    assert seen["completed"] + seen["in_flight"] == seen["sent"]
    assert seen["offered_rate"] == 5.0
    assert seen["sent_per_s"] == pytest.approx(5.0, rel=0.5)


async def test_a_constant_load_comes_at_even_times(world: World) -> None:
    await world.run(10, rate=2.0, shape="constant")
    times = [at - world.asked[0][0] for at, _ in world.asked]
    assert times == pytest.approx([0.5 * n for n in range(len(times))], abs=1e-3)
    assert len(times) in (19, 20)


async def test_a_closed_loop_has_as_many_in_flight_as_it_has_clients(world: World) -> None:
    seen = await world.run(20, shape="closed", concurrency=3)
    assert seen["in_flight"] == 3
    assert seen["completed"] == pytest.approx(60, abs=3)
    assert seen["offered_rate"] == pytest.approx(3.0, rel=0.1)
    assert seen["completed_per_s"] == pytest.approx(3.0, rel=0.15)


async def test_a_request_asks_for_a_stream_of_the_length_wanted(world: World) -> None:
    await world.run(3, rate=2.0, shape="constant", prompt_tokens=40, output_tokens=7)
    asked = [body for _, body in world.asked]
    assert {body["max_tokens"] for body in asked} == {7}
    assert all(body["stream"] and body["ignore_eos"] for body in asked)
    contents = [body["messages"][0]["content"] for body in asked]
    assert {len(content) for content in contents} == {40}
    assert len(set(contents)) == len(contents)
    assert {body["model"] for body in asked} == {"http://chat:8000#1"}


@pytest.mark.parametrize(
    ("outcome", "field", "error"),
    [
        ("timeout", "timed_out", None),
        ("refused", "failed", "refused"),
        ("404", "failed", "HTTP status 404"),
        ("cut", "failed", "the stream ended without an answer"),
    ],
)
async def test_requests_that_end_badly_are_counted_apart(
    world: World, outcome: str, field: str, error: str | None
) -> None:
    world.outcome = outcome
    seen = await world.run(10, rate=4.0, shape="constant", timeout_s=2.5)
    assert seen[field] == seen["sent"] - seen["in_flight"] > 30
    assert seen["completed"] == 0
    assert seen["last_error"] == error


async def test_a_timeout_before_the_first_token_counts_as_a_ttft_of_at_least_the_timeout(world: World) -> None:
    world.outcome = "timeout"
    seen = await world.run(10, rate=4.0, timeout_s=2.5)
    assert seen["ttft_p95_s"] == 2.5


async def test_a_model_that_is_gone_is_looked_up_again(world: World) -> None:
    world.outcome = "404"
    await world.run(4, rate=1.0, shape="constant")
    assert len({body["model"] for _, body in world.asked}) >= 2


async def test_a_service_without_an_address_fails_its_requests_and_recovers(world: World) -> None:
    world.url = None
    seen = await world.run(5, rate=2.0, shape="constant")
    assert seen["failed"] >= 8
    assert seen["last_error"] == "Service/llm/chat has no address"
    world.url = "http://chat:8000"
    await world.passes(5)
    assert world.service.stats()[0]["completed"] > 5


async def test_a_new_load_replaces_the_old_one_and_rate_zero_stops_it(world: World) -> None:
    await world.run(5, rate=10.0, shape="constant")
    seen = await world.run(5, rate=1.0, shape="constant")
    assert seen["sent"] <= 6
    before = len(world.asked)
    seen = await world.run(5, rate=0)
    assert (len(world.asked), seen["sent"], seen["in_flight"]) == (before, 0, 0)
    assert len(world.service.stats()) == 1


async def test_a_bad_specification_leaves_the_running_load_alone(world: World) -> None:
    await world.run(2, rate=2.0, shape="constant")
    with pytest.raises(SpecError):
        world.service.replace({"target": CHAT, "rate": -1})
    before = world.service.stats()[0]["sent"]
    await world.passes(5)
    assert world.service.stats()[0]["sent"] > before


async def test_closing_cancels_what_is_in_flight(world: World) -> None:
    world.seconds = 1000
    await world.run(5, rate=4.0)
    assert world.service.stats()[0]["in_flight"] > 5
    await world.service.close()
    assert world.service.stats() == []
    assert not [task for task in asyncio.all_tasks() if "load of" in task.get_name()]


def test_figures_are_over_the_last_seconds_only() -> None:
    seen = Statistics()
    for second in range(100):
        seen.send(second)
        seen.first_token(second, 1.0 if second < 90 else 3.0)
        seen.complete(second)
    assert seen.completed_per_s(99.5) == 1.0
    assert seen.ttft_p95_s(99.5) == 3.0
    assert seen.ttft_p95_s(89.5) is not None
    assert seen.ttft_p95_s(500) is None
    assert seen.completed_per_s(500) == 0


@pytest.mark.parametrize(("count", "wanted"), [(1, 1), (19, 19), (20, 19), (100, 95)])
def test_the_percentile_is_that_of_the_nearest_rank(count: int, wanted: int) -> None:
    seen = Statistics()
    for number in range(count, 0, -1):
        seen.first_token(0.0, float(number))
    assert seen.ttft_p95_s(0.0) == wanted


def test_a_stream_counts_tokens_whatever_the_pieces_and_the_role_is_none() -> None:
    data = _event(None) + _event("a") + b": comment\n\n" + _event("b") + b'data: {"choices": []}\n\ndata: [DONE]\n\n'
    for size in (1, 7, 1000):
        stream = Stream()
        for start in range(0, len(data), size):
            stream.feed(data[start : start + size])
        assert (stream.tokens, stream.complete) == (2, True)
        assert stream.ttft_s is not None


@pytest.mark.parametrize("payload", [b"{}", b"no", b"[]", b'{"choices": [{"delta": 3}]}', b'{"error": {}}'])
def test_a_stream_of_something_else_is_an_error(payload: bytes) -> None:
    with pytest.raises(HttpError, match="no chat completion"):
        Stream().feed(b"data: " + payload + b"\n")


async def test_over_real_http_tokens_are_timed_and_a_timeout_closes_the_connection() -> None:
    closed = 0
    enough = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal closed
        head = await reader.readuntil(b"\r\n\r\n")
        if head.startswith(b"GET /v1/models"):
            page = json.dumps({"data": [{"id": "tiny"}]}).encode()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(page), page))
        else:
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            body = json.loads(await reader.readexactly(length))
            assert body["model"] == "tiny"
            slow = int(body["messages"][0]["content"].split(":")[0]) % 2 == 0
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n" + _event(None) + _event("a"))
            if slow:
                with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
                    await reader.readexactly(1)
                closed += 1
                if closed == 5:
                    enough.set()
            else:
                writer.write(_event("b") + b"data: [DONE]\n\n")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    service = LoadService(WallClock(), lambda _: url)
    async with server:
        assert await first_model(url, 5) == "tiny"
        service.replace({"target": CHAT, "rate": 200.0, "shape": "constant", "timeout_s": 0.2})
        async with asyncio.timeout(20):
            await enough.wait()
        seen = service.stats()[0]
        await service.close()
    assert seen["completed"] > 0
    assert seen["failed"] == 0, seen["last_error"]
    assert 0 < seen["ttft_p95_s"] <= 0.2
