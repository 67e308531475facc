"""`midwatch bench serve`: a load on a server over HTTP, and the figures that `vllm bench serve` gives."""

import argparse
import asyncio
import contextlib
import json
import math
import os
import sys
from collections.abc import AsyncGenerator, Mapping
from pathlib import Path
from typing import Any

import httpx2

from midwatch_contracts.command import CommandError, Settings
from midwatch_contracts.exit_codes import Exit
from midwatch_serving.errors import WorkloadError
from midwatch_serving.latency import Objectives, Report
from midwatch_serving.load_client import TIMEOUT, LoadClient, Results
from midwatch_serving.traces import read_traces
from midwatch_serving.workload import (
    SHAREGPT,
    Fixed,
    Gamma,
    Request,
    Workload,
    at_rate,
    fitted,
    synthesise,
)

HEADROOM = 0.95
"""Share of the model's length that a prompt is made for, since words are counted and tokens are not."""
PROGRESS_S = 1.0
QUIET_PROGRESS_S = 10.0
"""Seconds between two lines of progress where nobody looks at a terminal."""
KEY_VARIABLES = ("MIDWATCH_API_KEY", "OPENAI_API_KEY")


def serve(arguments: argparse.Namespace, settings: Settings | None = None) -> int:
    """Run a load and print its figures; those measured so far when interrupted."""
    del settings
    objectives = parse_goodput(arguments.goodput or [])
    try:
        workload = load_of(arguments)
    except WorkloadError as error:
        raise CommandError(str(error)) from error
    results = Results(asked=len(workload.requests))
    key = api_key()
    interrupted = False
    try:
        asyncio.run(_run(arguments, workload, results, key))
    except KeyboardInterrupt:
        interrupted = True
    except WorkloadError as error:
        raise CommandError(str(error)) from error
    except httpx2.HTTPError as error:
        raise CommandError(f"{arguments.url} cannot be reached: {error or type(error).__name__}") from error
    found = results.report(objectives)
    sys.stdout.write(_output(arguments, found, results, objectives))
    if interrupted:
        return Exit.INTERRUPTED
    return Exit.OK if found.completed else Exit.UNSETTLED


def api_key() -> str | None:
    """Return the key that the environment holds for servers that ask for one."""
    return next((os.environ[name] for name in KEY_VARIABLES if os.environ.get(name)), None)


def load_of(arguments: argparse.Namespace) -> Workload:
    """Return the load that the arguments describe.

    Raises:
        WorkloadError: when they make none.
    """
    count, rate, concurrency = arguments.num_prompts, arguments.rate, arguments.concurrency
    if rate is not None and concurrency is not None:
        raise WorkloadError("--rate and --concurrency: a load has one of them")
    if arguments.traces is not None:
        trace = read_traces(Path(arguments.traces), limit=count, seed=arguments.seed)
        if concurrency is not None:
            return Workload(trace.requests, _whole(concurrency), trace.about)
        return trace if rate is None else _at_once(trace) if math.isinf(rate) else at_rate(trace, rate)
    lengths = SHAREGPT if arguments.prompt_tokens is None else Fixed(arguments.prompt_tokens, arguments.output_tokens)
    if concurrency is not None:
        return synthesise(lengths, count, seed=arguments.seed, concurrency=concurrency)
    if rate is None or math.isinf(rate):
        return _at_once(synthesise(lengths, count, seed=arguments.seed, concurrency=1))
    return synthesise(lengths, count, seed=arguments.seed, arrivals=Gamma(rate, arguments.cv))


def _whole(concurrency: int) -> int:
    if concurrency < 1:
        raise WorkloadError(f"a concurrency of {concurrency}: give 1 or more")
    return concurrency


def _at_once(workload: Workload) -> Workload:
    requests = (Request(0.0, r.prompt_tokens, r.output_tokens, r.prefix) for r in workload.requests)
    return Workload(tuple(requests), about=workload.about)


