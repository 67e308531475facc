"""Metrics under the names, labels, types and buckets of vLLM 0.33, on a registry of their own."""

from collections.abc import Iterable
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from midwatch_serving.scheduler import Batch, Scheduler
from midwatch_serving.sequence import FINISH_REASONS, Sequence

ENGINE = "0"
TTFT = (
    0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0, 160.0,
    640.0, 2560.0,
)  # fmt: skip
ITL = (
    0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0,
)  # fmt: skip
LATENCY = (
    0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0, 120.0, 240.0, 480.0, 960.0,
    1920.0, 7680.0,
)  # fmt: skip
ITERATION_TOKENS = (1, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384)
FINE = (
    0.005, 0.01, 0.015, 0.02, 0.03, 0.04, 0.05, 0.06, 0.07, 0.08, 0.09, 0.1, 0.12, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6,
    0.8, 1.0, 1.25, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5, 5.0, 6.0,
)  # fmt: skip
"""Boundaries that `--fine-buckets` adds to those of times, so that a p95 between 10 ms and 6 s is sharp."""


def one_two_five(maximum: int) -> list[int]:
    """Return 1, 2, 5, 10, 20, 50 … up to `maximum`."""
    return [m * 10**e for e in range(len(str(maximum))) for m in (1, 2, 5) if m * 10**e <= maximum]


@dataclass(frozen=True)
class CacheInfo:
    """What `vllm:cache_config_info` tells."""

    block_size: int
    num_gpu_blocks: int
    num_gpu_blocks_override: int


class Metrics:
    """The series of one engine. Gauges are read from the scheduler when they are scraped."""

    def __init__(
        self, scheduler: Scheduler, *, model_name: str, max_model_len: int, cache: CacheInfo, fine: bool = False
    ) -> None:
        self._registry = CollectorRegistry()
        self._labels = {"model_name": model_name, "engine": ENGINE}
        self.prompt_total = 0
        self.generation_total = 0
        extra = FINE if fine else ()
        tokens = one_two_five(max_model_len)
        self._gauges(scheduler, cache)
        self._preemptions = self._counter("num_preemptions", "Preemptions: a running request gave up its blocks.")
        self._prompt_tokens = self._counter("prompt_tokens", "Prompt tokens computed, each request's counted once.")
        self._generation_tokens = self._counter("generation_tokens", "Tokens generated.")
        success = Counter(
            "vllm:request_success",
            "Requests that ended, by why.",
            [*self._labels, "finished_reason"],
            registry=self._registry,
        )
        self._success = {reason: success.labels(**self._labels, finished_reason=reason) for reason in FINISH_REASONS}
        self._iteration_tokens = self._histogram("iteration_tokens_total", "Tokens a step.", ITERATION_TOKENS)
        self._ttft = self._histogram("time_to_first_token_seconds", "Arrival to first token.", (*TTFT, *extra))
        self._itl = self._histogram("inter_token_latency_seconds", "Token to token.", (*ITL, *extra))
        self._tpot = self._histogram(
            "request_time_per_output_token_seconds", "Mean time a token after the first, by request.", (*ITL, *extra)
        )
        latency = (*LATENCY, *extra)
        self._e2e = self._histogram("e2e_request_latency_seconds", "Arrival to last token.", latency)
        self._queue = self._histogram("request_queue_time_seconds", "Arrival to first being scheduled.", latency)
        self._inference = self._histogram("request_inference_time_seconds", "First scheduled to last token.", latency)
        self._prefill = self._histogram("request_prefill_time_seconds", "First scheduled to first token.", latency)
        self._decode = self._histogram("request_decode_time_seconds", "First token to last token.", latency)
        self._request_prompt = self._histogram("request_prompt_tokens", "Prompt tokens a request.", tokens)
        self._request_generation = self._histogram("request_generation_tokens", "Tokens generated a request.", tokens)

    def scheduled(self, batch: Batch) -> None:
        """Book a step's schedule. Queue time is booked here, so that a request that is aborted later counts too."""
        self._iteration_tokens.observe(batch.num_tokens)
        self._preemptions.inc(len(batch.preempted))
        for sequence in batch.admitted:
            if sequence.first_scheduled is not None:
                self._queue.observe(sequence.first_scheduled - sequence.arrived)

    def token(self, sequence: Sequence) -> None:
        """Book the token that the sequence just got."""
        self._generation_tokens.inc()
        self.generation_total += 1
        if sequence.token_gap is not None:
            self._itl.observe(sequence.token_gap)
        elif sequence.first_token is not None and sequence.first_scheduled is not None:
            self._prompt_tokens.inc(len(sequence.prompt))
            self.prompt_total += len(sequence.prompt)
            self._ttft.observe(sequence.first_token - sequence.arrived)
            self._prefill.observe(sequence.first_token - sequence.first_scheduled)

    def finished(self, sequence: Sequence) -> None:
        """Book the end of a request; times and lengths only of one that ran to its end."""
        reason = sequence.finish_reason
        if reason is None:
            return
        self._success[reason].inc()
        if reason not in {"stop", "length"}:
            return
        first, last, started = sequence.first_token, sequence.last_token, sequence.first_scheduled
        if first is None or last is None or started is None:
            return
        self._e2e.observe(last - sequence.arrived)
        self._inference.observe(last - started)
        self._decode.observe(last - first)
        self._request_prompt.observe(len(sequence.prompt))
        self._request_generation.observe(len(sequence.output))
        if len(sequence.output) > 1:
            self._tpot.observe((last - first) / (len(sequence.output) - 1))

    def exposition(self) -> bytes:
        """Return everything in Prometheus' text format 0.0.4."""
        return generate_latest(self._registry)

    def _gauges(self, scheduler: Scheduler, cache: CacheInfo) -> None:
        self._gauge("num_requests_running", "Requests in the batch.").set_function(lambda: len(scheduler.running))
        self._gauge("num_requests_waiting", "Requests in the queue.").set_function(lambda: len(scheduler.waiting))
        self._gauge("kv_cache_usage_perc", "Share of KV blocks in use, 0 to 1.").set_function(
            lambda: scheduler.blocks.usage
        )
        info = {
            "block_size": str(cache.block_size),
            "num_gpu_blocks": str(cache.num_gpu_blocks),
            "num_gpu_blocks_override": str(cache.num_gpu_blocks_override),
            "cache_dtype": "float32",
            "enable_prefix_caching": "False",
            "engine": ENGINE,
        }
        Gauge("vllm:cache_config_info", "The KV cache's configuration.", list(info), registry=self._registry).labels(
            **info
        ).set(1)

    def _gauge(self, name: str, says: str) -> Gauge:
        return Gauge(f"vllm:{name}", says, list(self._labels), registry=self._registry).labels(**self._labels)

    def _counter(self, name: str, says: str) -> Counter:
        return Counter(f"vllm:{name}", says, list(self._labels), registry=self._registry).labels(**self._labels)

    def _histogram(self, name: str, says: str, buckets: Iterable[float]) -> Histogram:
        metric = Histogram(
            f"vllm:{name}", says, list(self._labels), buckets=sorted(set(buckets)), registry=self._registry
        )
        return metric.labels(**self._labels)
