"""The server's options, read once from arguments and environment."""

import argparse
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from midwatch_contracts.command import CommandError
from midwatch_serving.access import Rate
from midwatch_serving.buckets import Boundaries, parse_custom
from midwatch_serving.errors import ConfigError
from midwatch_serving.loading import Arithmetic, ModelChoice

CPU_LIMIT_VARIABLE = "MIDWATCH_CPU_LIMIT"
API_KEY_VARIABLES = ("MIDWATCH_API_KEY", "VLLM_API_KEY")
MOST_THREADS = 64
_QUANTITY = re.compile(r"(\d+(?:\.\d+)?)(m?)")


@dataclass(frozen=True)
class Options:
    """What `midwatch serve` was asked for; names as vLLM's."""

    host: str
    port: int
    executor: str
    cost_model: str | None
    served_model_name: str
    choice: ModelChoice
    arithmetic: Arithmetic
    seed: int
    max_num_seqs: int
    max_num_batched_tokens: int
    num_gpu_blocks_override: int
    block_size: int
    max_model_len: int
    enable_prefix_caching: bool
    enable_chunked_prefill: bool
    long_prefill_token_threshold: int
    scheduling_policy: str
    max_num_queued_reqs: int | None
    max_num_queued_tokens: int | None
    watermark: float
    cpu_limit: float | None
    api_keys: tuple[str, ...]
    rate_limit: Rate | None
    max_connections: int | None
    fine_buckets: bool
    custom_buckets: dict[str, Boundaries]
    enable_mfu_metrics: bool
    watts_per_core: float | None
    otlp_traces_endpoint: str | None
    exit_with_stdin: bool
    shutdown_grace: float
    config_store: Path | None
    json: bool


def parse_options(arguments: argparse.Namespace, environment: Mapping[str, str], state: Path | None = None) -> Options:
    """Return the options. `state` is the state folder, by default where the environment or the system has it.

    Raises:
        CommandError: when a value makes no sense.
    """
    state = state or Path(
        environment.get("MIDWATCH_STATE") or platformdirs.user_state_path("midwatch", appauthor=False)
    )
    if not 1 <= arguments.kernel_threads <= MOST_THREADS:
        raise CommandError(f"--kernel-threads {arguments.kernel_threads}: give 1 to {MOST_THREADS}")
    cpu = arguments.cpu_limit or environment.get(CPU_LIMIT_VARIABLE) or None
    if not 0 <= arguments.port <= 65535:  # noqa: PLR2004 (the last port)
        raise CommandError(f"--port {arguments.port}: ports go from 0 (any free one) to 65535")
    if not 0 <= arguments.seed < 2**63:
        raise CommandError(f"--seed {arguments.seed}: give a whole number from 0 to 2^63 - 1")
    if not (math.isfinite(arguments.shutdown_grace) and arguments.shutdown_grace >= 0):
        raise CommandError(f"--shutdown-grace {arguments.shutdown_grace}: give seconds, 0 or more")
    if arguments.max_connections is not None and arguments.max_connections < 1:
        raise CommandError(f"--max-connections {arguments.max_connections}: give 1 or more")
    watts = arguments.watts_per_core
    if watts is not None and not (math.isfinite(watts) and watts > 0):
        raise CommandError(f"--watts-per-core {watts}: give watts, more than 0")
    return Options(
        host=arguments.host,
        port=arguments.port,
        executor=arguments.executor,
        cost_model=arguments.cost_model,
        served_model_name=arguments.served_model_name or Path(arguments.model).name.removesuffix(".gguf"),
        choice=ModelChoice(arguments.model, arguments.seed, arguments.download_dir or state / "models"),
        arithmetic=Arithmetic(
            arguments.kernel,
            arguments.kernel_threads,
            arguments.kernel_cache or platformdirs.user_cache_path("midwatch", appauthor=False) / "kernels",
        ),
        seed=arguments.seed,
        max_num_seqs=arguments.max_num_seqs,
        max_num_batched_tokens=arguments.max_num_batched_tokens,
        num_gpu_blocks_override=arguments.num_gpu_blocks_override,
        block_size=arguments.block_size,
        max_model_len=arguments.max_model_len,
        enable_prefix_caching=arguments.enable_prefix_caching,
        enable_chunked_prefill=arguments.enable_chunked_prefill,
        long_prefill_token_threshold=arguments.long_prefill_token_threshold,
        scheduling_policy=arguments.scheduling_policy,
        max_num_queued_reqs=arguments.max_num_queued_reqs,
        max_num_queued_tokens=arguments.max_num_queued_tokens,
        watermark=arguments.watermark,
        cpu_limit=None if cpu is None else cores(cpu),
        api_keys=_keys(arguments.api_key, environment),
        rate_limit=None if arguments.rate_limit is None else Rate.parse(arguments.rate_limit),
        max_connections=arguments.max_connections,
        fine_buckets=arguments.fine_buckets,
        custom_buckets=_buckets(arguments.custom_histogram_buckets),
        enable_mfu_metrics=arguments.enable_mfu_metrics,
        watts_per_core=arguments.watts_per_core,
        otlp_traces_endpoint=arguments.otlp_traces_endpoint,
        exit_with_stdin=arguments.exit_with_stdin,
        shutdown_grace=arguments.shutdown_grace,
        config_store=arguments.config_store,
        json=arguments.json,
    )


def _keys(given: list[str] | None, environment: Mapping[str, str]) -> tuple[str, ...]:
    keys = given or [environment[name] for name in API_KEY_VARIABLES if environment.get(name)][:1]
    if not all(keys):
        raise CommandError("--api-key: a key is empty")
    return tuple(keys)


def _buckets(text: str | None) -> dict[str, Boundaries]:
    if text is None:
        return {}
    try:
        return parse_custom(text)
    except ConfigError as error:
        raise CommandError(f"--{str(error).replace('_', '-', error.field.count('_'))}") from error


def cores(text: str) -> float:
    """Read a number of CPU cores, `0.25` or Kubernetes' `250m`.

    Raises:
        CommandError: when it is neither, or 0.
    """
    found = _QUANTITY.fullmatch(text.strip())
    value = 0.0 if found is None else float(found[1]) * (0.001 if found[2] else 1)
    if value <= 0:
        raise CommandError(f"CPU limit {text!r}: give cores as 0.25 or 250m (--cpu-limit, or {CPU_LIMIT_VARIABLE})")
    return value
