"""`--executor simulated`: the same server, steps that last as predicted on the clock, a text that no batch changes."""

import asyncio
import json
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import httpx2
import pytest

from midwatch_contracts.clock import VirtualClock
from midwatch_contracts.command import CommandError
from midwatch_serving.byte_tokenizer import ByteTokenizer
from midwatch_serving.cost_model import CostModel, load
from midwatch_serving.sampling import SamplingParams
from midwatch_serving.service import Service
from midwatch_serving.simulated import TEXT, SimulatedExecutor
from midwatch_serving.step_shape import count
from midwatch_serving.work import Work

Starter = Callable[..., AbstractAsyncContextManager[tuple[Service, httpx2.AsyncClient]]]


pytestmark = pytest.mark.anyio

SIMULATED = ("--executor", "simulated", "--cost-model", "h100-llama-3.1-8b")


def _chat(content: str = "hello", **more: Any) -> dict[str, Any]:
    return {"model": "tiny", "messages": [{"role": "user", "content": content}], "temperature": 0, **more}


async def test_an_answer_takes_exactly_what_its_steps_are_predicted_to_take(serving: Starter) -> None:
    clock, cost = VirtualClock(auto=True), load("h100-llama-3.1-8b")
    async with serving(*SIMULATED, clock=clock) as (service, _):
        began = clock.now()
        stream = service.engine.submit("a", tuple(range(100, 140)), SamplingParams(max_tokens=3, ignore_eos=True))
        ends = [clock.now() async for piece in stream if piece.token_ids]
    steps = [cost.step_s(count([chunk])) for chunk in ((0, 40, True), (40, 1, True), (41, 1, True))]
    expected = [sum(steps[: n + 1]) for n in range(3)]
    assert [stream.sequence.first_token, stream.sequence.finished] == pytest.approx(
        [began + expected[0], began + expected[2]]
    )
    assert ends == pytest.approx([began + e for e in expected])


async def test_requests_in_one_batch_share_its_steps(serving: Starter) -> None:
    clock = VirtualClock(auto=True)
    params = SamplingParams(max_tokens=50, ignore_eos=True)
    async with serving(*SIMULATED, "--max-num-seqs", "2", clock=clock) as (service, _):
        streams = [service.engine.submit(name, (1, 2, 3), params) for name in "abc"]
        for stream in streams:
            async for _piece in stream:
                pass
    a, b, c = (stream.sequence for stream in streams)
    assert a.finished == b.finished
    assert c.first_token is not None
    assert a.finished is not None
    assert c.first_token > a.finished


async def test_the_chat_api_says_the_text_under_its_own_usage(serving: Starter) -> None:
    async with serving(*SIMULATED, clock=VirtualClock(auto=True)) as (_, client):
        answer = (await client.post("/v1/chat/completions", json=_chat(max_tokens=len(TEXT) + 5))).json()
        models = (await client.get("/v1/models")).json()
    assert answer["choices"][0]["message"]["content"] == TEXT + TEXT[:5]
    assert answer["usage"]["completion_tokens"] == len(TEXT) + 5
    assert "simulated" in models["data"][0]["description"]


async def test_a_sampled_answer_follows_from_its_seed_alone(serving: Starter) -> None:
    body: dict[str, Any] = {"max_tokens": 20, "temperature": 1, "seed": 11}
    async with serving(*SIMULATED, clock=VirtualClock(auto=True)) as (_, client):
        alone = (await client.post("/v1/chat/completions", json=_chat(**body))).json()
        together = await asyncio.gather(
            *(client.post("/v1/chat/completions", json=_chat("x" * n, **body)) for n in (3, 50, 9))
        )
    texts = {r.json()["choices"][0]["message"]["content"] for r in together}
    assert texts == {alone["choices"][0]["message"]["content"]} == {TEXT[11:31]}


async def test_a_grammar_is_kept(serving: Starter) -> None:
    shape = {
        "type": "object",
        "properties": {"ok": {"type": "boolean"}},
        "required": ["ok"],
        "additionalProperties": False,
    }
    wanted = {"type": "json_schema", "json_schema": {"name": "verdict", "schema": shape}}
    async with serving(*SIMULATED, clock=VirtualClock(auto=True)) as (_, client):
        answer = await client.post("/v1/chat/completions", json=_chat(max_tokens=200, response_format=wanted))
    assert answer.status_code == 200, answer.text
    assert set(json.loads(answer.json()["choices"][0]["message"]["content"])) == {"ok"}


def test_every_token_is_equally_likely(cost: CostModel) -> None:
    executor = SimulatedExecutor(cost, ByteTokenizer())
    one = SamplingParams(max_tokens=4, logprobs=2)
    generated = Work([5], 9, [0], one, output_index=1)
    scored = Work([7, 8, 9], 0, [0], SamplingParams(max_tokens=1), None, score_from=2, next_token=4)
    result = executor.execute([generated, scored])
    sample = result.samples[0]
    assert sample is not None
    assert sample.logprobs is not None
    assert {sample.logprobs.logprob, *(p for _, p in sample.logprobs.top)} == {result.scores[1][0]}
    assert len(result.scores[1]) == len(scored.scored[1]) == 2
    assert result.lasts_s == result.cpu_s == cost.step_s(count([(9, 1, True), (0, 3, False)]))


async def test_a_cost_model_that_is_not_there_stops_the_start(serving: Starter) -> None:
    with pytest.raises(CommandError, match="--cost-model: there is no cost model 'warp-drive'"):
        async with serving("--executor", "simulated", "--cost-model", "warp-drive"):
            pass
