"""The metrics: vLLM's names, types, labels and buckets, and numbers that follow from what happened."""

import asyncio
import itertools
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from midwatch_contracts.clock import VirtualClock
from midwatch_serving.block_manager import BlockManager
from midwatch_serving.metrics import CacheInfo, Metrics
from midwatch_serving.sampling import SamplingParams
from midwatch_serving.scheduler import Limits, Scheduler
from midwatch_serving.sequence import Sequence

TYPES = {
    "vllm:num_requests_running": "gauge",
    "vllm:num_requests_waiting": "gauge",
    "vllm:kv_cache_usage_perc": "gauge",
    "vllm:cache_config_info": "gauge",
    "vllm:num_preemptions": "counter",
    "vllm:prompt_tokens": "counter",
    "vllm:generation_tokens": "counter",
    "vllm:request_success": "counter",
    "vllm:iteration_tokens_total": "histogram",
    "vllm:time_to_first_token_seconds": "histogram",
    "vllm:inter_token_latency_seconds": "histogram",
    "vllm:request_time_per_output_token_seconds": "histogram",
    "vllm:e2e_request_latency_seconds": "histogram",
    "vllm:request_queue_time_seconds": "histogram",
    "vllm:request_inference_time_seconds": "histogram",
    "vllm:request_prefill_time_seconds": "histogram",
    "vllm:request_decode_time_seconds": "histogram",
    "vllm:request_prompt_tokens": "histogram",
    "vllm:request_generation_tokens": "histogram",
}
TTFT = ".001 .005 .01 .02 .04 .06 .08 .1 .25 .5 .75 1 2.5 5 7.5 10 20 40 80 160 640 2560"
ITL = ".01 .025 .05 .075 .1 .15 .2 .3 .4 .5 .75 1 2.5 5 7.5 10 20 40 80"
LATENCY = ".3 .5 .8 1 1.5 2 2.5 5 10 15 20 30 40 50 60 120 240 480 960 1920 7680"
TOKENS = "1 2 5 10 20 50 100 200 500 1000 2000"
BUCKETS = {
    "time_to_first_token_seconds": TTFT,
    "inter_token_latency_seconds": ITL,
    "request_time_per_output_token_seconds": ITL,
    "e2e_request_latency_seconds": LATENCY,
    "request_queue_time_seconds": LATENCY,
    "request_inference_time_seconds": LATENCY,
    "request_prefill_time_seconds": LATENCY,
    "request_decode_time_seconds": LATENCY,
    "request_prompt_tokens": TOKENS,
    "request_generation_tokens": TOKENS,
    "iteration_tokens_total": "1 8 16 32 64 128 256 512 1024 2048 4096 8192 16384",
}


class World:
    """A scheduler with metrics on a clock that is moved by hand."""

    def __init__(self, *, fine: bool = False) -> None:
        self.clock = VirtualClock()
        self.scheduler = Scheduler(BlockManager(8, 4), Limits(2, 64), max_model_len=2048, clock=self.clock)
        self.metrics = Metrics(self.scheduler, model_name="m", max_model_len=2048, cache=CacheInfo(4, 8, 8), fine=fine)

    def add(self, name: str, prompt: int, output: int) -> Sequence:
        sequence = Sequence(name, tuple(range(prompt)), SamplingParams(output), arrived=self.clock.now())
        self.scheduler.add(sequence)
        return sequence

    def wait(self, seconds: float) -> None:
        asyncio.run(self.clock.advance(seconds))

    def step(self, seconds: float) -> None:
        batch = self.scheduler.schedule()
        self.metrics.scheduled(batch)
        self.wait(seconds)
        for sequence in self.scheduler.complete(batch, [1] * len(batch.chunks)):
            self.metrics.token(sequence)
            if sequence.finish_reason:
                self.metrics.finished(sequence)

    def samples(self) -> dict[str, float]:
        """Values by name; those that carry more than the common labels as name{label=value}."""
        found: dict[str, float] = {}
        for family in text_string_to_metric_families(self.metrics.exposition().decode()):
            for sample in family.samples:
                more = {k: v for k, v in sample.labels.items() if k not in {"model_name", "engine"}}
                tail = "".join(f"{{{k}={v}}}" for k, v in more.items())
                found[sample.name.removeprefix("vllm:") + tail] = sample.value
        return found

    def boundaries(self, name: str) -> list[float]:
        prefix = f"{name}_bucket{{le="
        ends = [key[len(prefix) : -1] for key in self.samples() if key.startswith(prefix)]
        assert ends.pop() == "+Inf"
        return [float(end) for end in ends]


