"""The metrics: vLLM's names, types, labels and buckets, and numbers that follow from what happened."""

import asyncio
import itertools
import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from midwatch_contracts.clock import VirtualClock
from midwatch_serving.block_manager import BlockManager
from midwatch_serving.buckets import Boundaries, parse_custom
from midwatch_serving.errors import ConfigError
from midwatch_serving.histogram import Histogram
from midwatch_serving.metric_families import FAMILIES
from midwatch_serving.metrics import CacheInfo, Metrics
from midwatch_serving.sampling import SamplingParams
from midwatch_serving.scheduler import Limits, Scheduler
from midwatch_serving.sequence import Sequence

COMMON = "model_name engine"
CACHE = (
    "engine block_size cache_dtype enable_prefix_caching is_attention_free kv_cache_max_concurrency "
    "kv_cache_size_tokens num_gpu_blocks num_gpu_blocks_override prefix_caching_hash_algo sliding_window"
)
TTFT = ".001 .005 .01 .02 .04 .06 .08 .1 .25 .5 .75 1 2.5 5 7.5 10 20 40 80 160 640 2560"
ITL = ".01 .025 .05 .075 .1 .15 .2 .3 .4 .5 .75 1 2.5 5 7.5 10 20 40 80"
LATENCY = ".3 .5 .8 1 1.5 2 2.5 5 10 15 20 30 40 50 60 120 240 480 960 1920 7680"
TOKENS = "1 2 5 10 20 50 100 200 500 1000 2000"
STEP = ".0005 .001 .002 .003 .004 .005 .006 .008 .01 .015 .02 .03 .05 .075 .1 .15 .2 .3 .5 .75 1 2.5 5 10"
PINNED: dict[str, tuple[str, ...]] = {
    "vllm:num_requests_running": ("gauge", COMMON),
    "vllm:num_requests_waiting": ("gauge", COMMON),
    "vllm:num_requests_waiting_by_reason": ("gauge", f"{COMMON} reason"),
    "vllm:kv_cache_usage_perc": ("gauge", COMMON),
    "vllm:engine_sleep_state": ("gauge", f"{COMMON} sleep_state"),
    "vllm:cache_config_info": ("gauge", CACHE),
    "vllm:prefix_cache_queries": ("counter", COMMON),
    "vllm:prefix_cache_hits": ("counter", COMMON),
    "vllm:num_preemptions": ("counter", COMMON),
    "vllm:prompt_tokens": ("counter", COMMON),
    "vllm:prompt_tokens_by_source": ("counter", f"{COMMON} source"),
    "vllm:prompt_tokens_cached": ("counter", COMMON),
    "vllm:generation_tokens": ("counter", COMMON),
    "vllm:request_success": ("counter", f"{COMMON} finished_reason"),
    "vllm:admission_rejections": ("counter", "model_name reason"),
    "vllm:iteration_tokens_total": ("histogram", COMMON, "1 8 16 32 64 128 256 512 1024 2048 4096 8192 16384"),
    "vllm:time_to_first_token_seconds": ("histogram", COMMON, TTFT),
    "vllm:inter_token_latency_seconds": ("histogram", COMMON, ITL),
    "vllm:request_time_per_output_token_seconds": ("histogram", COMMON, ITL),
    "vllm:e2e_request_latency_seconds": ("histogram", COMMON, LATENCY),
    "vllm:request_queue_time_seconds": ("histogram", COMMON, LATENCY),
    "vllm:request_inference_time_seconds": ("histogram", COMMON, LATENCY),
    "vllm:request_prefill_time_seconds": ("histogram", COMMON, LATENCY),
    "vllm:request_decode_time_seconds": ("histogram", COMMON, LATENCY),
    "vllm:request_prompt_tokens": ("histogram", COMMON, TOKENS),
    "vllm:request_generation_tokens": ("histogram", COMMON, TOKENS),
    "vllm:request_max_num_generation_tokens": ("histogram", COMMON, TOKENS),
    "vllm:request_params_n": ("histogram", COMMON, "1 2 5 10 20"),
    "vllm:request_params_max_tokens": ("histogram", COMMON, TOKENS),
    "vllm:request_num_preemptions": ("histogram", COMMON, "1 2 3 4 5 10 20"),
    "vllm:request_prefill_kv_computed_tokens": ("histogram", COMMON, TOKENS),
    "vllm:estimated_flops_per_gpu": ("counter", COMMON),
    "vllm:estimated_read_bytes_per_gpu": ("counter", COMMON),
    "vllm:estimated_write_bytes_per_gpu": ("counter", COMMON),
    "midwatch_step_seconds": ("histogram", COMMON, STEP),
    "midwatch_step_cpu_seconds": ("counter", COMMON),
    "midwatch_cpu_periods": ("counter", COMMON),
    "midwatch_cpu_throttled_periods": ("counter", COMMON),
    "midwatch_cpu_throttled_seconds": ("counter", COMMON),
    "midwatch_queue_oldest_seconds": ("gauge", COMMON),
    "midwatch_energy_joules": ("counter", f"{COMMON} method"),
    "midwatch_model_info": (
        "gauge",
        f"{COMMON} root architecture layers hidden_size parameters max_model_len version",
    ),
    "midwatch_config_version": ("gauge", COMMON),
}
"""Name, type, labels and boundaries of every metric (vLLM 0.33's loggers, and ours)."""
BUCKETS = {name: pinned[2] for name, pinned in PINNED.items() if len(pinned) > 2}


