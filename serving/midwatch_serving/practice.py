"""What steps and the Python around them take while the engine serves: practice loads, and their steps one by one.

A batch that is run alone, again and again, finds its code and data in the caches; one between decodes of others does
not, and the event loop's work takes the interpreter from it. So a cost model is fitted to steps in service too, and a
machine's pace is told by a load in service. Practice loads are closed loops: the engine never waits for a request.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from midwatch_serving.calibration import Bounds
from midwatch_serving.cost_model import CostModel, Overhead
from midwatch_serving.deployment import Deployment
from midwatch_serving.engine import Engine
from midwatch_serving.nnls import nnls
from midwatch_serving.replay import replay
from midwatch_serving.watched import Step, WatchedExecutor
from midwatch_serving.workload import Fixed, Gamma, Lengths, LogNormal, Workload, synthesise

_STRANGE = 8
"""A gap of so many times the median is a neighbour's turn on the processor, and tells nothing of ours."""
_PACE_SEED = 977


@dataclass(frozen=True)
class Subject:
    """What is measured: a running engine and its executor."""

    engine: Engine
    executor: WatchedExecutor
    """The engine's own; it is probed while the engine idles."""
    bounds: Bounds
    deployment: Deployment
    kernel: str
    """The arithmetic's name."""


def practice(bounds: Bounds, *, seed: int) -> list[Workload]:
    """Return closed loops of few and of many requests, with short, usual and long prompts."""
    longest = min(bounds.max_model_len, bounds.num_blocks * bounds.block_size)
    usual = LogNormal(min(96, longest // 4), 0.8, output_median=24, output_sigma=0.6, least=4, most=longest // 2)
    long = LogNormal(longest // 3, 0.5, output_median=12, output_sigma=0.5, least=4, most=int(0.6 * longest))
    most = bounds.max_num_seqs
    plan: list[tuple[Lengths, int, int]] = [(usual, 1, 8), (long, 1, 4)]
    plan += [(usual, size, 10 + 2 * size) for size in sorted({2, max(2, most // 2), most, 2 * most})]
    plan += [(long, size, 4 + 2 * size) for size in sorted({2, most})]
    return [
        synthesise(lengths, count, seed=seed + number, concurrency=size)
        for number, (lengths, size, count) in enumerate(plan)
    ]


async def serve(subject: Subject, loads: Iterable[Workload], *, seed: int) -> list[list[Step]]:
    """Serve each load in turn and return the steps of each."""
    taken: list[list[Step]] = []
    for number, load in enumerate(loads):
        subject.executor.take()
        await replay(subject.engine, load, tokens=subject.bounds.tokens, seed=seed + number)
        taken.append(subject.executor.take())
    return taken


def between(runs: Iterable[Sequence[Step]]) -> tuple[float, float]:
    """Return the seconds of Python before a step, and those for each sequence of it, from closed loops' steps."""
    sizes, gaps = list[float](), list[float]()
    for steps in runs:
        found = [(b.shape.decodes + b.shape.prefills, b.began - a.ended) for a, b in pairwise(steps)]
        usual = float(np.median([gap for _, gap in found])) if found else 0.0
        for size, gap in found:
            if gap <= _STRANGE * usual:
                sizes.append(size)
                gaps.append(gap)
    step, sequence = nnls(np.column_stack([np.ones(len(sizes)), sizes]), np.array(gaps))
    return float(step), float(sequence)


async def overhead(subject: Subject, runs: Iterable[Sequence[Step]], *, seed: int) -> Overhead:
    """Return the Python between two steps, and what the first step after a pause takes more than another."""
    step, sequence = between(runs)
    return Overhead(step=step, sequence=sequence, wake=await _wake(subject, seed))


async def _wake(subject: Subject, seed: int) -> float:
    """Return the seconds of CPU that a lone prompt takes more than the same without a pause before it."""
    shape = Fixed(64, 2)
    loads = [
        synthesise(shape, 16, seed=seed, arrivals=Gamma(5.0, cv=0)),
        synthesise(shape, 24, seed=seed, concurrency=1),
    ]
    runs = await serve(subject, loads, seed=seed)
    paused, busy = (float(np.median([step.cpu_s for step in steps if step.shape.prefills])) for steps in runs)
    return max(0.0, paused - busy)


async def pace(subject: Subject, cost: CostModel) -> float:
    """Return how many times as long as `cost` says a short load takes at this moment, steps and what lies between.

    Caches, clocks and the other half of a core are shared with neighbours, so that it is not always 1.
    """
    most = subject.bounds.max_num_seqs
    load = synthesise(
        Fixed(min(96, subject.bounds.max_model_len // 4), 24), 3 * most, seed=_PACE_SEED, concurrency=most
    )
    (steps,) = await serve(subject, [load], seed=_PACE_SEED)
    return factor(steps, cost)


def factor(steps: Sequence[Step], cost: CostModel) -> float:
    """Return how many times as long as `cost` says steps of a closed loop took, with what lay between."""
    gaps = [(b.began - a.ended, cost.overhead_s(b.shape)) for a, b in pairwise(steps)]
    usual = float(np.median([gap for gap, _ in gaps]))
    gaps = [(gap, said) for gap, said in gaps if gap <= _STRANGE * usual]
    took = sum(step.cpu_s for step in steps) + sum(gap for gap, _ in gaps)
    return took / (sum(cost.step_s(step.shape) for step in steps) + sum(said for _, said in gaps))
