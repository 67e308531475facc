"""Scraping a live server: everything is there, no reading is torn, and memory does not follow the load."""

import asyncio
import tracemalloc
from typing import Any

import pytest
from prometheus_client import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families  # pyright: ignore[reportUnknownVariableType] (its argument has no type)
from prometheus_client.parser import text_string_to_metric_families

from midwatch_contracts.clock import VirtualClock
from midwatch_serving.block_manager import BlockManager
from midwatch_serving.metric_families import FAMILIES
from midwatch_serving.metrics import CacheInfo, Metrics
from midwatch_serving.sampling import SamplingParams
from midwatch_serving.scheduler import Limits, Scheduler
from midwatch_serving.sequence import Sequence

pytestmark = pytest.mark.anyio


def samples(families: "list[Metric]") -> dict[str, float]:
    found: dict[str, float] = {}
    for family in families:
        for sample in family.samples:
            more = "".join(f"{{{k}={v}}}" for k, v in sample.labels.items() if k not in {"model_name", "engine"})
            found[sample.name + more] = sample.value
    return found


async def test_a_served_model_exposes_every_family_but_those_behind_an_option(serving: Any) -> None:
    async with serving() as (_, client):
        text = (await client.get("/metrics")).text
    exposed = {f.name: f for f in text_string_to_metric_families(text)}
    always = {name for name, family in FAMILIES.items() if family.option is None}
    assert {name for name in exposed if name.startswith(("vllm:", "midwatch_"))} == always
    assert exposed["process_resident_memory_bytes"].samples[0].value > 0
    (info,) = exposed["midwatch_model_info"].samples
    assert info.labels["root"] == info.labels["model_name"] == "tiny"
    assert int(info.labels["parameters"]) > 1_000_000


async def test_the_option_brings_the_estimates(serving: Any) -> None:
    async with serving("--enable-mfu-metrics") as (_, client):
        body = {"model": "tiny", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 3}
        await client.post("/v1/chat/completions", json=body)
        seen = samples(list(text_string_to_metric_families((await client.get("/metrics")).text)))
    tokens = seen["vllm:prompt_tokens_total"] + seen["vllm:generation_tokens_total"] - 1
    parameters = 2 * next(int(k.split("{parameters=")[1].split("}")[0]) for k in seen if "{parameters=" in k)
    assert 0.5 * tokens * parameters < seen["vllm:estimated_flops_per_gpu_total"] < 2 * tokens * parameters
    assert seen["vllm:estimated_read_bytes_per_gpu_total"] > seen["vllm:estimated_write_bytes_per_gpu_total"] > 0


async def test_openmetrics_that_prometheus_asks_for_can_be_parsed_strictly(serving: Any) -> None:
    async with serving() as (_, client):
        accept = {"accept": "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3"}
        answer = await client.get("/metrics", headers=accept)
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    names = {family.name for family in openmetrics_families(answer.text)}
    assert {"vllm:generation_tokens", "midwatch_energy_joules"} <= names


async def test_a_scrape_while_steps_run_never_shows_half_a_step(serving: Any) -> None:
    async with serving("--max-num-seqs", "4") as (service, client):
        body = {"model": "tiny", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 30}
        asked = [asyncio.create_task(client.post("/v1/chat/completions", json=body)) for _ in range(6)]
        before: dict[str, float] = {}
        scrapes = 0
        while not all(task.done() for task in asked):
            seen = samples(list(text_string_to_metric_families((await client.get("/metrics")).text)))
            tokens = seen["vllm:inter_token_latency_seconds_count"] + seen["vllm:time_to_first_token_seconds_count"]
            assert seen["vllm:generation_tokens_total"] == tokens
            assert seen["vllm:num_requests_running"] <= 4
            falling = [n for n, v in before.items() if n.endswith(("_total", "_count", "_bucket")) and seen[n] < v]
            assert falling == []
            for name, family in FAMILIES.items():
                if family.kind == "histogram":
                    assert seen[f"{name}_bucket{{le=+Inf}}"] == seen[f"{name}_count"]
            before, scrapes = seen, scrapes + 1
            await asyncio.sleep(0.01)
        assert scrapes > 3
        end = samples(list(text_string_to_metric_families((await client.get("/metrics")).text)))
        assert end["vllm:generation_tokens_total"] == 6 * 30
        assert end["vllm:request_success_total{finished_reason=length}"] == 6
        assert end["midwatch_step_seconds_count"] == end["vllm:iteration_tokens_total_count"]
        assert end["midwatch_step_cpu_seconds_total"] > 0
        assert end["midwatch_energy_joules_total{method=" + service.energy.method + "}"] > 0


def test_memory_stays_flat_however_many_tokens_are_booked() -> None:
    clock = VirtualClock()
    scheduler = Scheduler(BlockManager(8, 4), Limits(2, 64), max_model_len=2048, clock=clock)
    metrics = Metrics(scheduler, model_name="m", max_model_len=2048, cache=CacheInfo(4, 8, 8))
    sequence = Sequence("a", (1, 2, 3), SamplingParams(4), arrived=0.0)
    sequence.first_scheduled, sequence.first_token, sequence.last_token = 0.1, 0.2, 0.3
    sequence.finish_reason = "length"
    metrics.token(sequence)
    sequence.token_gap = 0.004
    for _ in range(1000):
        metrics.token(sequence)
    metrics.exposition()
    tracemalloc.start()
    try:
        for _ in range(200):
            for _ in range(1000):
                metrics.token(sequence)
            metrics.finished(sequence)
        grown, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert metrics.generation_total == 201_001
    assert grown < 20_000, "bytes; plain numbers, whatever is served"


async def test_a_request_for_several_answers_is_one_request(serving: Any) -> None:
    async with serving() as (_, client):
        body = {"model": "tiny", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 3, "n": 3}
        assert len((await client.post("/v1/chat/completions", json=body)).json()["choices"]) == 3
        seen = samples(list(text_string_to_metric_families((await client.get("/metrics")).text)))
    assert (seen["vllm:request_params_n_count"], seen["vllm:request_params_n_sum"]) == (1, 3)
    assert seen["vllm:request_max_num_generation_tokens_sum"] == 3
    assert seen["vllm:request_success_total{finished_reason=length}"] == 3
