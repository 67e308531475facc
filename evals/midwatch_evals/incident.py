"""One incident on a lab of real processes, from a healthy service to what the assistant made of it."""

import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import httpx2

from midwatch_agents.result import RunResult
from midwatch_contracts.alert import Alert
from midwatch_contracts.clock import Clock
from midwatch_contracts.command import Settings
from midwatch_contracts.entity import Entity
from midwatch_contracts.times import duration_text, parse_duration, rfc3339
from midwatch_evals.errors import IncidentError
from midwatch_evals.processes import MARK, marked
from midwatch_evals.prometheus import Prometheus, token_rate, ttft_p95
from midwatch_evals.rules import ttft_rule
from midwatch_evals.scenario import Load, Scenario
from midwatch_lab.client import LabClient
from midwatch_lab.load.spec import ClosedLoad
from midwatch_lab.process import LabProcess

READY_WITHIN_S = 60.0
CALIBRATION_CLIENTS = 24
"""Closed-loop clients that measure the capacity: more than the batches of a few replicas hold."""
CALIBRATION_S = 7.0
"""How long the closed loop runs that measures what the service can carry."""
CALIBRATION_LEAD_S = 2.0
"""How much of that is not counted: the batches fill."""
PRINCIPAL = "midwatch"
"""The user name under which the assistant acts in the lab."""
RULE_WINDOW_S = 10.0
RULE_FOR_S = 5.0
ALERT_WITHIN_S = 60.0
"""After the last fault the alert must fire within this time, or there is no incident."""
OBJECTIVE_FACTOR = 4.0
OBJECTIVE_FLOOR_S = 0.5
OBJECTIVE_CEILING = 0.4
"""An objective that is taken from the healthy stretch is this multiple of its p95, never below the floor.

Nor is it above this share of the clients' patience: whoever gave up leaves no time to first token, so a slower one
could not be seen.
"""

Tell = Callable[[str, str, Mapping[str, Any]], None]
"""Told of each stage: its name, one line for a person, and the facts as data."""


class Investigate(Protocol):
    """Hands the alert to the assistant and returns what it came to."""

    def __call__(self, alert: Alert, settings: Settings) -> Awaitable[RunResult]:
        """Run to the end."""
        ...


@dataclass(frozen=True)
class IncidentResult:
    """What happened on the stage, beside what the assistant says of it."""

    run: RunResult
    objective_s: float
    healthy_p95_s: float
    rate: float
    """Requests per second that were offered."""
    writes: tuple[dict[str, Any], ...]
    """Every write of the assistant's own principal, from the lab's audit: the independent witness."""
    seconds: float
    processes_left: int = 0


