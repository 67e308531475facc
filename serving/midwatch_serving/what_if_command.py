"""`midwatch what-if`: asks a server about itself, or simulates here with a cost model by name."""

import argparse
import json
import sys
from typing import Any

import httpx2
from pydantic import ValidationError

from midwatch_contracts.command import CommandError, Settings
from midwatch_contracts.exit_codes import Exit
from midwatch_serving.bench_serve import api_key
from midwatch_serving.commands import configure
from midwatch_serving.cost_model import CostModel, load
from midwatch_serving.errors import ConfigError, CostModelError, WorkloadError
from midwatch_serving.options import cores
from midwatch_serving.settings import SETTINGS, Value, Values
from midwatch_serving.what_if import Situation, WhatIfBody, answer, proposed_values
from midwatch_serving.what_if_text import table

DEFAULT_COST_MODEL = "cpu-tiny"
TIMEOUT_S = 60.0


def run(arguments: argparse.Namespace, settings: Settings | None = None) -> int:
    """Answer, as a table or as JSON."""
    del settings
    found = _of_server(arguments) if arguments.url else _here(arguments)
    sys.stdout.write((json.dumps(found) if arguments.json else table(found)) + "\n")
    return Exit.OK


def question(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the body of the question, as `POST /admin/what-if` takes it.

    Raises:
        CommandError: when a setting is not written as NAME=VALUE.
    """
    flags = ("max_num_seqs", "max_num_batched_tokens", "num_gpu_blocks_override")
    config = {name: getattr(arguments, name) for name in flags if getattr(arguments, name) is not None}
    lengths = ("rate", "concurrency", "cv", "prompt_tokens", "output_tokens", "length_sigma", "requests", "seed")
    slo = {"ttft_s": arguments.ttft_ms, "tpot_s": arguments.tpot_ms}
    return {
        "config": {**config, **_assignments("--config", arguments.config)},
        "replicas": arguments.replicas,
        "balancer": arguments.balancer,
        "load": {name: getattr(arguments, name) for name in lengths},
        "slo": {name: None if ms is None else ms / 1000 for name, ms in slo.items()},
        "cost_model": arguments.cost_model,
    }


def _of_server(arguments: argparse.Namespace) -> dict[str, Any]:
    if arguments.current or arguments.cpu_limit:
        raise CommandError("--current and --cpu-limit describe a server that is not there: leave them out with --url")
    key = api_key()
    headers = {} if key is None else {"authorization": f"Bearer {key}"}
    url = f"{arguments.url.rstrip('/')}/admin/what-if"
    try:
        response = httpx2.post(url, json=question(arguments), headers=headers, timeout=TIMEOUT_S)
    except httpx2.HTTPError as error:
        raise CommandError(f"{arguments.url} cannot be reached: {error or type(error).__name__}") from error
    try:
        found: dict[str, Any] = response.json()
    except ValueError as error:
        raise CommandError(f"{url} answered {response.status_code} and no JSON: no Midwatch server?") from error
    if not response.is_success:
        problem = found.get("error", {})
        raise CommandError(f"{arguments.url} answered {response.status_code}: {problem.get('message', found)}")
    return found


def _here(arguments: argparse.Namespace) -> dict[str, Any]:
    try:
        cost = load(arguments.cost_model or DEFAULT_COST_MODEL)
        values = present_values(cost, _assignments("--current", arguments.current))
        limit = None if arguments.cpu_limit is None else cores(arguments.cpu_limit)
        return answer(WhatIfBody.model_validate(question(arguments)), Situation(values, cost, limit))
    except (CostModelError, ConfigError, WorkloadError) as error:
        raise CommandError(str(error)) from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        raise CommandError(f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}") from error


def present_values(cost: CostModel, changes: dict[str, Value]) -> Values:
    """Return `midwatch serve`'s defaults over the cost model's cache, with changes.

    Raises:
        ConfigError: names the field and the reason.
    """
    parser = argparse.ArgumentParser()
    configure(parser)
    defaults = vars(parser.parse_args([]))
    values: Values = {name: defaults[name] for name in SETTINGS}
    if not cost.name.startswith("cpu-"):
        values |= {"num_gpu_blocks_override": cost.cache.num_blocks, "block_size": cost.cache.block_size}
        values |= {"max_num_seqs": 128, "max_num_batched_tokens": 2048, "max_model_len": min(cost.max_model_len, 16384)}
    return proposed_values(values, changes)


def _assignments(flag: str, words: list[str]) -> dict[str, Value]:
    found: dict[str, Value] = {}
    for word in words:
        name, separator, value = word.partition("=")
        if not separator:
            raise CommandError(f"{flag} {word}: give NAME=VALUE")
        try:
            found[name.replace("-", "_")] = json.loads(value)
        except ValueError:
            found[name.replace("-", "_")] = value
    return found
