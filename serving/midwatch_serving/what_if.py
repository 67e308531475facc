"""What a load would see under the present configuration and under another one (CONTRACTS §8), by simulation.

Each configuration is simulated three times: as the cost model says, and on a machine faster and slower by the model's
known error. So a band shows also what queues make of a small error where a server is nearly full.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from midwatch_serving.cost_model import CostModel
from midwatch_serving.deployment import Balancer, Deployment
from midwatch_serving.errors import ConfigError, WorkloadError
from midwatch_serving.latency import Objectives, Report
from midwatch_serving.settings import SETTINGS, EngineSettings, Value, Values, check_values
from midwatch_serving.simulation import Outcome, Simulation
from midwatch_serving.workload import SHAREGPT, Fixed, Gamma, Lengths, LogNormal, Workload, fitted, synthesise

WALL_LIMIT_S = 10.0
"""Real seconds that all simulations of one question may take together."""
MAX_REQUESTS = 5_000
BANDED = ("ttft_p50", "ttft_p95", "ttft_p99", "tpot_p50", "tpot_p95", "tpot_p99", "e2e_p50", "e2e_p95")


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class LoadBody(_Body):
    """A load: a rate or a concurrency, and lengths; without lengths they are like ShareGPT's."""

    rate: Positive | None = None
    """Requests a second."""
    concurrency: Annotated[int, Field(ge=1, le=100_000)] | None = None
    cv: Annotated[float, Field(ge=0, le=20)] = 1.0
    """Coefficient of variation of the gaps between arrivals: 1 is Poisson, 0 constant."""
    prompt_tokens: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    output_tokens: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    length_sigma: Annotated[float, Field(ge=0, le=3)] = 0.0
    """Width of log-normal lengths around these medians; 0 makes all alike."""
    requests: Annotated[int, Field(ge=1, le=MAX_REQUESTS)] = 300
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0

    def workload(self, max_model_len: int) -> Workload:
        """Return the load.

        Raises:
            WorkloadError: when it is not one.
        """
        arrivals = None if self.rate is None else Gamma(self.rate, self.cv)
        load = synthesise(
            self._lengths(), self.requests, seed=self.seed, arrivals=arrivals, concurrency=self.concurrency
        )
        return fitted(load, max_model_len)

    def _lengths(self) -> Lengths:
        if self.prompt_tokens is None and self.output_tokens is None:
            return SHAREGPT
        if self.prompt_tokens is None or self.output_tokens is None:
            raise WorkloadError("give prompt_tokens and output_tokens, or neither for lengths like ShareGPT's")
        if self.length_sigma == 0:
            return Fixed(self.prompt_tokens, self.output_tokens)
        most = 8 * max(self.prompt_tokens, self.output_tokens)
        sigma = self.length_sigma
        return LogNormal(self.prompt_tokens, sigma, self.output_tokens, sigma, least=1, most=most)


class SloBody(_Body):
    """Seconds that a request may take to count as good."""

    ttft_s: Positive | None = None
    tpot_s: Positive | None = None
    e2e_s: Positive | None = None


class WhatIfBody(_Body):
    """`POST /admin/what-if`. `config` holds what is to be different, under the names of `/admin/config`."""

    load: LoadBody
    config: dict[str, Value] = {}
    replicas: Annotated[int, Field(ge=1, le=256)] = 1
    """Of the proposed deployment; the present one has one."""
    balancer: Literal["round_robin", "least_requests"] = "least_requests"
    slo: SloBody = SloBody()
    cost_model: str | None = None


@dataclass(frozen=True)
class Situation:
    """What is there: the configuration in force, the CPU limit, and what steps cost."""

    values: Values
    cost: CostModel
    cpu_limit: float | None = None


def proposed_values(values: Values, changes: Mapping[str, Value]) -> Values:
    """Return the configuration with the changes made.

    Raises:
        ConfigError: names the field and the reason.
    """
    for name in changes:
        if name not in SETTINGS:
            raise ConfigError(name, f"no such setting: one of {', '.join(SETTINGS)}")
    return check_values({**values, **changes})


