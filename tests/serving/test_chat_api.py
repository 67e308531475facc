"""The chat endpoint in this process: answers, refusals, and clients that go away."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from starlette.types import Message, Scope

from midwatch_serving.api import build_app
from midwatch_serving.service import Service

pytestmark = pytest.mark.anyio

DEADLINE_S = 20
HELLO = {"model": "tiny", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 5, "temperature": 0}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not condition():  # noqa: ASYNC110 (what is waited for sets no event)
            await asyncio.sleep(0.005)


async def test_an_answer_has_the_asked_length_and_counts_its_tokens(serving: Any) -> None:
    async with serving() as (_, client):
        answer = (await client.post("/v1/chat/completions", json=HELLO)).json()
    assert answer["object"] == "chat.completion"
    assert answer["choices"][0]["finish_reason"] == "length"
    assert len(answer["choices"][0]["message"]["content"]) == 5
    details = {"prompt_tokens_details": {"cached_tokens": 0}}
    assert answer["usage"] == {"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14} | details


async def test_a_streamed_answer_is_the_same_text_in_pieces(serving: Any) -> None:
    async with serving() as (_, client):
        whole = (await client.post("/v1/chat/completions", json=HELLO)).json()
        body = HELLO | {"stream": True, "stream_options": {"include_usage": True}}
        streamed = await client.post("/v1/chat/completions", json=body)
    assert streamed.headers["content-type"].startswith("text/event-stream")
    lines = [line.removeprefix("data: ") for line in streamed.text.split("\n\n") if line]
    assert lines[-1] == "[DONE]"
    events = [json.loads(line) for line in lines[:-1]]
    deltas = [event["choices"][0]["delta"] for event in events[:-1]]
    assert deltas[0] == {"role": "assistant", "content": ""}
    assert "".join(delta.get("content", "") for delta in deltas) == whole["choices"][0]["message"]["content"]
    assert [e["choices"][0]["finish_reason"] for e in events[:-1]] == [None] * 6 + ["length"]
    assert (events[-1]["choices"], events[-1]["usage"]) == ([], whole["usage"])


async def test_a_seed_repeats_an_answer_and_stop_strings_end_it(serving: Any) -> None:
    async with serving() as (_, client):
        body = HELLO | {"temperature": 1, "seed": 7, "max_tokens": 20}
        texts = [
            (await client.post("/v1/chat/completions", json=body)).json()["choices"][0]["message"]["content"]
            for _ in range(2)
        ]
        assert texts[0] == texts[1]
        stop = texts[0][3:5]
        ended = (await client.post("/v1/chat/completions", json=body | {"stop": [stop]})).json()["choices"][0]
    assert ended["finish_reason"] == "stop"
    assert ended["message"]["content"] == texts[0][: texts[0].find(stop)]


@pytest.mark.parametrize(
    ("change", "param", "status"),
    [
        ({"messages": []}, "messages", 400),
        ({"messages": [{"role": "wizard", "content": "x"}]}, "messages.0.role", 400),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": "x"}]}]}, None, 400),
        ({"max_tokens": 0}, "max_tokens", 400),
        ({"max_tokens": "many"}, "max_tokens", 400),
        ({"max_tokens": 3000}, "messages", 400),
        ({"messages": [{"role": "user", "content": "x" * 3000}]}, "messages", 400),
        ({"temperature": -1}, "temperature", 400),
        ({"top_p": 0}, "top_p", 400),
        ({"n": 99}, "n", 400),
        ({"functions": []}, "functions", 400),
        ({"top_logprobs": 3}, "top_logprobs", 400),
        ({"min_tokens": 6}, "min_tokens", 400),
        ({"stream_options": {"include_usage": True}}, "stream_options", 400),
        ({"model": "gpt-9"}, "model", 404),
        ({"user": "x" * (1 << 20)}, None, 413),
    ],
)
async def test_bad_requests_are_refused_with_the_field_and_leave_nothing(
    serving: Any, change: dict[str, Any], param: str | None, status: int
) -> None:
    async with serving() as (service, client):
        answer = await client.post("/v1/chat/completions", json=HELLO | change)
        error = answer.json()["error"]
        assert answer.status_code == status
        assert set(error) == {"message", "type", "param", "code"}
        assert error["message"]
        if param is not None:
            assert error["param"] == param
        assert not service.engine.scheduler.has_work
        assert (await client.post("/v1/chat/completions", json=HELLO)).status_code == 200


async def test_a_body_that_is_no_json_and_unknown_paths_answer_in_the_same_shape(serving: Any) -> None:
    async with serving() as (_, client):
        broken = await client.post("/v1/chat/completions", content=b"{")
        nowhere = await client.get("/v2/nothing")
        wrong_method = await client.get("/v1/chat/completions")
    assert [r.status_code for r in (broken, nowhere, wrong_method)] == [400, 404, 405]
    assert all(r.json()["error"]["message"] for r in (broken, nowhere, wrong_method))


async def test_options_at_their_defaults_are_taken(serving: Any) -> None:
    async with serving() as (_, client):
        body = HELLO | {"n": 1, "frequency_penalty": 0.0, "presence_penalty": 0, "logprobs": False, "stop": None}
        assert (await client.post("/v1/chat/completions", json=body)).status_code == 200


async def test_without_max_tokens_the_answer_may_fill_the_room_there_is(serving: Any) -> None:
    async with serving("--num-gpu-blocks-override", "3") as (_, client):
        body = {name: value for name, value in HELLO.items() if name != "max_tokens"}
        answer = (await client.post("/v1/chat/completions", json=body)).json()
    assert answer["usage"]["total_tokens"] == 3 * 16 + 1


async def test_while_draining_health_and_new_requests_answer_503(serving: Any) -> None:
    async with serving() as (service, client):
        assert (await client.get("/health")).status_code == 200
        service.draining = True
        assert (await client.get("/health")).status_code == 503
        refused = await client.post("/v1/chat/completions", json=HELLO)
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "draining")
    assert refused.headers["retry-after"] == "1"


async def test_the_model_says_what_it_is(serving: Any) -> None:
    async with serving("--served-model-name", "chat", "--seed", "3") as (_, client):
        (card,) = (await client.get("/v1/models")).json()["data"]
        assert (await client.get("/version")).json().keys() == {"version"}
    assert (card["id"], card["root"], card["max_model_len"]) == ("chat", "tiny", 2048)
    assert card["description"] == "tiny (random weights from seed 0; its text means nothing)"  # the fixture's model


class Client:
    """A client that sends one request, keeps what it gets, and goes away when told."""

    def __init__(self, service: Service, body: dict[str, Any]) -> None:
        self.received: list[Message] = []
        self.gone = asyncio.Event()
        self._request: Message | None = {"type": "http.request", "body": json.dumps(body).encode(), "more_body": False}
        scope: Scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "POST",
            "path": "/v1/chat/completions",
            "query_string": b"",
            "headers": [],
        }
        self.call = asyncio.ensure_future(build_app(service)(scope, self._receive, self._send))

    async def _receive(self) -> Message:
        if self._request is not None:
            message, self._request = self._request, None
            return message
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        self.received.append(message)


@pytest.mark.parametrize("stream", [True, False])
async def test_a_client_that_goes_away_frees_its_blocks_running_or_waiting(serving: Any, stream: bool) -> None:  # noqa: FBT001 (a test parameter)
    async with serving("--max-num-seqs", "1", "--num-gpu-blocks-override", "64") as (service, client):
        scheduler = service.engine.scheduler
        body = HELLO | {"max_tokens": 900, "stream": stream}
        runs, waits, stays = (Client(service, body) for _ in range(3))
        await until(lambda: len(scheduler.running) == 1 and len(scheduler.waiting) == 2)
        waits.gone.set()
        await until(lambda: len(scheduler.waiting) == 1)
        runs.gone.set()
        await until(lambda: not scheduler.waiting)
        assert scheduler.blocks.num_free < 64
        stays.gone.set()
        await until(lambda: not scheduler.has_work)
        await asyncio.wait_for(asyncio.gather(runs.call, waits.call, stays.call), DEADLINE_S)
        assert scheduler.blocks.num_free == 64
        scheduler.check_integrity()
        metrics = (await client.get("/metrics")).text
    assert 'vllm:request_success_total{engine="0",finished_reason="abort",model_name="tiny"} 3.0' in metrics


async def test_what_runs_and_waits_can_be_looked_at(serving: Any) -> None:
    async with serving("--max-num-seqs", "1") as (service, client):
        clients = [Client(service, HELLO | {"max_tokens": 900}) for _ in range(2)]
        await until(lambda: len(service.engine.scheduler.waiting) == 1)
        seen = (await client.get("/admin/requests")).json()
        blocks = (await client.get("/admin/blocks")).json()
        assert (seen["running"], seen["waiting"]) == (1, 1)
        first, second = seen["requests"]
        assert (first["state"], second["state"]) == ("running", "waiting")
        assert (second["prompt_tokens"], second["output_tokens"], second["blocks"]) == (9, 0, 0)
        assert first["age_s"] >= second["age_s"] >= 0
        assert list(blocks["tables"]) == [first["id"]]
        assert (blocks["total"], blocks["block_size"]) == (256, 16)
        assert blocks["used"] == len(blocks["tables"][first["id"]]) == 256 - blocks["free"]
        for c in clients:
            c.gone.set()
        await asyncio.wait_for(asyncio.gather(*(c.call for c in clients)), DEADLINE_S)