class World:
    """A scheduler with metrics on a clock that is moved by hand."""

    def __init__(self, *, fine: bool = False, custom: dict[str, Boundaries] | None = None) -> None:
        self.clock = VirtualClock()
        self.scheduler = Scheduler(BlockManager(8, 4), Limits(2, 64), max_model_len=2048, clock=self.clock)
        self.metrics = Metrics(
            self.scheduler,
            model_name="m",
            max_model_len=2048,
            cache=CacheInfo(4, 8, 8),
            fine=fine,
            custom_buckets=custom,
        )

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
        for family in self.families():
            for sample in family.samples:
                more = {k: v for k, v in sample.labels.items() if k not in {"model_name", "engine"}}
                tail = "".join(f"{{{k}={v}}}" for k, v in more.items())
                found[sample.name.removeprefix("vllm:") + tail] = sample.value
        return found

    def families(self) -> list[Metric]:
        return list(text_string_to_metric_families(self.metrics.exposition().decode()))

    def boundaries(self, name: str) -> list[float]:
        prefix = f"{name.removeprefix('vllm:')}_bucket{{le="
        ends = [key[len(prefix) : -1] for key in self.samples() if key.startswith(prefix)]
        assert ends.pop() == "+Inf"
        return [float(end) for end in ends]


def test_the_catalogue_of_metrics_is_the_pinned_one() -> None:
    catalogue = {f.name: (f.kind, " ".join(f.label_names)) for f in FAMILIES.values()}
    assert catalogue == {name: pinned[:2] for name, pinned in PINNED.items()}


def test_what_is_exposed_has_the_type_and_labels_of_the_catalogue() -> None:
    world = World()
    for name, family in FAMILIES.items():
        if family.kind != "histogram":
            world.metrics.source(name, lambda family=family: [(tuple("x" for _ in family.labels), 7)])
    seen: set[str] = set()
    for exposed in world.families():
        assert exposed.type == PINNED[exposed.name][0]
        for sample in exposed.samples:
            labels = set(sample.labels) - {"le"}
            assert labels == set(PINNED[exposed.name][1].split())
        seen.add(exposed.name)
    assert seen == set(PINNED)


def test_nothing_is_exposed_that_nobody_feeds() -> None:
    names = {family.name for family in World().families()}
    assert "vllm:estimated_flops_per_gpu" not in names
    assert "vllm:num_requests_running" in names


def test_a_source_for_an_unknown_family_is_refused() -> None:
    with pytest.raises(KeyError, match="metric_families"):
        World().metrics.source("midwatch_unheard_of", lambda: [((), 1)])


def test_openmetrics_is_rendered_when_it_is_asked_for() -> None:
    metrics = World().metrics
    body, kind = metrics.render("application/openmetrics-text; version=1.0.0,text/plain;q=0.5")
    assert kind.startswith("application/openmetrics-text")
    assert body.endswith(b"# EOF\n")
    assert metrics.render("*/*") == (metrics.exposition(), "text/plain; version=0.0.4; charset=utf-8")


@pytest.mark.parametrize("name", BUCKETS)
def test_buckets_are_the_pinned_ones(name: str) -> None:
    assert World().boundaries(name) == [float(end) for end in BUCKETS[name].split()]


