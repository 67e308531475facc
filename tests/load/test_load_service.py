"""Loads in virtual time against scripted servers, and one over real HTTP."""

import asyncio
import itertools
import json
from typing import Any

import pytest

from midwatch_contracts.clock import WallClock
from midwatch_lab.load.chat import Stream, first_model
from midwatch_lab.load.errors import HttpError, SpecError
from midwatch_lab.load.service import LoadService
from midwatch_lab.load.statistics import Statistics
from scripted_service import CHAT, ScriptedService, event

pytestmark = pytest.mark.anyio


async def test_an_open_loop_keeps_its_rate_whatever_the_answers_take(world: ScriptedService) -> None:
    world.seconds = 3.0
    seen = await world.run(200, rate=5.0, shape="poisson")
    assert seen["sent"] == pytest.approx(1000, rel=0.1)
    assert seen["completed"] == pytest.approx(seen["sent"] - 15, abs=15)
    assert seen["completed"] + seen["in_flight"] == seen["sent"]
    assert seen["offered_rate"] == 5.0
    assert seen["sent_per_s"] == pytest.approx(5.0, rel=0.5)


async def test_a_constant_load_comes_at_even_times(world: ScriptedService) -> None:
    await world.run(10, rate=2.0, shape="constant")
    times = [at - world.asked[0][0] for at, _ in world.asked]
    assert times == pytest.approx([0.5 * n for n in range(len(times))], abs=1e-3)
    assert len(times) in (19, 20)


async def test_a_closed_loop_has_as_many_in_flight_as_it_has_clients(world: ScriptedService) -> None:
    seen = await world.run(20, shape="closed", concurrency=3)
    assert seen["in_flight"] == 3
    assert seen["completed"] == pytest.approx(60, abs=3)
    assert seen["offered_rate"] == pytest.approx(3.0, rel=0.1)
    assert seen["completed_per_s"] == pytest.approx(3.0, rel=0.15)


async def test_a_request_asks_for_a_stream_of_the_length_wanted(world: ScriptedService) -> None:
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
    world: ScriptedService, outcome: str, field: str, error: str | None
) -> None:
    world.outcome = outcome
    seen = await world.run(10, rate=4.0, shape="constant", timeout_s=2.5)
    assert seen[field] == seen["sent"] - seen["in_flight"] > 30
    assert seen["completed"] == 0
    assert seen["last_error"] == error


async def test_a_timeout_before_the_first_token_counts_as_a_ttft_of_at_least_the_timeout(
    world: ScriptedService,
) -> None:
    world.outcome = "timeout"
    seen = await world.run(10, rate=4.0, timeout_s=2.5)
    assert seen["ttft_p95_s"] == 2.5


async def test_a_model_that_is_gone_is_looked_up_again(world: ScriptedService) -> None:
    world.outcome = "404"
    await world.run(4, rate=1.0, shape="constant")
    assert len({body["model"] for _, body in world.asked}) >= 2


async def test_a_service_without_an_address_fails_its_requests_and_recovers(world: ScriptedService) -> None:
    world.url = None
    seen = await world.run(5, rate=2.0, shape="constant")
    assert seen["failed"] >= 8
    assert seen["last_error"] == "Service/llm/chat has no address"
    world.url = "http://chat:8000"
    await world.passes(5)
    assert world.service.stats()[0]["completed"] > 5


async def test_a_new_load_replaces_the_old_one_and_rate_zero_stops_it(world: ScriptedService) -> None:
    await world.run(5, rate=10.0, shape="constant")
    seen = await world.run(5, rate=1.0, shape="constant")
    assert seen["sent"] <= 6
    before = len(world.asked)
    seen = await world.run(5, rate=0)
    assert (len(world.asked), seen["sent"], seen["in_flight"]) == (before, 0, 0)
    assert len(world.service.stats()) == 1


async def test_a_bad_specification_leaves_the_running_load_alone(world: ScriptedService) -> None:
    await world.run(2, rate=2.0, shape="constant")
    with pytest.raises(SpecError):
        world.service.replace({"target": CHAT, "rate": -1})
    before = world.service.stats()[0]["sent"]
    await world.passes(5)
    assert world.service.stats()[0]["sent"] > before


async def test_closing_cancels_what_is_in_flight(world: ScriptedService) -> None:
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
    data = event(None) + event("a") + b": comment\n\n" + event("b") + b'data: {"choices": []}\n\ndata: [DONE]\n\n'
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
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n" + event(None) + event("a"))
            if slow:
                with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
                    await reader.readexactly(1)
                closed += 1
                if closed == 5:
                    enough.set()
            else:
                writer.write(event("b") + b"data: [DONE]\n\n")
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


async def test_a_slow_server_does_not_delay_the_schedule_and_what_is_too_much_is_counted(
    world: ScriptedService,
) -> None:
    world.seconds = 1e6
    seen = await world.run(20, rate=10.0, shape="constant", max_in_flight=25, timeout_s=60)
    assert (seen["sent"], seen["in_flight"]) == (25, 25)
    assert seen["traffic"]["dropped"] == pytest.approx(175, abs=1)
    assert seen["traffic"]["gap_s"]["mean"] == pytest.approx(0.1)
    assert seen["traffic"]["late_s"]["max"] < 0.001