def answer(body: WhatIfBody, situation: Situation) -> dict[str, Any]:
    """Simulate both configurations and return the answer.

    Raises:
        ConfigError: when the configuration is not acceptable.
        WorkloadError: when the load is not, or takes too long to simulate.
    """
    proposed = proposed_values(situation.values, body.config)
    now = _deployment(situation.values, situation.cpu_limit, 1, body.balancer)
    then = _deployment(proposed, situation.cpu_limit, body.replicas, body.balancer)
    cost, objectives = situation.cost, Objectives(body.slo.ttft_s, body.slo.tpot_s, body.slo.e2e_s)
    present, other = _Prediction.of(body.load, now, cost, objectives), _Prediction.of(body.load, then, cost, objectives)
    return {
        "basis": "simulated",
        "cost_model": {"name": cost.name, "about": cost.about, "uncertainty": cost.uncertainty},
        "error": cost.error.model_dump(),
        "load": body.load.model_dump(),
        "slo": body.slo.model_dump(),
        "current": {"config": situation.values, "replicas": 1, **present.body(cost)},
        "proposed": {"config": proposed, "replicas": body.replicas, **other.body(cost)},
        "difference": _difference(present, other, cost),
    }


@dataclass(frozen=True)
class _Prediction:
    """A configuration under the load, on the machine that is expected and on a faster and a slower one."""

    expected: Outcome
    fast: Report
    slow: Report

    @classmethod
    def of(cls, load: LoadBody, deployment: Deployment, cost: CostModel, objectives: Objectives) -> "_Prediction":
        workload, error = load.workload(deployment.max_model_len), cost.error.of_steps
        outcomes = [
            Simulation(workload, deployment, cost.scaled(factor), seed=load.seed).run(
                objectives=objectives, wall_limit_s=WALL_LIMIT_S / 6
            )
            for factor in (1.0, 1 / (1 + error), 1 + error)
        ]
        return cls(outcomes[0], outcomes[1].report, outcomes[2].report)

    def band(self, name: str, cost: CostModel) -> tuple[float, float] | None:
        """Return the least and the most of a figure, in seconds."""
        expected, fast, slow = (r.figure(name) for r in (self.expected.report, self.fast, self.slow))
        if expected is None or fast is None or slow is None:
            return None
        error = cost.error.of(name)
        return min(expected / (1 + error), fast), max(expected * (1 + error), slow)

    def body(self, cost: CostModel) -> dict[str, Any]:
        """Return figures and bands."""
        bands = {f"{name}_ms": self.band(name, cost) for name in BANDED}
        goodput = [r.goodput for r in (self.expected.report, self.fast, self.slow)]
        return {
            "figures": self.expected.report.body(),
            "bands": {
                **{n: None if b is None else [round(1000 * b[0], 3), round(1000 * b[1], 3)] for n, b in bands.items()},
                "goodput": None if goodput[0] is None else sorted(round(g, 4) for g in goodput if g is not None)[::2],
            },
            "preemptions": self.expected.preemptions,
            "rejected": self.expected.rejected,
            "events_per_s": round(self.expected.events_per_s),
        }


def _difference(present: _Prediction, other: _Prediction, cost: CostModel) -> dict[str, Any]:
    """Return each figure's ratio, and whether the bands lie apart: only then is it more than the model's error."""
    found: dict[str, Any] = {}
    for name in BANDED:
        before, after = present.expected.report.figure(name), other.expected.report.figure(name)
        a, b = present.band(name, cost), other.band(name, cost)
        if before and after is not None and a is not None and b is not None:
            apart = a[1] < b[0] or b[1] < a[0]
            found[f"{name}_ms"] = {"ratio": round(after / before, 4), "beyond_error": apart}
    return found


def _deployment(values: Values, cpu_limit: float | None, replicas: int, balancer: Balancer) -> Deployment:
    settings = EngineSettings.of(values)
    return Deployment(
        settings.limits,
        num_blocks=settings.num_gpu_blocks_override,
        block_size=settings.block_size,
        max_model_len=settings.max_model_len,
        enable_prefix_caching=settings.enable_prefix_caching,
        cpu_limit=cpu_limit,
        replicas=replicas,
        balancer=balancer,
    )
