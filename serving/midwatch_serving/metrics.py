"""The engine's metrics: booked with plain numbers while it steps, turned into Prometheus' format when it is scraped.

Both happen on the event loop, a step's booking in one go, so a scrape never sees half a step. A step of 16 tokens is
booked in some 10 µs; memory depends on the families alone, not on how much was served.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import groupby

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from midwatch_serving.buckets import Boundaries, boundaries
from midwatch_serving.histogram import Histogram
from midwatch_serving.metric_families import FAMILIES, Family
from midwatch_serving.mfu import Estimates
from midwatch_serving.scheduler import Batch, Scheduler
from midwatch_serving.sequence import Sequence

ENGINE = "0"
REASONS = ("stop", "length", "abort", "error", "repetition")
"""vLLM's finish reasons; each is a series from the start."""

Readings = Iterable[tuple[tuple[str, ...], float]]
"""Values of a family's own labels, in its order, and the number."""
Read = Callable[[], Readings]


@dataclass(frozen=True)
class CacheInfo:
    """What `vllm:cache_config_info` tells."""

    block_size: int
    num_gpu_blocks: int
    num_gpu_blocks_override: int
    enable_prefix_caching: bool = False
    cache_dtype: str = "float32"
    prefix_caching_hash_algo: str = "sha256"

    def labels(self, max_model_len: int) -> dict[str, str]:
        """Return the labels of the series."""
        tokens = self.block_size * self.num_gpu_blocks
        return {
            "block_size": str(self.block_size),
            "cache_dtype": self.cache_dtype,
            "enable_prefix_caching": str(self.enable_prefix_caching),
            "is_attention_free": "False",
            "kv_cache_max_concurrency": f"{tokens / max_model_len:g}",
            "kv_cache_size_tokens": str(tokens),
            "num_gpu_blocks": str(self.num_gpu_blocks),
            "num_gpu_blocks_override": str(self.num_gpu_blocks_override),
            "prefix_caching_hash_algo": self.prefix_caching_hash_algo,
            "sliding_window": "None",
        }


