"""What-if: both configurations side by side, in bands, within bounds, beside a server that goes on serving."""

import argparse
import asyncio
import json
import threading
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import httpx2
import pytest

from midwatch_contracts.command import CommandError
from midwatch_serving import what_if, what_if_api
from midwatch_serving.commands import what_if as command
from midwatch_serving.service import Service
from midwatch_serving.what_if_command import run

Starter = Callable[..., AbstractAsyncContextManager[tuple[Service, httpx2.AsyncClient]]]


pytestmark = pytest.mark.anyio

DEADLINE_S = 20
LOAD = {"rate": 12.0, "prompt_tokens": 64, "output_tokens": 48, "requests": 120}


def _body(**more: Any) -> dict[str, Any]:
    return {"load": LOAD, "cost_model": "cpu-tiny", **more}


async def test_a_larger_batch_is_told_to_shorten_the_queue(serving: Starter) -> None:
    async with serving("--max-num-seqs", "1") as (_, client):
        asked = _body(config={"max_num_seqs": 8}, slo={"ttft_s": 0.5, "tpot_s": 0.1})
        answer = await client.post("/admin/what-if", json=asked)
    assert answer.status_code == 200, answer.text
    found = answer.json()
    present, other = found["current"], found["proposed"]
    assert (present["config"]["max_num_seqs"], other["config"]["max_num_seqs"]) == (1, 8)
    assert other["figures"]["ttft_ms"]["p95"] < present["figures"]["ttft_ms"]["p95"] / 2
    assert other["figures"]["goodput"] > present["figures"]["goodput"]
    assert found["difference"]["ttft_p95_ms"]["beyond_error"] is True
    assert found["basis"] == "simulated"
    for side in (present, other):
        for name, band in side["bands"].items():
            which, _, part = name.removesuffix("_ms").partition("_")
            value = side["figures"][f"{which}_ms"][part] if part else side["figures"][name]
            assert band[0] <= value <= band[1]


async def test_nothing_different_makes_no_difference(serving: Starter) -> None:
    async with serving() as (_, client):
        found = (await client.post("/admin/what-if", json=_body())).json()
    assert found["current"]["figures"] == found["proposed"]["figures"]
    assert {d["ratio"] for d in found["difference"].values()} == {1.0}
    assert {d["beyond_error"] for d in found["difference"].values()} == {False}


async def test_the_same_question_has_the_same_answer(serving: Starter) -> None:
    async with serving() as (_, client):
        one, other = [(await client.post("/admin/what-if", json=_body(replicas=2))).json() for _ in range(2)]
    for found in (one, other):
        for side in ("current", "proposed"):
            del found[side]["events_per_s"]
    assert one == other


async def test_a_cpu_limit_of_the_server_is_part_of_the_prediction(serving: Starter) -> None:
    found: list[float] = []
    for flags in ((), ("--cpu-limit", "0.25")):
        async with serving(*flags) as (_, client):
            figures = (await client.post("/admin/what-if", json=_body())).json()["current"]["figures"]
            found.append(figures["tpot_ms"]["p50"])
    assert found[1] > 2 * found[0]


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"config": {"warp": 9}}, "config.warp"),
        ({"config": {"max_num_seqs": 0}}, "config.max_num_seqs"),
        ({"config": {"max_num_seqs": "many"}}, "config.max_num_seqs"),
        ({"load": {}}, "load"),
        ({"load": LOAD | {"concurrency": 4}}, "load"),
        ({"load": LOAD | {"output_tokens": None}}, "load"),
        ({"load": LOAD | {"rate": -1}}, "load.rate"),
        ({"load": LOAD | {"rate": "fast"}}, "load.rate"),
        ({"load": LOAD | {"requests": 10**9}}, "load.requests"),
        ({"load": LOAD | {"bursts": 3}}, "load.bursts"),
        ({"slo": {"ttft_s": 0}}, "slo.ttft_s"),
        ({"replicas": 0}, "replicas"),
        ({"cost_model": "nonsense"}, "cost_model"),
        ({"cost_model": "../../etc/passwd"}, "cost_model"),
        ({"cost_model": "own.yaml"}, "cost_model"),
    ],
)
async def test_nonsense_is_refused_with_the_field_at_fault(
    change: dict[str, Any], param: str, serving: Starter
) -> None:
    async with serving() as (_, client):
        answer = await client.post("/admin/what-if", json=_body(**change))
        health = await client.get("/health")
    assert answer.status_code == 422, answer.text
    assert answer.json()["error"]["param"] == param
    assert health.status_code == 200


async def test_a_question_that_takes_too_long_is_given_up(serving: Starter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(what_if, "WALL_LIMIT_S", 0.0)
    async with serving() as (_, client):
        answer = await client.post("/admin/what-if", json=_body(load=LOAD | {"requests": 2000}))
    assert answer.status_code == 422
    assert "takes longer than 0 s" in answer.json()["error"]["message"]


async def test_the_server_answers_while_it_simulates_and_takes_one_question_at_a_time(
    serving: Starter, monkeypatch: pytest.MonkeyPatch
) -> None:
    going_on = threading.Event()

    def slow(body: what_if.WhatIfBody, situation: what_if.Situation) -> dict[str, Any]:
        assert going_on.wait(DEADLINE_S)
        return what_if.answer(body, situation)

    monkeypatch.setattr(what_if_api, "answer", slow)
    chat = {"model": "tiny", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 8}
    async with serving() as (_, client):
        asking = asyncio.create_task(client.post("/admin/what-if", json=_body()))
        answered = await client.post("/v1/chat/completions", json=chat)
        second = await client.post("/admin/what-if", json=_body())
        going_on.set()
        first = await asking
        third = await client.post("/admin/what-if", json=_body())
    assert (answered.status_code, first.status_code, third.status_code) == (200, 200, 200)
    assert (second.status_code, second.json()["error"]["code"]) == (503, "busy")


def _arguments(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    command.configure(parser)
    return parser.parse_args(words)


def test_the_command_answers_offline_as_a_table_and_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--rate", "9", "--requests", "60", "--max-num-seqs", "2", "--config", "enable-prefix-caching=false")
    assert run(_arguments(*words)) == 0
    text = capsys.readouterr().out
    assert "max_num_seqs                                       4                         2" in text
    assert run(_arguments(*words, "--json", "--current", "max_num_seqs=16")) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["current"]["config"]["max_num_seqs"], found["proposed"]["config"]["max_num_seqs"]) == (16, 2)
    assert found["proposed"]["config"]["enable_prefix_caching"] is False


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--rate", "0"), "load.rate"),
        (("--rate", "1", "--config", "warp=9"), "warp: no such setting"),
        (("--rate", "1", "--config", "warp"), "give NAME=VALUE"),
        (("--rate", "1", "--cost-model", "nonsense"), "there is no cost model"),
        (("--rate", "1", "--output-tokens", "5"), "give prompt_tokens and output_tokens"),
        (("--rate", "1", "--url", "http://127.0.0.1:9"), "cannot be reached"),
        (("--rate", "1", "--url", "http://127.0.0.1:9", "--cpu-limit", "1"), "leave them out with --url"),
    ],
)
def test_the_command_refuses_nonsense_as_bad_input(words: tuple[str, ...], said: str) -> None:
    with pytest.raises(CommandError, match=said) as refusal:
        run(_arguments(*words))
    assert refusal.value.code == 2