@dataclass
class Incident:
    """A scenario about to happen. `measure_objective` takes the objective from the healthy stretch."""

    scenario: Scenario
    settings: Settings
    clock: Clock
    investigate: Investigate
    tell: Tell
    folder: Path
    """Where the lab keeps its files."""
    warm_up_s: float = 12.0
    measure_objective: bool = False
    at_the_end: Callable[[Prometheus, LabClient, IncidentResult], Awaitable[None]] | None = None
    """Looks at the end state while the lab still stands."""
    _began: float = field(default_factory=time.monotonic, init=False)

    async def run(self) -> IncidentResult:
        """Play it; the lab and every process it started are gone when this returns or raises.

        Raises:
            IncidentError: the incident did not come about.
        """
        self._began = time.monotonic()
        mark = str(self.folder.resolve())
        try:
            async with AsyncExitStack() as stack:
                played = await self._on_stage(stack, mark)
        finally:
            left = marked(mark)
            self.tell("cleaned", f"{len(left)} processes left", {"processes_left": len(left)})
        return replace(played, processes_left=len(left), seconds=time.monotonic() - self._began)

    async def _on_stage(self, stack: AsyncExitStack, mark: str) -> IncidentResult:
        lab = await stack.enter_async_context(LabProcess(self.folder, environment={MARK: mark}))
        client = await stack.enter_async_context(LabClient(lab.info))
        http = await stack.enter_async_context(httpx2.AsyncClient(timeout=10.0))
        prometheus = Prometheus(lab.info.prometheus, http)
        self.tell("lab", f"lab up at {lab.info.url}", {"url": lab.info.url})
        await self._set_up(client)
        rates = [await self._start_load(client, prometheus, load) for load in self.scenario.load]
        began = self.clock.now()
        service = self.scenario.load[0].target
        healthy = await self._warm_up(client, prometheus, service)
        objective = self._objective(healthy)
        await client.set_rules(
            ttft_rule(self.scenario.alert, objective_s=objective, window_s=RULE_WINDOW_S, for_s=RULE_FOR_S)
        )
        self.tell(
            "healthy",
            f"healthy p95 time to first token {healthy:.3f} s; objective {objective:.3g} s",
            {"healthy_p95_s": healthy, "objective_s": objective},
        )
        alert = await self._break(client, prometheus, began, objective)
        run = await self.investigate(alert, self._settings_for(lab.info.dir))
        writes = await _own_writes(client)
        result = IncidentResult(run, objective, healthy, sum(rates), writes, time.monotonic() - self._began)
        if self.at_the_end is not None:
            await self.at_the_end(prometheus, client, result)
        return result

    async def _set_up(self, client: LabClient) -> None:
        manifests = [manifest for manifest in self.scenario.topology.manifests if isinstance(manifest, dict)]
        for manifest in manifests:
            await client.create(manifest)
        for manifest in manifests:
            if manifest.get("kind") == "Deployment":
                meta = manifest["metadata"]
                entity = Entity("Deployment", meta["namespace"], meta["name"])
                await client.wait_for_rollout(entity, timeout_s=READY_WITHIN_S)
                self.tell("topology", f"{entity}: {manifest['spec'].get('replicas', 1)} replicas ready", {})

    async def _start_load(self, client: LabClient, prometheus: Prometheus, load: Load) -> float:
        """Start the traffic and return its rate; a utilization is turned into a rate by measuring the capacity."""
        rate = load.rate
        if rate is None:
            rate = round((load.utilization or 0.0) * await self._capacity(client, prometheus, load), 2)
        await client.set_load(load.spec() | {"seed": self.scenario.seed, "rate": rate})
        self.tell("load", f"{rate:g} requests/s to {load.target}", {"rate": rate, "target": str(load.target)})
        return rate

    async def _capacity(self, client: LabClient, prometheus: Prometheus, load: Load) -> float:
        """Return the requests per second that the service completes in a closed loop which keeps every batch full.

        Measured by tokens: the clients of a closed loop begin together and so end together, and a few seconds see one
        wave of completions more or less.
        """
        lengths = {name: value for name, value in load.spec().items() if name in ClosedLoad.model_fields}
        closed = {"shape": "closed", "concurrency": CALIBRATION_CLIENTS, "timeout_s": 60.0}
        await client.set_load(lengths | closed | {"seed": self.scenario.seed})
        await self.clock.sleep(CALIBRATION_S)
        tokens = await prometheus.value(token_rate(load.target, CALIBRATION_S - CALIBRATION_LEAD_S))
        if not tokens:
            raise IncidentError(
                f"no token of {load.target} was counted in {CALIBRATION_S:.0f} s of load: is anything behind it?"
            )
        (asked,) = [row for row in await client.load() if row["target"] == str(load.target)]
        capacity = tokens / float(asked["traffic"]["output_tokens"]["mean"])
        self.tell("capacity", f"{load.target} completes {capacity:.1f} requests/s when full", {"rate": capacity})
        return capacity

    async def _warm_up(self, client: LabClient, prometheus: Prometheus, service: Entity) -> float:
        """Let the load run and return the healthy p95 time to first token, in seconds."""
        self.tell("warm_up", f"{self.warm_up_s:.0f} s of healthy traffic", {})
        await self.clock.sleep(self.warm_up_s)
        if await _completed(client, service) == 0:
            raise IncidentError(f"no load: nothing that was sent to {service} has been answered")
        healthy = await prometheus.value(ttft_p95(service, RULE_WINDOW_S))
        if healthy is None:
            raise IncidentError(f"no telemetry: the lab has no time to first token for {service}")
        return healthy

    def _objective(self, healthy: float) -> float:
        given = self.scenario.alert.annotations.get("objective")
        if given is not None and not self.measure_objective:
            return parse_duration(given)
        patience = min(load.timeout_s for load in self.scenario.load)
        return round(min(max(OBJECTIVE_FACTOR * healthy, OBJECTIVE_FLOOR_S), OBJECTIVE_CEILING * patience), 2)

    async def _break(self, client: LabClient, prometheus: Prometheus, began: float, objective: float) -> Alert:
        """Let the timeline happen and return the alert: the one that fired, or the scenario's own at its time."""
        for entry in self.scenario.timeline:
            await self.clock.sleep(max(0.0, began + entry.at - self.clock.now()))
            fault = entry.fault
            await client.fault(fault.mechanism, fault.entity, fault.args)
            self.tell("fault", "something happens to the service", fault.model_dump(mode="json"))
        if not self.scenario.timeline:
            await self.clock.sleep(max(0.0, began + self.scenario.alert.at - self.clock.now()))
            return self._own_alert(objective)
        return await self._fired(prometheus, objective)

    async def _fired(self, prometheus: Prometheus, objective: float) -> Alert:
        labels = self.scenario.alert.labels
        deadline = self.clock.now() + ALERT_WITHIN_S
        while self.clock.now() < deadline:
            for alert in await prometheus.firing(labels["alertname"]):
                if all(alert.labels.get(key) == labels.get(key) for key in ("namespace", "service") if key in labels):
                    self.tell("alert", f"{alert.name} fires for {_subject(alert)}", alert.model_dump())
                    return alert
            await self.clock.sleep(0.5)
        service = self.scenario.load[0].target
        seen = await prometheus.value(ttft_p95(service, RULE_WINDOW_S))
        raise IncidentError(
            f"{labels['alertname']} did not fire within {ALERT_WITHIN_S:.0f} s: p95 time to first token of {service} "
            f"is {'not measured' if seen is None else f'{seen:.3f} s'}, the objective {objective:g} s"
        )

    def _own_alert(self, objective: float) -> Alert:
        given = self.scenario.alert
        annotations = given.annotations | {"objective": duration_text(objective)}
        alert = Alert(labels=given.labels, annotations=annotations, starts_at=rfc3339(self.clock.now()))
        self.tell(
            "alert", f"{alert.name} is handed over for {_subject(alert)} (nothing was broken)", alert.model_dump()
        )
        return alert

    def _settings_for(self, lab: Path) -> Settings:
        return replace(self.settings, lab=lab, kubeconfig=None, kube_context=None, prometheus=None)


def _subject(alert: Alert) -> str:
    return f"{alert.labels.get('namespace', '')}/{alert.labels.get('service', '')}"


async def _completed(client: LabClient, target: Entity) -> int:
    return sum(int(row["completed"]) for row in await client.load() if row["target"] == str(target))


async def _own_writes(client: LabClient) -> tuple[dict[str, Any], ...]:
    return tuple(e for e in await client.audit() if e["principal"] == PRINCIPAL and not e["dry_run"])
