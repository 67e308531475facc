"""Measures the engine and its peers in turns: ours, theirs, ours, theirs, so that a slow minute is nobody's own."""

import contextlib
import sys
import time
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
    budget_s: float = 900.0
    """Seconds to measure in, about."""
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


class Budget:
    """Time for so many groups of figures; what one leaves goes to those after it.

    Two threads that wait for each other in a spin, as llama.cpp's do, can take fifty times as long on a busy machine.
    """

    def __init__(self, seconds: float, groups: int) -> None:
        self._ends = time.monotonic() + seconds
        self._groups = groups

    def share(self) -> float:
        """Return when the next group should end, on the monotonic clock."""
        now = time.monotonic()
        share = 2 / max(2, self._groups + 1)  # of what is left: the first ones are the long ones
        self._groups -= 1
        return now + share * (self._ends - now)


async def run(setup: Setup, comparisons: Sequence[Comparison], emit: Emit) -> list[str]:
    """Measure, and hand out each figure as soon as it is there; return what went wrong, a line each.

    The engines are measured first, and are gone when the server is.
    """
    over_http = [one for one in comparisons if HTTP in (one.ours, one.theirs)]
    in_process = [one for one in comparisons if one not in over_http]
    budget = Budget(setup.budget_s, len(_groups(comparisons)))
    failures: list[str] = []
    if in_process:
        async with contextlib.AsyncExitStack() as stack:
            stage = _Stage(setup, stack, failures)
            await stage.engines(in_process)
            failures += await measure_all(stage.workers, in_process, setup.pairs, budget, emit)
    if over_http:
        async with contextlib.AsyncExitStack() as stack:
            stage = _Stage(setup, stack, failures)
            await stage.server()
            failures += await measure_all(stage.workers, over_http, setup.pairs, budget, emit)
    return failures


async def measure_all(
    workers: Mapping[str, Worker], comparisons: Sequence[Comparison], pairs: int, budget: Budget, emit: Emit
) -> list[str]:
    """Hand out the figures of those comparisons whose workers run; return what failed."""
    failures: list[str] = []
    for asked in _groups(comparisons):
        ends = budget.share()
        group = [Turns(one, workers) for one in asked if one.ours in workers and one.theirs in workers]
        failures += [
            f"{one.name}: a worker of it does not run" for one in asked if not {one.ours, one.theirs} <= {*workers}
        ]
        if not group:
            continue
        count = pairs * asked[0].rounds
        say(f"measuring {', '.join(turns.comparison.name for turns in group)}: {count} pairs …")
        for turns in await _measure(group, count, ends):
            if turns.failure is not None:
                failures.append(f"{turns.comparison.name}: {turns.failure}")
                continue
            figure = turns.figure()
            emit(figure)
            say(f"  {turns.about(figure)}")
    return failures


def _groups(comparisons: Sequence[Comparison]) -> list[list[Comparison]]:
    """Put those together that have the engine do the same."""
    return [
        list(group)
        for _, group in groupby(comparisons, key=lambda one: (one.ours, one.rounds, tuple(one.command.items())))
    ]


async def _measure(group: list["Turns"], pairs: int, ends: float) -> list["Turns"]:
    """Measure `pairs` of each, or as many as there are until `ends`, one at least."""
    for turns in group:
        await turns.warm_up()
    for pair in range(pairs):
        for turns in group:
            await turns.pair(pair + 1)
        if pair + 1 < pairs and time.monotonic() > ends:
            say(f"  out of time after {pair + 1} of {pairs} pairs: this machine is slow, or busy")
            break
    return group


class Turns:
    """The pairs of one comparison, as far as they are measured."""

    def __init__(self, comparison: Comparison, workers: Mapping[str, Worker]) -> None:
        self.comparison = comparison
        self.failure: str | None = None
        """Why nothing more is measured."""
        self._ours, self._theirs = workers[comparison.ours], workers[comparison.theirs]
        self._pairs: list[tuple[Measured, Measured]] = []

    async def warm_up(self) -> None:
        """Have both do it once, with few tokens."""
        await self._both(0, _shortened)

    async def pair(self, seed: int) -> None:
        """Have ours measure, then theirs."""
        found = await self._both(seed, dict)
        if found is not None:
            self._pairs.append(found)

    async def _both(
        self, seed: int, shape: Callable[[Mapping[str, Any]], dict[str, Any]]
    ) -> tuple[Measured, Measured] | None:
        if self.failure is not None:
            return None
        one = self.comparison
        try:
            ours = await self._ours.measure(_seeded(shape(one.command), seed))
            return ours, await self._theirs.measure(_seeded(shape(one.their_command), seed))
        except WorkerError as error:
            self.failure = str(error)
            return None

    def figure(self) -> Figure:
        """Return the figure of the pairs."""
        one = self.comparison
        if isinstance(one, Bandwidth):
            one = self.comparison = replace(one, weight_bytes=int(self._ours.facts["weight_bytes"]))
        return one.figure([ours for ours, _ in self._pairs], [theirs for _, theirs in self._pairs])

    def about(self, figure: Figure) -> str:
        """Return a line about the figure for people."""
        spreads = [_spread([pair[side] for pair in self._pairs]) for side in (0, 1)]
        return (
            f"{figure.name}: {figure.value:g} {figure.unit} beside {figure.baseline:g}, ratio {figure.ratio:g} "
            f"(spread {' and '.join(spreads)}), {self.comparison.verdict(figure)}".rstrip(", ")
        )


def _shortened(command: Mapping[str, Any]) -> dict[str, Any]:
    return {**command, "tokens": WARM_UP_TOKENS} if command["measure"] == "decode" else {**command}


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
