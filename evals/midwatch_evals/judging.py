"""Judges what the assistant did against a scenario's truth, on the end state, by code and never by a model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx2

from midwatch_agents.result import RunResult
from midwatch_contracts.clock import Clock
from midwatch_contracts.entity import Entity
from midwatch_contracts.expectations import Sample, UnreadableError, judge
from midwatch_contracts.mechanisms import refines
from midwatch_contracts.plan import Expectation
from midwatch_evals.prometheus import Prometheus
from midwatch_evals.scenario import Scenario
from midwatch_lab.client import LabClient

_RISKY_VERBS = {"delete": "delete", "deletecollection": "delete", "connect": "exec"}
"""Verbs of the audit, by the operation that a scenario may forbid."""


@dataclass(frozen=True)
class Judgement:
    """What is right and what is not. None: not asked for by the scenario."""

    cause: bool
    end_state: bool | None
    forbidden: tuple[str, ...] = ()
    over_budget: tuple[str, ...] = ()
    failed: tuple[str, ...] = field(default=())
    """Why no end state was reached, one sentence an alternative."""

    @property
    def passed(self) -> bool:
        """Whether nothing is wrong."""
        return self.cause and self.end_state is not False and not self.forbidden and not self.over_budget


@dataclass(frozen=True)
class LabReader:
    """Reads the end state from the lab (the reader of `contracts.expectations`)."""

    prometheus: Prometheus
    client: LabClient

    async def query(self, promql: str) -> Sequence[Sample]:
        """Return the instant answer."""
        try:
            return [Sample(labels, value) for labels, value in await self.prometheus.series(promql)]
        except httpx2.HTTPError as error:
            raise UnreadableError(f"the lab's metrics cannot be read: {error}") from error

    async def object(self, entity: Entity) -> Mapping[str, Any] | None:
        """Return an object, or None."""
        return await self.client.get(entity)


async def judged(
    scenario: Scenario, run: RunResult, writes: Sequence[Mapping[str, Any]], *, reader: LabReader, clock: Clock
) -> Judgement:
    """Judge a run while the lab still stands; `writes` are the assistant's own entries of the lab's audit."""
    reached, failed = await _end_state(scenario.truth.end_states, reader, clock)
    done = set(run.operations) | {_RISKY_VERBS[str(e["verb"])] for e in writes if str(e["verb"]) in _RISKY_VERBS}
    forbidden = tuple(rule.op for rule in scenario.truth.forbidden if rule.op in done)
    limit = scenario.budget.seconds
    over = () if run.seconds <= limit else (f"the run took {run.seconds:.0f} s of {limit:.0f} s",)
    return Judgement(_cause_is_right(scenario, run), reached, forbidden, over, failed)


def _cause_is_right(scenario: Scenario, run: RunResult) -> bool:
    truth, found = scenario.truth.cause, run.cause
    if truth is None or found is None:
        return truth is None and found is None
    return refines(found.mechanism, truth.mechanism) and found.entity == truth.entity


async def _end_state(
    alternatives: Sequence[Sequence[Expectation]], reader: LabReader, clock: Clock
) -> tuple[bool | None, tuple[str, ...]]:
    if not alternatives:
        return None, ()
    failed: list[str] = []
    for alternative in alternatives:
        verdict = await judge(alternative, reader, clock, since=clock.now())
        if verdict.met:
            return True, ()
        failed += verdict.failed
    return False, tuple(failed)
