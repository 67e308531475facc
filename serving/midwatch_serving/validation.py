"""Predicted against measured: five loads on the engine in this process, each measured twice, and a verdict a figure.

The cost model is fitted right before, in CPU time. Two things of the machine are measured along with each load, since a
shared one is not the same from minute to minute: its pace, by a short load before, between and after the two runs; and
how much of the wall's time its neighbours took from the steps, by the operating system's account. On a machine of one's
own both are 1. A prediction passes within 15 % at p50 and 30 % at p95 of the mean of both runs, or within 1.5 times
their difference where that is wider.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from statistics import mean, median
from typing import Any

from midwatch_serving.cost_model import CostModel, ErrorBand, Slowdown, Wire
from midwatch_serving.deployment import Deployment
from midwatch_serving.latency import Report
from midwatch_serving.practice import Subject, pace
from midwatch_serving.replay import replay
from midwatch_serving.simulation import Outcome, Simulation
from midwatch_serving.watched import Step
from midwatch_serving.workload import Fixed, Gamma, Lengths, LogNormal, Workload, synthesise

FIGURES = {"ttft_p50": 0.15, "ttft_p95": 0.30, "tpot_p50": 0.15, "tpot_p95": 0.30}
"""Tolerance of each, as a share of the measured value."""
SPREADS = 1.5
AGREED = 0.15
"""Share by which two runs of a load may differ and still tell something of the cost model's own error."""
CHAT = LogNormal(prompt_median=96, prompt_sigma=0.6, output_median=40, output_sigma=0.5, least=8, most=384)
NEAR_SATURATION = "near_saturation"
FEWEST, MOST = 24, 400
"""Requests of a load, however short or long it is."""


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
    def spread(self) -> float:
        """Difference of the two runs, as a share of their mean."""
        return abs(self.measured[0] - self.measured[1]) / self.mean

    @property
    def tolerance(self) -> float:
        """As a share of the measured mean."""
        return max(FIGURES[self.figure], SPREADS * self.spread)

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


def loads(cost: CostModel, deployment: Deployment, *, seconds: float, seed: int) -> list[Load]:
    """Return the five loads, as shares of the capacity that the cost model predicts; each lasts about `seconds`."""
    longest = min(deployment.max_model_len, deployment.num_blocks * deployment.block_size)
    long = Fixed(prompt=max(64, round(0.45 * longest)), output=24)
    plan: list[tuple[str, float, float, Lengths]] = [
        ("low", 0.25, 1.0, CHAT),
        ("medium", 0.55, 1.0, CHAT),
        (NEAR_SATURATION, 0.85, 1.0, CHAT),
        ("long_prompts", 0.5, 1.0, long),
        ("bursty", 0.5, 2.5, CHAT),
    ]
    found: list[Load] = []
    for number, (name, share, cv, lengths) in enumerate(plan):
        rate = share * capacity(cost, deployment, lengths, seed=seed)
        requests = min(MOST, max(FEWEST, round(rate * seconds)))
        workload = synthesise(lengths, requests, seed=seed + number, arrivals=Gamma(rate, cv))
        found.append(Load(name, workload, share))
    return found


def capacity(cost: CostModel, deployment: Deployment, lengths: Lengths, *, seed: int) -> float:
    """Return the requests a second that a full batch gets through, predicted."""
    waiting = 2 * deployment.limits.max_num_seqs
    load = synthesise(lengths, 10 * waiting, seed=seed, concurrency=waiting)
    return Simulation(load, deployment, cost).run().report.request_throughput


@dataclass(frozen=True)
class Trial:
    """A load that was measured twice, and predicted for the machine as it was at either run."""

    verdicts: list[Verdict]
    predicted: list[Outcome]
    pace: float
    """Time over what was fitted."""
    slowdown: Slowdown
    """Of both runs together."""


async def validate(subject: Subject, cost: CostModel, load: Load, *, seed: int) -> Trial:
    """Measure a load twice and predict it."""
    factors = [await pace(subject, cost)]
    reports, outcomes, steps = list[Report](), list[Outcome](), list[Step]()
    for turn in (0, 1):
        subject.executor.take()
        reports.append(await replay(subject.engine, load.workload, tokens=subject.bounds.tokens, seed=seed + turn))
        taken = subject.executor.take()
        factors.append(await pace(subject, cost))
        here = cost.scaled(mean(factors[-2:])).model_copy(update={"slowdown": slowdown(taken)})
        outcomes.append(Simulation(load.workload, subject.deployment, here).run())
        steps += taken
    verdicts = list(_judge(load.name, [outcome.report for outcome in outcomes], reports))
    return Trial(verdicts, outcomes, median(factors), slowdown(steps))


def slowdown(steps: Iterable[Step]) -> Slowdown:
    """Return how many times their CPU time decodes and prefills took on the wall."""
    decodes, prefills = list[Step](), list[Step]()
    for step in steps:
        (prefills if step.shape.prefills else decodes).append(step)
    return Slowdown(decode=_stretch(decodes), prefill=_stretch(prefills))


def _stretch(steps: list[Step]) -> float:
    cpu = sum(step.cpu_s for step in steps)
    return max(1.0, sum(step.wall_s for step in steps) / cpu) if cpu else 1.0


def _judge(name: str, predicted: list[Report], measured: list[Report]) -> Iterator[Verdict]:
    for figure in FIGURES:
        foreseen = [value for r in predicted if (value := r.figure(figure)) is not None]
        seen = [value for r in measured if (value := r.figure(figure)) is not None]
        if foreseen and len(seen) == 2:  # noqa: PLR2004 (two runs)
            yield Verdict(name, figure, mean(foreseen), (seen[0], seen[1]))


def error_band(verdicts: Iterable[Verdict], basis: str) -> ErrorBand | None:
    """Return the widest error of each figure where both runs agreed, 5 % at least; None where a figure has no such run.

    Near saturation a queue makes much of a small error of the steps: what-if shows that by simulating slower steps.
    """
    telling = [v for v in verdicts if v.load != NEAR_SATURATION and v.spread <= AGREED]
    widest = {f: max((abs(v.error) for v in telling if v.figure == f), default=None) for f in FIGURES}
    known = {f: round(max(0.05, value), 3) for f, value in widest.items() if value is not None}
    return ErrorBand(**known, basis=basis) if len(known) == len(FIGURES) else None


def in_process(cost: CostModel) -> CostModel:
    """Return the cost model without what a client over HTTP would see beyond the engine."""
    return cost.model_copy(update={"wire": Wire()})
