"""Every metric as data: vLLM 0.33's core set (`vllm:`), and ours (`midwatch_`). The docs' table is made from this.

What vLLM counts for features that are not here (LoRA, speculation, KV transfer, multi-modal) is left out rather than
shown as a constant 0.
"""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["gauge", "counter", "histogram"]
COMMON = ("model_name", "engine")


@dataclass(frozen=True)
class Family:
    """One metric. A counter is exposed as its name with `_total` behind it."""

    name: str
    kind: Kind
    says: str
    labels: tuple[str, ...] = ()
    """Beside those of `common`."""
    common: tuple[str, ...] = COMMON
    buckets: str | None = None
    """Family of boundaries, see `buckets`."""
    option: str | None = None
    """What turns it on; None for those that are always there."""

    @property
    def label_names(self) -> tuple[str, ...]:
        """Every label, the common ones first."""
        return (*self.common, *self.labels)

    @property
    def exposed(self) -> str:
        """The name in queries (of a histogram: without `_bucket`, `_sum`, `_count`)."""
        return f"{self.name}_total" if self.kind == "counter" else self.name


CPU_LIMIT = "--cpu-limit"
CACHE_LABELS = (
    "block_size",
    "cache_dtype",
    "enable_prefix_caching",
    "is_attention_free",
    "kv_cache_max_concurrency",
    "kv_cache_size_tokens",
    "num_gpu_blocks",
    "num_gpu_blocks_override",
    "prefix_caching_hash_algo",
    "sliding_window",
)
"""Those fields of vLLM's CacheConfig that have a meaning here."""


def _gauge(name: str, says: str, *labels: str) -> Family:
    return Family(name, "gauge", says, labels)


def _counter(name: str, says: str, *labels: str, option: str | None = None) -> Family:
    return Family(name, "counter", says, labels, option=option)


def _histogram(name: str, buckets: str, says: str) -> Family:
    return Family(name, "histogram", says, buckets=buckets)


_GAUGES = (
    _gauge("vllm:num_requests_running", "Requests in the batch."),
    _gauge("vllm:num_requests_waiting", "Requests in the queue."),
    _gauge(
        "vllm:num_requests_waiting_by_reason",
        "Requests in the queue: for want of room (capacity), or because steps are held by sleep or pause (deferred).",
        "reason",
    ),
    _gauge("vllm:kv_cache_usage_perc", "Share of KV blocks in use, 0 to 1."),
    _gauge(
        "vllm:engine_sleep_state",
        "1 for the state the engine is in: awake, weights_offloaded (sleep level 1), discard_all (level 2); else 0.",
        "sleep_state",
    ),
    Family(
        "vllm:cache_config_info",
        "gauge",
        "The KV cache's configuration in labels; the value is 1.",
        CACHE_LABELS,
        common=("engine",),
    ),
)
_COUNTERS = (
    _counter("vllm:prefix_cache_queries", "Prompt tokens that were looked up in the prefix cache."),
    _counter("vllm:prefix_cache_hits", "Prompt tokens that were found in the prefix cache."),
    _counter("vllm:num_preemptions", "Preemptions: a running request gave up its blocks."),
    _counter("vllm:prompt_tokens", "Prompt tokens of requests whose prompt is through, cached ones among them."),
    _counter(
        "vllm:prompt_tokens_by_source",
        "Prompt tokens by where their keys and values came from; nothing is fetched from outside.",
        "source",
    ),
    _counter("vllm:prompt_tokens_cached", "Prompt tokens that were not computed, for they were cached."),
    _counter("vllm:generation_tokens", "Tokens generated."),
    _counter("vllm:request_success", "Requests that ended, by why.", "finished_reason"),
    Family(
        "vllm:admission_rejections",
        "counter",
        "Requests refused with 503 because the queue was full, by the limit that was met.",
        ("reason",),
        common=("model_name",),
    ),
)
_MFU = tuple(
    _counter(f"vllm:estimated_{what}", says, option="--enable-mfu-metrics")
    for what, says in (
        ("flops_per_gpu", "Floating point operations of the model's products and attention, by its sizes."),
        ("read_bytes_per_gpu", "Bytes of weights and of the KV cache read, each step's once."),
        ("write_bytes_per_gpu", "Bytes of the KV cache written."),
    )
)
_HISTOGRAMS = (
    _histogram("vllm:iteration_tokens_total", "iteration_tokens", "Tokens a step."),
    _histogram("vllm:time_to_first_token_seconds", "time_to_first_token", "Arrival to first token."),
    _histogram("vllm:inter_token_latency_seconds", "inter_token_latency", "Token to token."),
    _histogram(
        "vllm:request_time_per_output_token_seconds",
        "inter_token_latency",
        "Mean time a token after the first, by request.",
    ),
    _histogram("vllm:e2e_request_latency_seconds", "request_latency", "Arrival to last token."),
    _histogram("vllm:request_queue_time_seconds", "request_latency", "Arrival to first being scheduled."),
    _histogram("vllm:request_inference_time_seconds", "request_latency", "First scheduled to last token."),
    _histogram("vllm:request_prefill_time_seconds", "request_latency", "First scheduled to first token."),
    _histogram("vllm:request_decode_time_seconds", "request_latency", "First token to last token."),
    _histogram("vllm:request_prompt_tokens", "request_tokens", "Prompt tokens a request."),
    _histogram("vllm:request_generation_tokens", "request_tokens", "Tokens generated a request."),
    _histogram(
        "vllm:request_max_num_generation_tokens",
        "request_tokens",
        "Tokens of the longest answer to a request (it can ask for several with `n`).",
    ),
    _histogram("vllm:request_params_n", "request_params_n", "Answers a request asked for (`n`)."),
    _histogram("vllm:request_params_max_tokens", "request_tokens", "Tokens a request allowed (`max_tokens`)."),
    _histogram("vllm:request_num_preemptions", "request_num_preemptions", "Preemptions a request, 0 among them."),
    _histogram(
        "vllm:request_prefill_kv_computed_tokens",
        "request_tokens",
        "Prompt tokens a request that were computed, not found in the prefix cache.",
    ),
)
_OURS = (
    _histogram("midwatch_step_seconds", "midwatch_step", "Wall time of a step, a CPU limit's stretching in it."),
    _counter("midwatch_step_cpu_seconds", "CPU time of the thread that computes."),
    _counter("midwatch_cpu_periods", "Periods of 0.1 s in which there was something to compute.", option=CPU_LIMIT),
    _counter("midwatch_cpu_throttled_periods", "Those of them in which the CPU limit made it wait.", option=CPU_LIMIT),
    _counter("midwatch_cpu_throttled_seconds", "Seconds for which the CPU limit made it wait.", option=CPU_LIMIT),
    _gauge("midwatch_queue_oldest_seconds", "How long the longest waiting request has waited; 0 with an empty queue."),
    Family(
        "midwatch_energy_joules",
        "counter",
        "Estimate of the energy used since the start. method=rapl_package: the processors' own counters, whoever used "
        "them; method=cpu_time: this process' CPU seconds times --watts-per-core.",
        ("method",),
    ),
    _gauge(
        "midwatch_model_info",
        "What is served, in labels; the value is 1.",
        "root",
        "architecture",
        "layers",
        "hidden_size",
        "parameters",
        "max_model_len",
        "version",
    ),
    _gauge("midwatch_config_version", "Version of the resource at /admin/config."),
)
FAMILIES: dict[str, Family] = {family.name: family for family in (*_GAUGES, *_COUNTERS, *_HISTOGRAMS, *_MFU, *_OURS)}
"""In the order of exposition."""
