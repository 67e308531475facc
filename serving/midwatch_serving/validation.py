"""Predicted against measured: five loads on the engine in this process, each measured twice, and a verdict a figure.

The cost model is fitted right before, and the machine's speed is probed before, between and after the two runs of each
load, since a shared machine is not the same from minute to minute. A prediction passes within 15 % at p50 and 30 % at
p95 of the mean of both runs, or within 1.5 times their difference where that is wider.
"""

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np

from midwatch_serving.calibration import Bounds, Chunks, measure, speed
from midwatch_serving.cost_model import CostModel, ErrorBand, Overhead, Wire
from midwatch_serving.deployment import Deployment
from midwatch_serving.engine import Engine
from midwatch_serving.latency import Report
from midwatch_serving.nnls import nnls
from midwatch_serving.replay import replay
from midwatch_serving.simulation import Outcome, Simulation
from midwatch_serving.work import Executor
from midwatch_serving.workload import Fixed, Gamma, Lengths, LogNormal, Workload, synthesise

FIGURES = {"ttft_p50": 0.15, "ttft_p95": 0.30, "tpot_p50": 0.15, "tpot_p95": 0.30}
"""Tolerance of each, as a share of the measured value."""
SPREADS = 1.5
CHAT = LogNormal(prompt_median=96, prompt_sigma=0.6, output_median=40, output_sigma=0.5, least=8, most=384)
MOST = 400
"""Requests of a load."""


@dataclass(frozen=True)
class Load:
    """A named load, and the share of the engine's capacity that it asks for."""

    name: str
    workload: Workload
    share: float


@dataclass(frozen=True)
class Verdict:
    """One figure of one load, in seconds."""

    load: str
    figure: str
    predicted: float
    measured: tuple[float, float]

    @property
    def mean(self) -> float:
        """Of the two runs."""
        return sum(self.measured) / 2

    @property
    def error(self) -> float:
        """Signed, as a share of the measured mean."""
        return self.predicted / self.mean - 1

    @property
    def tolerance(self) -> float:
        """As a share of the measured mean."""
        return max(FIGURES[self.figure], SPREADS * abs(self.measured[0] - self.measured[1]) / self.mean)

    @property
    def passed(self) -> bool:
        """Whether the prediction is near enough."""
        return abs(self.error) <= self.tolerance

    def body(self, command: str) -> dict[str, Any]:
        """Return the JSON line."""
        return {
            "name": f"simulator_{self.load}_{self.figure}",
            "value": round(1000 * self.predicted, 3),
            "unit": "ms",
            "baseline": round(1000 * self.mean, 3),
            "ratio": round(self.predicted / self.mean, 4),
            "command": command,
            "measured": [round(1000 * value, 3) for value in self.measured],
            "error": round(self.error, 4),
            "tolerance": round(self.tolerance, 4),
            "verdict": "pass" if self.passed else "fail",
        }


@dataclass(frozen=True)
class Subject:
    """What is validated: a running engine, and an executor of the same kind to probe the machine with."""

    engine: Engine
    executor: Executor
    bounds: Bounds
    deployment: Deployment


async def overhead(subject: Subject, *, seed: int) -> Overhead:
    """Measure what the engine takes beyond its executor: around a step, and on the first one after it was idle."""
    sizes = [n for n in (1, 2, 4, 8, 16) if n <= subject.deployment.limits.max_num_seqs]
    terms = np.array([[1.0, size] for size in [*sizes, *sizes]])
    step, sequence = nnls(terms, np.array([await _around(subject, size, seed) for size in [*sizes, *sizes]]))
    return Overhead(step=float(step), sequence=float(sequence), wake=await _wake(subject, seed))


