"""Measures the engine and its peers in turns: ours, theirs, ours, theirs, so that a slow minute is nobody's own."""

import contextlib
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any

from midwatch_contracts.figure import Figure
from midwatch_serving.errors import WorkerError
from midwatch_serving.peers.child import START_S, Worker, started
from midwatch_serving.peers.environment import SOURCES
from midwatch_serving.peers.figures import (
    CONTEXT,
    ENGINE,
    ENGINE_1,
    HTTP,
    HTTP_DECODED,
    OPENVINO,
    PEERS,
    XLLAMACPP,
    Bandwidth,
    Comparison,
)
from midwatch_serving.peers.worker import Measured

MOST_SEQUENCES = 16
BLOCK = 16
WARM_UP_TOKENS = 8
KERNEL_THREADS = 2

Emit = Callable[[Figure], None]


@dataclass(frozen=True)
class Setup:
    """What is compared."""

    model: str
    """A file, or a name that the server knows."""
    folder: Path
    """For compiled kernels, packed weights and logs."""
    pairs: int
    python: Path | None = None
    """That of the peers' environment, where a peer is compared."""

    @property
    def logs(self) -> Path:
        """The folder of the workers' logs."""
        return self.folder / "logs"

    def engine_arguments(self, threads: int) -> list[str]:
        """Return the arguments of `midwatch serve` for every engine here: a budget that takes the prompts whole."""
        blocks = MOST_SEQUENCES * -(-(CONTEXT + HTTP_DECODED) // BLOCK)
        return [
            *("--model", self.model, "--kernel-threads", str(threads), "--kernel-cache", str(self.folder / "kernels")),
            *("--max-num-seqs", str(MOST_SEQUENCES), "--max-num-batched-tokens", str(MOST_SEQUENCES * CONTEXT)),
            *("--num-gpu-blocks-override", str(blocks), "--block-size", str(BLOCK), "--max-model-len", "1024"),
            "--no-enable-prefix-caching",
        ]


async def run(setup: Setup, comparisons: Sequence[Comparison], emit: Emit) -> list[str]:
    """Measure, and hand out each figure as soon as it is there; return what went wrong, a line each.

    The engines are measured first, and are gone when the server is.
    """
    over_http = [one for one in comparisons if HTTP in (one.ours, one.theirs)]
    in_process = [one for one in comparisons if one not in over_http]
    failures: list[str] = []
    if in_process:
        async with contextlib.AsyncExitStack() as stack:
            stage = _Stage(setup, stack, failures)
            await stage.engines(in_process)
            failures += await measure_all(stage.workers, in_process, setup.pairs, emit)
    if over_http:
        async with contextlib.AsyncExitStack() as stack:
            stage = _Stage(setup, stack, failures)
            await stage.server()
            failures += await measure_all(stage.workers, over_http, setup.pairs, emit)
    return failures


async def measure_all(
    workers: Mapping[str, Worker], comparisons: Sequence[Comparison], pairs: int, emit: Emit
) -> list[str]:
    """Hand out the figures of those comparisons whose workers run; return what failed."""
    failures: list[str] = []
    for _, group in groupby(comparisons, key=lambda one: (one.ours, one.rounds, tuple(one.command.items()))):
        asked = list(group)
        several = [one for one in asked if one.ours in workers and one.theirs in workers]
        failures += [f"{one.name}: a worker of it does not run" for one in asked if one not in several]
        if not several:
            continue
        names = ", ".join(one.name for one in several)
        say(f"measuring {names}: {pairs * several[0].rounds} pairs …")
        try:
            found = await _measure(workers, several, pairs * several[0].rounds)
        except WorkerError as error:
            failures.append(f"{names}: {error}")
            continue
        for one, (ours, theirs) in zip(several, found, strict=True):
            comparison = one
            if isinstance(one, Bandwidth):
                comparison = replace(one, weight_bytes=int(workers[one.ours].facts["weight_bytes"]))
            figure = comparison.figure(ours, theirs)
            emit(figure)
            say(
                f"  {one.name}: {figure.value:g} {figure.unit} beside {figure.baseline:g}, ratio {figure.ratio:g} "
                f"(spread {_spread(ours)} and {_spread(theirs)}) {comparison.verdict(figure)}"
            )
    return failures


async def _measure(
    workers: Mapping[str, Worker], comparisons: Sequence[Comparison], pairs: int
) -> list[tuple[list[Measured], list[Measured]]]:
    """Return what each comparison's pairs yielded: of ours, and of theirs."""
    found: list[tuple[list[Measured], list[Measured]]] = [([], []) for _ in comparisons]
    for one in comparisons:
        for name, command in ((one.ours, one.command), (one.theirs, one.their_command)):
            await workers[name].measure(_seeded({**command, **_shortened(command)}, 0))
    for pair in range(pairs):
        for one, (ours, theirs) in zip(comparisons, found, strict=True):
            ours.append(await workers[one.ours].measure(_seeded(one.command, pair + 1)))
            theirs.append(await workers[one.theirs].measure(_seeded(one.their_command, pair + 1)))
    return found


def _shortened(command: Mapping[str, Any]) -> dict[str, Any]:
    return {"tokens": WARM_UP_TOKENS} if command["measure"] == "decode" else {}


def _seeded(command: Mapping[str, Any], seed: int) -> dict[str, Any]:
    return {**command} if command["measure"] == "read" else {**command, "seed": seed}


def _spread(measured: Sequence[Measured]) -> str:
    rates = sorted(one.rate for one in measured)
    return f"{rates[-1] / rates[0] - 1:.0%}"


class _Stage:
    """Workers that run at the same time, and what went wrong with those that do not."""

    def __init__(self, setup: Setup, stack: contextlib.AsyncExitStack, failures: list[str]) -> None:
        self.workers: dict[str, Worker] = {}
        self._setup = setup
        self._stack = stack
        self._failures = failures

    async def engines(self, comparisons: Sequence[Comparison]) -> None:
        """Start the engine with two threads, and those of its peers that are compared."""
        engine = self._setup.engine_arguments(KERNEL_THREADS)
        memory = ["--memory"] if any(isinstance(one, Bandwidth) for one in comparisons) else []
        await self._worker(ENGINE, [*_module("engine_worker"), *engine, *memory])
        python = self._setup.python
        for peer, module in ((OPENVINO, "openvino_worker"), (XLLAMACPP, "xllamacpp_worker")):
            if python is not None and any(one.theirs == peer for one in comparisons):
                arguments = ["--model", self._setup.model, "--threads", str(KERNEL_THREADS)]
                await self._worker(peer, [*_module(module, python), *arguments])

    async def server(self) -> None:
        """Start the engine with one thread, a server of the same, and a client of that."""
        arguments = self._setup.engine_arguments(1)
        await self._worker(ENGINE_1, [*_module("engine_worker"), *arguments])
        if ENGINE_1 not in self.workers:
            return
        serve = [sys.executable, "-m", "midwatch_serving", "--port", "0", "--json", "--exit-with-stdin", *arguments]
        server = await self._stack.enter_async_context(started("serve", serve, self._setup.logs))
        try:
            url = str((await server.line(START_S))["url"])
        except WorkerError as error:
            self._failures.append(str(error))
            return
        vocab = str(self.workers[ENGINE_1].facts["vocab"])
        await self._worker(HTTP, [*_module("http_worker"), "--url", url, "--vocab", vocab])

    async def _worker(self, name: str, command: Sequence[str | Path]) -> None:
        """Start a worker; one that does not start is a failure, and left out."""
        say(f"starting {name} …")
        environment = {"PYTHONPATH": str(SOURCES)} if name in PEERS else {}
        try:
            process = await self._stack.enter_async_context(started(name, command, self._setup.logs, environment))
            self.workers[name] = await Worker.ready(process)
        except WorkerError as error:
            self._failures.append(str(error))


def _module(name: str, python: Path = Path(sys.executable)) -> list[str | Path]:
    return [python, "-m", f"midwatch_serving.peers.{name}"]


def say(line: str) -> None:
    """Write a line for people."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()