class Metrics:
    """The series of one engine. What someone else knows (`source`) is read from there when it is scraped."""

    def __init__(
        self,
        scheduler: Scheduler,
        *,
        model_name: str,
        max_model_len: int,
        cache: CacheInfo,
        fine: bool = False,
        custom_buckets: Mapping[str, Boundaries] | None = None,
        estimates: Estimates | None = None,
    ) -> None:
        self._common = {"model_name": model_name, "engine": ENGINE}
        self._sources: dict[str, Read] = {}
        self._estimates = estimates
        self.prompt_total = 0
        self.generation_total = 0
        self.cached_total = 0
        self._preemptions = 0
        self._step_cpu_s = 0.0
        self._ended = dict.fromkeys(REASONS, 0)
        ends = boundaries(max_model_len, fine=fine, custom=custom_buckets)
        self._boundaries = {f.name: ends[f.buckets] for f in FAMILIES.values() if f.buckets is not None}
        self._histograms = {name: Histogram(its) for name, its in self._boundaries.items()}
        self._itl = self._histograms["vllm:inter_token_latency_seconds"]
        self._registry = CollectorRegistry()
        self._registry.register(_Scrape(self.families))
        self._own_sources(scheduler, cache.labels(max_model_len))
        if estimates is not None:
            self.source("vllm:estimated_flops_per_gpu", lambda: [((), estimates.flops)])
            self.source("vllm:estimated_read_bytes_per_gpu", lambda: [((), estimates.read_bytes)])
            self.source("vllm:estimated_write_bytes_per_gpu", lambda: [((), estimates.written_bytes)])

    def source(self, name: str, read: Read) -> None:
        """Expose the family `name` with what `read` returns at each scrape."""
        if name not in FAMILIES:
            raise KeyError(f"{name} is not in metric_families.FAMILIES: describe it there first")
        self._sources[name] = read

    def watch_process(self) -> None:
        """Add prometheus_client's `process_*` gauges of this process, as vLLM has them."""
        ProcessCollector(registry=self._registry)

    def scheduled(self, batch: Batch) -> None:
        """Book a step's schedule. Queue time is booked here, so that a request that is aborted later counts too."""
        self._observe("vllm:iteration_tokens_total", batch.num_tokens)
        self._preemptions += len(batch.preempted)
        if self._estimates is not None:
            self._estimates.book(batch)
        for sequence in batch.admitted:
            if sequence.first_scheduled is not None:
                self._observe("vllm:request_queue_time_seconds", sequence.first_scheduled - sequence.arrived)

    def stepped(self, wall_s: float, cpu_s: float, steps: int = 1) -> None:
        """Book `steps` steps that took so long together."""
        self._histograms["midwatch_step_seconds"].observe(wall_s / steps, steps)
        self._step_cpu_s += cpu_s

    def token(self, sequence: Sequence) -> None:
        """Book the token that the sequence just got."""
        self.generation_total += 1
        if sequence.token_gap is not None:
            self._itl.observe(sequence.token_gap)
        elif sequence.first_token is not None and sequence.first_scheduled is not None:
            self._prompt_through(sequence)
            self._observe("vllm:time_to_first_token_seconds", sequence.first_token - sequence.arrived)
            self._observe("vllm:request_prefill_time_seconds", sequence.first_token - sequence.first_scheduled)

    def finished(self, sequence: Sequence) -> None:
        """Book the end of a request; times and lengths only of one that ran to its end."""
        reason = sequence.finish_reason
        if reason is None:
            return
        self._ended[reason] += 1
        if reason in {"abort", "error"}:
            return
        if sequence.score_from is not None:
            self._prompt_through(sequence)
        first, last, started = sequence.first_token, sequence.last_token, sequence.first_scheduled
        if first is None or last is None or started is None:
            return
        length = len(sequence.output)
        self._observe("vllm:e2e_request_latency_seconds", last - sequence.arrived)
        self._observe("vllm:request_inference_time_seconds", last - started)
        self._observe("vllm:request_decode_time_seconds", last - first)
        self._observe("vllm:request_prompt_tokens", len(sequence.prompt))
        self._observe("vllm:request_generation_tokens", length)
        self._observe("vllm:request_params_max_tokens", sequence.params.max_tokens)
        self._observe("vllm:request_num_preemptions", sequence.preemptions)
        self._observe("vllm:request_prefill_kv_computed_tokens", len(sequence.prompt) - sequence.num_cached)
        if length > 1:
            self._observe("vllm:request_time_per_output_token_seconds", (last - first) / (length - 1))

    def answered(self, sequences: Iterable[Sequence]) -> None:
        """Book whole requests, given the sequences of some in order: those of one share their prompt (`n` of them)."""
        for _, group in groupby(sequences, key=lambda sequence: id(sequence.prompt)):
            answers = list(group)
            if all(s.finish_reason in {"stop", "length"} and s.score_from is None for s in answers):
                self._observe("vllm:request_params_n", len(answers))
                longest = max(len(s.output) for s in answers)
                self._observe("vllm:request_max_num_generation_tokens", longest)

    def exposition(self) -> bytes:
        """Return everything in Prometheus' text format 0.0.4."""
        return generate_latest(self._registry)

    def render(self, accept: str) -> tuple[bytes, str]:
        """Return everything in the format that an `Accept` header asks for, OpenMetrics or text, and its type."""
        encode, content_type = choose_encoder(accept)
        return encode(self._registry), content_type

    def families(self) -> Iterable[Metric]:
        """Return every family as it stands."""
        for name, family in FAMILIES.items():
            if name in self._histograms:
                yield self._histogram(family)
            elif name in self._sources:
                yield self._read(family, self._sources[name]())

    def _observe(self, name: str, value: float) -> None:
        self._histograms[name].observe(value)

    def _prompt_through(self, sequence: Sequence) -> None:
        self.prompt_total += len(sequence.prompt)
        self.cached_total += sequence.num_cached

    def _own_sources(self, scheduler: Scheduler, cache: dict[str, str]) -> None:
        labels = tuple(cache[name] for name in FAMILIES["vllm:cache_config_info"].labels)
        self.source("vllm:cache_config_info", lambda: [(labels, 1)])
        self.source("vllm:num_requests_running", lambda: [((), len(scheduler.running))])
        self.source("vllm:num_requests_waiting", lambda: [((), len(scheduler.waiting))])
        self.source("vllm:kv_cache_usage_perc", lambda: [((), scheduler.blocks.usage)])
        self.source("vllm:num_preemptions", lambda: [((), self._preemptions)])
        self.source("vllm:prompt_tokens", lambda: [((), self.prompt_total)])
        self.source(
            "vllm:prompt_tokens_by_source",
            lambda: [
                (("local_compute",), self.prompt_total - self.cached_total),
                (("local_cache_hit",), self.cached_total),
                (("external_kv_transfer",), 0),
            ],
        )
        self.source("vllm:prompt_tokens_cached", lambda: [((), self.cached_total)])
        self.source("vllm:generation_tokens", lambda: [((), self.generation_total)])
        self.source("vllm:request_success", lambda: [((reason,), count) for reason, count in self._ended.items()])
        self.source("midwatch_step_cpu_seconds", lambda: [((), self._step_cpu_s)])

    def _labels(self, family: Family) -> list[str]:
        return [self._common[name] for name in family.common]

    def _read(self, family: Family, readings: Readings) -> Metric:
        kind = CounterMetricFamily if family.kind == "counter" else GaugeMetricFamily
        metric = kind(family.name, family.says, labels=family.label_names)
        common = self._labels(family)
        for values, number in readings:
            metric.add_metric([*common, *values], number)
        return metric

    def _histogram(self, family: Family) -> Metric:
        histogram, ends = self._histograms[family.name], self._boundaries[family.name]
        metric = HistogramMetricFamily(family.name, family.says, labels=family.label_names)
        names = [*map(str, ends), "+Inf"]
        counts = zip(names, histogram.cumulative(), strict=True)
        metric.add_metric(self._labels(family), list(counts), histogram.sum)
        return metric


class _Scrape(Collector):
    """What prometheus_client asks when it renders."""

    def __init__(self, families: Callable[[], Iterable[Metric]]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families()