def test_names_and_types_are_vllms() -> None:
    families = list(text_string_to_metric_families(World().metrics.exposition().decode()))
    made = {f.name: f.type for f in families if not f.name.endswith("_created")}
    assert made == TYPES


def test_every_series_carries_model_name_and_engine() -> None:
    for family in text_string_to_metric_families(World().metrics.exposition().decode()):
        for sample in family.samples:
            assert sample.labels["engine"] == "0"
            assert sample.labels.get("model_name") == (None if family.name == "vllm:cache_config_info" else "m")


@pytest.mark.parametrize("name", BUCKETS)
def test_buckets_are_vllms(name: str) -> None:
    assert World().boundaries(name) == [float(end) for end in BUCKETS[name].split()]


@pytest.mark.parametrize("name", [n for n in BUCKETS if n.endswith("_seconds")])
def test_fine_buckets_are_added_and_none_is_lost(name: str) -> None:
    fine = World(fine=True).boundaries(name)
    assert set(World().boundaries(name)) < set(fine)
    within = [end for end in fine if 0.01 <= end <= 6]
    assert max(b / a for a, b in itertools.pairwise(within)) <= 1.5 + 1e-9


def test_the_times_of_a_request_add_up() -> None:
    world = World()
    world.add("a", 6, 3)
    world.wait(0.5)
    world.step(0.2)
    world.step(0.03)
    world.step(0.05)
    seen = world.samples()
    expected = {
        "request_queue_time_seconds": (1, 0.5),
        "time_to_first_token_seconds": (1, 0.7),
        "request_prefill_time_seconds": (1, 0.2),
        "inter_token_latency_seconds": (2, 0.08),
        "request_time_per_output_token_seconds": (1, 0.04),
        "request_decode_time_seconds": (1, 0.08),
        "request_inference_time_seconds": (1, 0.28),
        "e2e_request_latency_seconds": (1, 0.78),
        "request_prompt_tokens": (1, 6),
        "request_generation_tokens": (1, 3),
        "iteration_tokens_total": (3, 8),
    }
    got = {name: (seen[f"{name}_count"], seen[f"{name}_sum"]) for name in expected}
    assert got == {name: (count, pytest.approx(total)) for name, (count, total) in expected.items()}
    assert (seen["prompt_tokens_total"], seen["generation_tokens_total"]) == (6, 3)
    assert seen["request_success_total{finished_reason=length}"] == 1


def test_gauges_show_the_scheduler_as_it_is_and_preemptions_are_counted() -> None:
    world = World()
    for name in "abc":
        world.add(name, 15, 8)
    world.step(0.1)
    seen = world.samples()
    assert (seen["num_requests_running"], seen["num_requests_waiting"], seen["kv_cache_usage_perc"]) == (2, 1, 1.0)
    world.step(0.1)
    world.step(0.1)
    seen = world.samples()
    assert (seen["num_requests_running"], seen["num_requests_waiting"]) == (1, 2)
    assert seen["num_preemptions_total"] == 1
    assert seen["request_queue_time_seconds_count"] == 2


def test_an_aborted_request_counts_as_such_and_leaves_no_latency() -> None:
    world = World()
    gone = world.add("a", 4, 5)
    world.step(0.1)
    world.scheduler.finish(gone, "abort")
    world.metrics.finished(gone)
    seen = world.samples()
    assert seen["request_success_total{finished_reason=abort}"] == 1
    assert seen["e2e_request_latency_seconds_count"] == 0
    assert seen["time_to_first_token_seconds_count"] == 1


def test_the_cache_configuration_is_a_series() -> None:
    (family,) = [
        f
        for f in text_string_to_metric_families(World().metrics.exposition().decode())
        if f.name == "vllm:cache_config_info"
    ]
    labels: dict[str, Any] = family.samples[0].labels
    assert (labels["block_size"], labels["num_gpu_blocks"], family.samples[0].value) == ("4", "8", 1)