def parse_goodput(words: list[str]) -> Objectives:
    """Read vLLM's form of objectives, such as `ttft:200 tpot:50 e2el:3000`, in milliseconds.

    Raises:
        CommandError: names the word at fault.
    """
    names = {"ttft": "ttft_s", "tpot": "tpot_s", "e2el": "e2e_s", "e2e": "e2e_s"}
    found: dict[str, float] = {}
    for word in words:
        name, _, value = word.partition(":")
        try:
            seconds = float(value) / 1000
        except ValueError:
            seconds = math.nan
        if name not in names or not (math.isfinite(seconds) and seconds > 0):
            raise CommandError(f"--goodput {word}: give ttft:MS, tpot:MS or e2el:MS, with milliseconds above 0")
        found[names[name]] = seconds
    return Objectives(**found)


async def _run(arguments: argparse.Namespace, workload: Workload, results: Results, key: str | None) -> None:
    headers = {} if key is None else {"authorization": f"Bearer {key}"}
    limits = httpx2.Limits(max_connections=None, max_keepalive_connections=None)
    async with httpx2.AsyncClient(base_url=arguments.url, headers=headers, timeout=TIMEOUT, limits=limits) as http:
        client = LoadClient(http, seed=arguments.seed)
        target = await client.find(arguments.model)
        if target.max_model_len is not None:
            workload = fitted(workload, math.floor(HEADROOM * target.max_model_len))
        source = f" of {workload.about}" if workload.about else ""
        _say(f"{target.model} at {arguments.url}: {results.asked} requests{source}")
        async with _progress(results):
            await client.run(workload, target, results)


@contextlib.asynccontextmanager
async def _progress(results: Results) -> AsyncGenerator[None]:
    """Say now and then how far it is; on a terminal in one line that is written over."""
    live = sys.stderr.isatty()

    async def tell() -> None:
        while True:
            await asyncio.sleep(PROGRESS_S if live else QUIET_PROGRESS_S)
            line = f"{results.done}/{results.asked} done, {results.running} running"
            sys.stderr.write(f"\r{line:<60}" if live else line + "\n")
            sys.stderr.flush()

    task = asyncio.create_task(tell())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})
        if live:
            sys.stderr.write("\r" + " " * 60 + "\r")


def _output(arguments: argparse.Namespace, found: Report, results: Results, objectives: Objectives) -> str:
    if arguments.json:
        body: Mapping[str, Any] = {
            "url": arguments.url,
            "asked": results.asked,
            "errors": dict(results.errors),
            "objectives": vars(objectives),
            **found.body(),
        }
        return json.dumps(body) + "\n"
    return "\n".join(_lines(found, results)) + "\n"


def _lines(found: Report, results: Results) -> list[str]:
    body = found.body()
    lines = [f"{'requests completed / failed / asked':<38}{found.completed} / {found.failed} / {results.asked}"]
    lines += [f"  {count} x {why}" for why, count in results.errors.most_common()]
    for label, name in (
        ("duration, s", "duration_s"),
        ("prompt tokens", "prompt_tokens"),
        ("output tokens", "output_tokens"),
        ("requests/s", "request_throughput"),
        ("output tokens/s", "output_throughput"),
        ("tokens/s, prompts too", "total_throughput"),
        ("goodput, requests/s", "goodput"),
        ("share of requests that were good", "good_share"),
    ):
        if body[name] is not None:
            lines.append(f"{label:<38}{body[name]}")
    lines.append(f"{'ms':<12}{'mean':>12}{'p50':>12}{'p95':>12}{'p99':>12}")
    for name in ("ttft", "tpot", "itl", "e2e"):
        values = body[f"{name}_ms"]
        cells = ["-"] * 4 if values is None else [f"{values[part]:.2f}" for part in ("mean", "p50", "p95", "p99")]
        lines.append(f"{name.upper():<12}" + "".join(f"{cell:>12}" for cell in cells))
    return lines


def _say(message: str) -> None:
    sys.stderr.write(message + "\n")
