"""The server's options, read once from arguments and environment."""

import argparse
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from midwatch_contracts.command import CommandError

CPU_LIMIT_VARIABLE = "MIDWATCH_CPU_LIMIT"
_QUANTITY = re.compile(r"(\d+(?:\.\d+)?)(m?)")


@dataclass(frozen=True)
class Options:
    """What `midwatch serve` was asked for; names as vLLM's."""

    host: str
    port: int
    served_model_name: str
    seed: int
    max_num_seqs: int
    max_num_batched_tokens: int
    num_gpu_blocks_override: int
    block_size: int
    max_model_len: int
    cpu_limit: float | None
    fine_buckets: bool
    exit_with_stdin: bool
    shutdown_grace: float
    config_store: Path | None
    json: bool


def parse_options(arguments: argparse.Namespace, environment: Mapping[str, str]) -> Options:
    """Return the options.

    Raises:
        CommandError: when a value makes no sense.
    """
    cpu = arguments.cpu_limit or environment.get(CPU_LIMIT_VARIABLE) or None
    if not 0 <= arguments.port <= 65535:  # noqa: PLR2004 (the last port)
        raise CommandError(f"--port {arguments.port}: ports go from 0 (any free one) to 65535")
    if not 0 <= arguments.seed < 2**63:
        raise CommandError(f"--seed {arguments.seed}: give a whole number from 0 to 2^63 - 1")
    if not (math.isfinite(arguments.shutdown_grace) and arguments.shutdown_grace >= 0):
        raise CommandError(f"--shutdown-grace {arguments.shutdown_grace}: give seconds, 0 or more")
    return Options(
        host=arguments.host,
        port=arguments.port,
        served_model_name=arguments.served_model_name or arguments.model,
        seed=arguments.seed,
        max_num_seqs=arguments.max_num_seqs,
        max_num_batched_tokens=arguments.max_num_batched_tokens,
        num_gpu_blocks_override=arguments.num_gpu_blocks_override,
        block_size=arguments.block_size,
        max_model_len=arguments.max_model_len,
        cpu_limit=None if cpu is None else cores(cpu),
        fine_buckets=arguments.fine_buckets,
        exit_with_stdin=arguments.exit_with_stdin,
        shutdown_grace=arguments.shutdown_grace,
        config_store=arguments.config_store,
        json=arguments.json,
    )


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