@pytest.mark.parametrize("name", [n for n, ends in BUCKETS.items() if ends in {TTFT, ITL, LATENCY}])
def test_fine_buckets_are_added_and_none_is_lost(name: str) -> None:
    fine = World(fine=True).boundaries(name)
    assert set(World().boundaries(name)) < set(fine)
    within = [end for end in fine if 0.01 <= end <= 6]
    assert max(b / a for a, b in itertools.pairwise(within)) <= 1.5 + 1e-9


def test_custom_buckets_replace_those_of_their_family_only() -> None:
    custom = parse_custom('{"inter_token_latency": [0.002, 0.004, 1]}')
    world = World(fine=True, custom=custom)
    assert world.boundaries("vllm:inter_token_latency_seconds") == [0.002, 0.004, 1]
    assert world.boundaries("vllm:request_time_per_output_token_seconds") == [0.002, 0.004, 1]
    assert world.boundaries("vllm:request_params_n") == [1, 2, 5, 10, 20]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "no JSON"),
        ("[1]", "JSON object"),
        ('{"ttft": [1]}', "no family 'ttft': one of request_latency, time_to_first_token"),
        ('{"request_latency": []}', "at least one number"),
        ('{"request_latency": 3}', "at least one number"),
        ('{"request_latency": [1, "2"]}', "'2' is no number"),
        ('{"request_latency": [1, true]}', "True is no number"),
        ('{"request_latency": [NaN]}', "nan is no number"),
        ('{"request_latency": [-1]}', "-1 is no number"),
        ('{"request_latency": [1, 1]}', "must increase"),
        (f'{{"request_latency": [{"9" * 400}]}}', "is no number"),
    ],
)
def test_custom_buckets_that_make_no_sense_are_refused_with_the_reason(text: str, says: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(says)) as refused:
        parse_custom(text)
    assert refused.value.field == "custom_histogram_buckets"


@given(
    ends=st.lists(st.floats(0, 1e5), min_size=1, max_size=20, unique=True).map(sorted),
    values=st.lists(st.tuples(st.floats(0, 1e6), st.integers(1, 5)), max_size=50),
)
def test_a_histogram_counts_what_is_at_most_each_boundary(ends: list[float], values: list[tuple[float, int]]) -> None:
    histogram = Histogram(tuple(ends))
    for value, times in values:
        histogram.observe(value, times)
    expected = [sum(times for value, times in values if value <= end) for end in [*ends, math.inf]]
    assert histogram.cumulative() == expected
    assert histogram.sum == pytest.approx(math.fsum(value * times for value, times in values))


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
        "request_params_max_tokens": (1, 3),
        "request_num_preemptions": (1, 0),
        "request_prefill_kv_computed_tokens": (1, 6),
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


def test_the_answers_to_one_request_count_once_with_the_longest() -> None:
    world = World()
    prompt, other = (1, 2, 3), (1, 2, 4)
    made = [
        Sequence(str(i), asked, SamplingParams(9), arrived=0.0, output=[1] * length, finish_reason="stop")
        for i, (asked, length) in enumerate([(prompt, 2), (prompt, 5), (other, 1)])
    ]
    world.metrics.answered(made)
    seen = world.samples()
    assert (seen["request_params_n_count"], seen["request_params_n_sum"]) == (2, 3)
    assert (seen["request_max_num_generation_tokens_count"], seen["request_max_num_generation_tokens_sum"]) == (2, 6)
    made[0].finish_reason = "abort"
    world.metrics.answered(made[:2])
    assert world.samples()["request_params_n_count"] == 2


def test_the_cache_configuration_is_a_series_with_its_real_values() -> None:
    (family,) = [f for f in World().families() if f.name == "vllm:cache_config_info"]
    (sample,) = family.samples
    assert sample.value == 1
    assert sample.labels == {
        "engine": "0",
        "block_size": "4",
        "cache_dtype": "float32",
        "enable_prefix_caching": "False",
        "is_attention_free": "False",
        "kv_cache_max_concurrency": "0.015625",
        "kv_cache_size_tokens": "32",
        "num_gpu_blocks": "8",
        "num_gpu_blocks_override": "8",
        "prefix_caching_hash_algo": "sha256",
        "sliding_window": "None",
    }
