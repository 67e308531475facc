"""`midwatch bench serve`: every request counted once, failures by why, figures also of a run that was cut short."""

import argparse
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import httpx2
import pytest

from midwatch_contracts.command import CommandError
from midwatch_serving.bench_serve import load_of, parse_goodput, serve
from midwatch_serving.commands import bench_serve
from midwatch_serving.errors import WorkloadError
from midwatch_serving.latency import Objectives
from midwatch_serving.load_client import LoadClient, Results, Target
from midwatch_serving.prompt_text import Measure, prompt
from midwatch_serving.service import Service
from midwatch_serving.workload import Fixed, Request, Workload, synthesise

Starter = Callable[..., AbstractAsyncContextManager[tuple[Service, httpx2.AsyncClient]]]


DEADLINE_S = 30


def _arguments(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    bench_serve.configure(parser)
    return parser.parse_args(words)


@pytest.mark.anyio
async def test_every_request_is_counted_with_the_tokens_that_the_server_counted(serving: Starter) -> None:
    load = synthesise(Fixed(60, 12), 20, seed=1, concurrency=5)
    async with serving("--max-num-seqs", "8") as (_, http):
        client = LoadClient(http, seed=1)
        target = await client.find(None)
        results = Results(asked=20)
        await client.run(load, target, results)
    found = results.report(Objectives(ttft_s=60.0))
    assert (target.model, found.completed, found.failed, results.running) == ("tiny", 20, 0, 0)
    assert found.output_tokens == 20 * 12
    assert found.prompt_tokens == pytest.approx(20 * 60, rel=0.1)
    assert found.good == 20
    assert found.itl is not None


@pytest.mark.anyio
async def test_refused_requests_are_counted_by_why(serving: Starter) -> None:
    load = Workload(tuple(Request(0.0, 40, 60) for _ in range(8)))
    async with serving("--max-num-seqs", "1", "--max-num-queued-reqs", "3") as (_, http):
        client = LoadClient(http, seed=1)
        target = await client.find("tiny")
        results = Results(asked=8)
        await client.run(load, target, results)
    assert results.errors == {"HTTP 503": 5}
    assert results.report(Objectives()).completed == 3


@pytest.mark.anyio
async def test_a_model_that_is_not_served_is_refused_with_those_that_are(serving: Starter) -> None:
    async with serving() as (_, http):
        with pytest.raises(WorkloadError, match="the server has no model 'gpt': tiny"):
            await LoadClient(http, seed=0).find("gpt")


@pytest.mark.anyio
async def test_an_answer_that_is_no_chat_is_counted_as_a_failure() -> None:
    async def odd(request: httpx2.Request) -> httpx2.Response:
        del request
        return httpx2.Response(200, text='data: {"choices": 5}\n\ndata: [DONE]\n\n')

    async with httpx2.AsyncClient(transport=httpx2.MockTransport(odd), base_url="http://odd") as http:
        results = Results(asked=1)
        target = Target("odd", None, Measure(1.0, 1.0))
        await LoadClient(http, seed=0).run(Workload((Request(0.0, 5, 5),)), target, results)
    assert results.errors.total() == results.done == 1


@pytest.mark.parametrize("tokens", [1, 7, 30, 200])
def test_prompts_have_about_the_words_that_make_their_tokens(tokens: int) -> None:
    measure = Measure.of((20, 105), (120, 605))
    text = prompt(Request(0.0, tokens, 1), 3, measure, seed=2)
    assert 5 * len(text.split()) + 5 == pytest.approx(max(tokens, 10), abs=3)


def test_prompts_that_share_a_piece_begin_with_the_same_words() -> None:
    measure = Measure(0.0, 1.0)
    one, other = (prompt(Request(0.0, 50, 1, ((9, 30),)), n, measure, seed=2).split() for n in (0, 1))
    assert one[:30] == other[:30]
    assert one != other


def test_objectives_are_read_in_milliseconds() -> None:
    assert parse_goodput(["ttft:200", "tpot:50", "e2el:3000"]) == Objectives(0.2, 0.05, 3.0)
    for word in ("ttft", "ttft:", "ttft:-1", "itl:5", "ttft:nan"):
        with pytest.raises(CommandError, match="--goodput"):
            parse_goodput([word])


def test_without_a_rate_all_requests_come_at_once() -> None:
    load = load_of(_arguments("--num-prompts", "7"))
    assert ({r.arrival_s for r in load.requests}, len(load.requests), load.concurrency) == ({0.0}, 7, None)
    assert load_of(_arguments("--num-prompts", "7", "--concurrency", "3")).concurrency == 3


def test_a_trace_keeps_its_times_or_takes_another_rate(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    entries = [{"timestamp": 1000 * n, "input_length": 9, "output_length": 9} for n in range(5)]
    path.write_text("\n".join(map(json.dumps, entries)), "utf-8")
    words = ("--traces", str(path))
    assert [r.arrival_s for r in load_of(_arguments(*words)).requests] == [0, 1, 2, 3, 4]
    assert load_of(_arguments(*words, "--rate", "5")).rate == pytest.approx(5.0)
    assert {r.arrival_s for r in load_of(_arguments(*words, "--rate", "inf")).requests} == {0.0}
    assert load_of(_arguments(*words, "--concurrency", "2")).concurrency == 2


@pytest.mark.parametrize("words", [("--rate", "-1"), ("--num-prompts", "0"), ("--traces", "/nowhere/at/all")])
def test_a_load_that_cannot_be_made_is_bad_input(words: tuple[str, ...]) -> None:
    with pytest.raises(CommandError) as refusal:
        serve(_arguments(*words))
    assert refusal.value.code == 2


def test_a_server_that_is_not_there_is_bad_input() -> None:
    with pytest.raises(CommandError, match="cannot be reached") as refusal:
        serve(_arguments("--url", "http://127.0.0.1:9"))
    assert refusal.value.code == 2


@pytest.fixture
def server(tmp_path: Path) -> Generator[str]:
    """The address of a server process that simulates."""
    words = ["--port", "0", "--executor", "simulated", "--cost-model", "cpu-tiny", "--max-num-seqs", "8"]
    path = tmp_path / "server.log"
    with path.open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "midwatch_serving", *words], stdout=subprocess.PIPE, stderr=log, text=True
        )
        try:
            assert process.stdout is not None
            url = process.stdout.readline().strip()
            assert url, path.read_text("utf-8")
            yield url
        finally:
            process.kill()
            process.communicate(timeout=DEADLINE_S)


