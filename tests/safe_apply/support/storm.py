"""An API server on a bad day: any call may be refused, lost before or after it was carried out, or come late.

Faults are made as the client meets them, as `KubeError` and `UnreachableError`, and go through the product's own
reading of them (`target_error`). What was really stored, the fake cluster's own log says.
"""

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import orjson

from midwatch_contracts.clock import Clock
from midwatch_contracts.entity import Entity
from midwatch_contracts.expectations import Sample, UnreadableError
from midwatch_contracts.plan import Target
from midwatch_mcp.errors import KubeError, UnreachableError
from midwatch_mcp.safe_apply.errors import TargetError
from midwatch_mcp.safe_apply.fakes import FakeCluster, FakeMetrics
from midwatch_mcp.safe_apply.object_writes import target_error
from midwatch_mcp.safe_apply.ports import Kind, Snapshot, View, Write

T = TypeVar("T")

REFUSALS = ("conflict", "throttled", "no connection")
"""The call was certainly not carried out."""
LOSSES = ("500", "timeout", "reset", "late")
"""Whether it was carried out, the answer does not tell; `late`: it is, up to a minute after the caller gave up."""
KINDS = (*REFUSALS, *LOSSES, "webhook mutates", "webhook denies", "metrics stop", "metrics break", "somebody writes")

PERSONS = range(20, 31)
"""Numbers of replicas that only the person writes."""


def error_of(kind: str, rng: random.Random) -> TargetError:
    """Return what the product makes of a fault."""
    match kind:
        case "conflict":
            return target_error(KubeError(409, "Conflict", "the object has been modified"))
        case "throttled":
            body = orjson.dumps({"details": {"retryAfterSeconds": rng.choice((1, 3, 20))}})
            return target_error(KubeError(429, "TooManyRequests", "please try again later", body=body))
        case "no connection":
            return target_error(UnreachableError("connection refused", may_have_arrived=False))
        case "500":
            return target_error(KubeError(500, "InternalError", "etcdserver: request timed out"))
        case "timeout":
            return target_error(UnreachableError("no answer within 15 s", may_have_arrived=True))
        case _:
            return target_error(UnreachableError("broke off in the middle of the answer", may_have_arrived=True))


@dataclass
class Storm:
    """Draws the faults of one apply. Quiet until `raging`."""

    seed: int
    cluster: FakeCluster
    raging: bool = False
    told: list[str] = field(default_factory=list[str])

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)  # noqa: S311 (a seeded test)
        self.kinds = self.rng.sample(KINDS, self.rng.randint(1, 5))
        self.likely = self.rng.choice((0.05, 0.2, 0.5, 0.9))
        self.calls_left = self.rng.choice((20, 60, 100_000))

    def draw(self, *among: str) -> str | None:
        """Return the fault of this call, or None."""
        if not self.raging or self.calls_left <= 0:
            return None
        self.calls_left -= 1
        kinds = [kind for kind in self.kinds if kind in among]
        if not kinds or self.rng.random() > self.likely:
            return None
        self.told.append(self.rng.choice(kinds))
        return self.told[-1]

    def meddle(self) -> None:
        """Let others write: a controller its status at all times, a person a value now and then."""
        entity = self.rng.choice(("Deployment/llm/chat", "Deployment/llm/router"))
        self.cluster.put_status(entity, {"observedGeneration": self.rng.randint(1, 99)})
        if self.draw("somebody writes") and self.rng.random() < 0.2:
            found = self.cluster.objects_by_entity[entity]
            spec = found["spec"] | {"replicas": self.rng.choice(PERSONS)}
            self.cluster.put({**found, "spec": spec})


@dataclass
class StormyApi:
    """The fake cluster behind such a server."""

    cluster: FakeCluster
    storm: Storm
    clock: Clock
    late: list[asyncio.Task[None]] = field(default_factory=list[asyncio.Task[None]])

    async def cluster_uid(self) -> str:
        return await self.cluster.cluster_uid()

    async def kind(self, kind: str, api_version: str | None) -> Kind:
        return await self.cluster.kind(kind, api_version)

    async def objects(self, kind: str, namespace: str) -> Sequence[Mapping[str, Any]]:
        return await self.cluster.objects(kind, namespace)

    async def dependents(self, uid: str, namespace: str) -> Sequence[Entity]:
        return await self.cluster.dependents(uid, namespace)

    async def read(self, target: Target, view: View = "state") -> Snapshot:
        self.storm.meddle()
        return await self._through(lambda: self.cluster.read(target, view), "throttled", "no connection", *LOSSES)

    async def write(self, target: Target, write: Write, *, read: Snapshot, dry_run: bool) -> Snapshot:
        self.storm.meddle()
        if self.storm.draw("webhook denies"):
            raise target_error(KubeError(403, "Forbidden", "admission webhook denied the request"))
        mutates = self.storm.draw("webhook mutates") is not None
        self.cluster.mutate = _mutate if mutates else lambda _: None
        try:
            return await self._through(
                lambda: self.cluster.write(target, write, read=read, dry_run=dry_run), *REFUSALS, *LOSSES
            )
        finally:
            self.cluster.mutate = lambda _: None

    async def _through(self, call: Callable[[], Awaitable[T]], *among: str) -> T:
        kind = self.storm.draw(*among)
        if kind is None:
            return await call()
        if kind == "late":
            self.late.append(asyncio.create_task(self._later(call)))
        elif kind in LOSSES and self.storm.rng.random() < 0.5:
            await call()
        raise error_of(kind, self.storm.rng)

    async def _later(self, call: Callable[[], Awaitable[Any]]) -> None:
        await self.clock.sleep(self.storm.rng.uniform(1, 59))
        with contextlib.suppress(TargetError):
            await call()

    async def quiet(self) -> None:
        """Wait for what comes late."""
        await asyncio.gather(*self.late)


def _mutate(value: dict[str, Any]) -> None:
    """Change what the change touches, as an injector that knows better."""
    spec = value.get("spec", {})
    if "replicas" in spec:
        spec["replicas"] += 1
    if value["kind"] == "ConfigMap":
        value["data"] |= {"queue": "1", "injected": "yes"}


@dataclass
class StormyReader:
    """Metrics that stop being scraped, or an API of theirs that breaks."""

    metrics: FakeMetrics
    storm: Storm
    clock: Clock

    async def query(self, promql: str) -> Sequence[Sample]:
        if self.storm.draw("metrics stop") and self.metrics.stopped_at is None:
            self.metrics.stopped_at = self.clock.now()
        if self.storm.draw("metrics break"):
            raise UnreadableError("the metrics API broke off")
        return await self.metrics.query(promql)

    async def object(self, entity: Entity) -> Mapping[str, Any] | None:
        return await self.metrics.object(entity)