async def test_a_load_ends_after_its_requests_and_says_what_it_sent(world: ScriptedService) -> None:
    seen = await world.run(400, preset="chat", rate=20.0, requests=1000, max_in_flight=1000)
    assert (seen["state"], seen["sent"], seen["completed"]) == ("done", 1000, 1000)
    sent = seen["traffic"]
    assert sent["gap_s"]["mean"] == pytest.approx(0.05, rel=0.15)
    lengths = [len(body["messages"][0]["content"]) for _, body in world.asked]
    assert sent["prompt_tokens"]["mean"] == pytest.approx(sum(lengths) / 1000)
    assert (sent["prompt_tokens"]["min"], sent["prompt_tokens"]["max"]) == (min(lengths), max(lengths))
    assert sent["prompt_tokens"]["p50"] == sorted(lengths)[499]
    answers = [body["max_tokens"] for _, body in world.asked]
    assert sent["output_tokens"]["mean"] == pytest.approx(sum(answers) / 1000)


async def test_a_batch_arrives_at_once(world: ScriptedService) -> None:
    await world.run(9, shape="batch", size=40, rate=10.0)
    times = [round(at - world.asked[0][0], 6) for at, _ in world.asked]
    assert times == [0.0] * 40 + [4.0] * 40 + [8.0] * 40


async def test_clients_that_think_ask_less_often(world: ScriptedService) -> None:
    seen = await world.run(40, shape="closed", concurrency=4, think_s=3.0)
    assert seen["completed"] == pytest.approx(40, abs=4)


async def test_a_closed_loop_ends_after_its_requests(world: ScriptedService) -> None:
    seen = await world.run(30, shape="closed", concurrency=3, requests=7)
    assert (seen["state"], seen["sent"], seen["completed"]) == ("done", 7, 7)


async def test_a_mixed_load_says_who_sent_how_much(world: ScriptedService) -> None:
    clients = [{"name": "large", "share": 3, "output_tokens": 5}, {"name": "small", "share": 1, "output_tokens": 6}]
    seen = await world.run(200, shape="clients", rate=10.0, clients=clients)
    assert seen["traffic"]["clients"]["large"] == pytest.approx(0.75, abs=0.05)
    assert sum(body["max_tokens"] == 5 for _, body in world.asked) == pytest.approx(1500, rel=0.1)


async def test_a_prompt_is_cut_to_the_context_and_counted(world: ScriptedService) -> None:
    seen = await world.run(
        10, rate=5.0, shape="constant", prompt_tokens=900, output_tokens=200, context=300, system={"tokens": 500}
    )
    for _, body in world.asked:
        prompt = sum(len(message["content"]) for message in body["messages"])
        assert prompt + body["max_tokens"] == 300
    assert seen["traffic"]["cut"] == seen["sent"] > 40


async def test_prompts_of_one_system_prompt_begin_alike_and_end_apart(world: ScriptedService) -> None:
    await world.run(10, rate=5.0, shape="constant", prompt_tokens=200, system={"tokens": 120, "count": 2})
    messages = [body["messages"] for _, body in world.asked]
    assert {message["role"] for message, _ in messages} == {"system"}
    assert {len(message["content"]) for message, _ in messages} == {120}
    assert len({message["content"] for message, _ in messages}) == 2
    assert len({user["content"] for _, user in messages}) == len(messages)
    assert {len(user["content"]) for _, user in messages} == {80}


async def test_a_conversation_sends_what_was_said_and_pauses_between(world: ScriptedService) -> None:
    await world.run(
        60,
        shape="sessions",
        rate=1.0,
        requests=1,
        turns=2,
        calls=2,
        prompt_tokens=30,
        tool_tokens=20,
        system={"tokens": 50},
        think_s=10.0,
        tool_s=2.0,
    )
    times = [at - world.asked[0][0] for at, _ in world.asked]
    assert times == pytest.approx([0.0, 3.0, 14.0, 17.0])
    bodies = [body["messages"] for _, body in world.asked]
    assert [len(messages) for messages in bodies] == [2, 4, 6, 8]
    assert all(later[: len(before)] == before for before, later in itertools.pairwise(bodies))
    roles = [(message["role"], len(message["content"])) for message in bodies[-1]]
    assert roles[:5] == [("system", 50), ("user", 30), ("assistant", 2), ("user", 20), ("assistant", 2)]
    seen = world.service.stats()[0]
    assert (seen["traffic"]["sessions"], seen["traffic"]["turns"], seen["state"]) == (1, 2, "done")


async def test_conversations_end_at_a_failure_and_at_the_context(world: ScriptedService) -> None:
    spec: dict[str, Any] = {"shape": "sessions", "rate": 2.0, "turns": 50, "think_s": 0.1, "tool_s": 0.1}
    seen = await world.run(30, **spec, prompt_tokens=40, output_tokens=10, context=200)
    # A call adds 50 tokens: the fourth of a conversation would still fit into 200, the fifth would not.
    assert seen["traffic"]["cut"] > 10
    assert seen["traffic"]["prompt_tokens"]["max"] == 190
    world.outcome = "refused"
    seen = await world.run(30, **spec)
    assert seen["traffic"]["broken"] == seen["failed"] > 10
    assert seen["sent"] == seen["traffic"]["sessions"] == seen["failed"] + seen["in_flight"]


async def test_clients_do_not_share_their_system_prompts(world: ScriptedService) -> None:
    clients = [{"name": name, "share": 1, "prompt_tokens": 90, "system": {"tokens": 60}} for name in ("a", "b")]
    await world.run(20, shape="clients", rate=5.0, clients=clients)
    assert len({body["messages"][0]["content"] for _, body in world.asked}) == 2


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (
            b'{"error": {"message": "the prompt has 9000\\u001b[2J tokens,\\n2048 fit"}}',
            "the prompt has 9000 tokens, 2048 fit",
        ),
        (b'{"error": "no"}', ""),
        (b'{"detail": []}', ""),
        (b"<html>", ""),
        (b"", ""),
    ],
)
def test_what_a_server_says_of_a_request_that_it_refuses_is_one_harmless_line(body: bytes, told: str) -> None:
    stream = Stream()
    stream.feed(body)
    assert stream.refusal == told