def _bench(url: str, *words: str) -> list[str]:
    return [sys.executable, "-m", "midwatch_agents", "bench", "serve", "--url", url, "--prompt-tokens", "40", *words]


@pytest.mark.slow
def test_a_load_over_http_prints_its_figures_as_json(server: str) -> None:
    words = ("--num-prompts", "30", "--rate", "30", "--output-tokens", "10", "--goodput", "ttft:5000", "--json")
    done = subprocess.run(_bench(server, *words), capture_output=True, text=True, check=False, timeout=DEADLINE_S)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["completed"], found["failed"], found["output_tokens"], found["good_share"]) == (30, 0, 300, 1.0)
    assert found["ttft_ms"]["p50"] > 1
    assert found["tpot_ms"]["p50"] > 1


@pytest.mark.slow
def test_an_interrupted_load_prints_what_was_measured_so_far(server: str) -> None:
    command = _bench(server, "--num-prompts", "5000", "--rate", "20", "--output-tokens", "5", "--json")
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        assert process.stderr is not None
        assert "5000 requests" in process.stderr.readline()
        _until(lambda: _finished(server) >= 5)
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=DEADLINE_S)
    finally:
        process.kill()
        process.wait(DEADLINE_S)
    assert process.returncode == 130
    found = json.loads(out)
    assert 1 <= found["completed"] < 5000


def _finished(url: str) -> int:
    text = httpx2.get(f"{url}/metrics").text
    lines = [line for line in text.splitlines() if line.startswith("vllm:request_success_total")]
    return int(sum(float(line.rsplit(" ", 1)[1]) for line in lines))


def _until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not holds():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.05)