async def _around(subject: Subject, size: int, seed: int) -> float:
    """Return the seconds between two tokens of `size` decoding requests, less those of the same batch by itself."""
    prompt, output = 16, 40
    batch: Chunks = ((prompt + output // 2, 1),) * size
    before = measure(subject.executor, [batch] * 4, subject.bounds, rounds=4)
    load = synthesise(Fixed(prompt, output), size, seed=seed, concurrency=size)
    seen = await replay(subject.engine, load, tokens=subject.bounds.tokens, seed=seed)
    after = measure(subject.executor, [batch] * 4, subject.bounds, rounds=4)
    return max(0.0, (seen.figure("tpot_p50") or 0.0) - float(np.median([*before, *after])))


async def _wake(subject: Subject, seed: int) -> float:
    """Return the seconds of a lone prompt's first token beyond the same without a pause before it."""
    shape = Fixed(64, 2)
    spaced = synthesise(shape, 12, seed=seed, arrivals=Gamma(5.0, cv=0))
    close = synthesise(shape, 24, seed=seed, concurrency=1)
    lone = await replay(subject.engine, spaced, tokens=subject.bounds.tokens, seed=seed)
    busy = await replay(subject.engine, close, tokens=subject.bounds.tokens, seed=seed)
    return max(0.0, (lone.figure("ttft_p50") or 0.0) - (busy.figure("ttft_p50") or 0.0))


def loads(cost: CostModel, deployment: Deployment, *, seconds: float, seed: int) -> list[Load]:
    """Return the five loads, as shares of the capacity that the cost model predicts; each lasts about `seconds`."""
    longest = min(deployment.max_model_len, deployment.num_blocks * deployment.block_size)
    long = Fixed(prompt=max(64, round(0.45 * longest)), output=24)
    plan: list[tuple[str, float, float, Lengths]] = [
        ("low", 0.25, 1.0, CHAT),
        ("medium", 0.55, 1.0, CHAT),
        ("near_saturation", 0.85, 1.0, CHAT),
        ("long_prompts", 0.5, 1.0, long),
        ("bursty", 0.5, 2.5, CHAT),
    ]
    found: list[Load] = []
    for number, (name, share, cv, lengths) in enumerate(plan):
        rate = share * capacity(cost, deployment, lengths, seed=seed)
        requests = min(MOST, max(24, round(rate * seconds)))
        workload = synthesise(lengths, requests, seed=seed + number, arrivals=Gamma(rate, cv))
        found.append(Load(name, workload, share))
    return found


def capacity(cost: CostModel, deployment: Deployment, lengths: Lengths, *, seed: int) -> float:
    """Return the requests a second that a full batch gets through, predicted."""
    waiting = 2 * deployment.limits.max_num_seqs
    load = synthesise(lengths, 10 * waiting, seed=seed, concurrency=waiting)
    return Simulation(load, deployment, cost).run().report.request_throughput


Measure = Callable[[Workload], Awaitable[Report]]


async def validate(subject: Subject, cost: CostModel, load: Load, *, seed: int) -> tuple[list[Verdict], Outcome, float]:
    """Measure a load twice and predict it; return the verdicts, the prediction, and the machine's speed factor."""
    factors = [speed(subject.executor, cost, subject.bounds)]
    reports: list[Report] = []
    for turn in (0, 1):
        reports.append(await replay(subject.engine, load.workload, tokens=subject.bounds.tokens, seed=seed + turn))
        factors.append(speed(subject.executor, cost, subject.bounds))
    factor = median(factors)
    predicted = Simulation(load.workload, subject.deployment, cost.scaled(factor)).run()
    return list(_judge(load.name, predicted.report, reports)), predicted, factor


def _judge(name: str, predicted: Report, reports: list[Report]) -> Iterator[Verdict]:
    for figure in FIGURES:
        foreseen, first, second = (r.figure(figure) for r in (predicted, *reports))
        if foreseen is not None and first is not None and second is not None:
            yield Verdict(name, figure, foreseen, (first, second))


def error_band(verdicts: list[Verdict], basis: str) -> ErrorBand:
    """Return the widest error of each figure over the loads, but at least 5 %."""
    widest = {f: max(0.05, *(abs(v.error) for v in verdicts if v.figure == f)) for f in FIGURES}
    return ErrorBand(**{name: round(value, 3) for name, value in widest.items()}, basis=basis)


def in_process(cost: CostModel) -> CostModel:
    """Return the cost model without what a client over HTTP would see beyond the engine."""
    return cost.model_copy(update={"wire": Wire()})
