"""The control plane: the registry and the controllers over it, without an API server and without processes.

The lab runs it beside a kubelet; a test runs it alone, on a virtual clock, and plays the nodes itself.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from midwatch_contracts.clock import Clock
from midwatch_lab.access.bootstrap import made_by_server, make_roles
from midwatch_lab.controllers.aggregation import AggregationController
from midwatch_lab.controllers.autoscaler import AutoscalerController
from midwatch_lab.controllers.cronjob import CronJobController
from midwatch_lab.controllers.daemonset import DaemonSetController
from midwatch_lab.controllers.deployment import DeploymentController
from midwatch_lab.controllers.disruption import DisruptionController
from midwatch_lab.controllers.endpoints import EndpointsController
from midwatch_lab.controllers.garbage import GarbageCollector, NamespaceController
from midwatch_lab.controllers.job import JobController
from midwatch_lab.controllers.nodes import NodeController
from midwatch_lab.controllers.protection import ClaimProtection, VolumeProtection
from midwatch_lab.controllers.quota import QuotaController
from midwatch_lab.controllers.recorder import Recorder
from midwatch_lab.controllers.replicaset import ReplicaSetController
from midwatch_lab.controllers.runtime import Controller, ControllerLoop
from midwatch_lab.controllers.scheduler import Scheduler
from midwatch_lab.controllers.statefulset import StatefulSetController
from midwatch_lab.controllers.taint_eviction import TaintEvictionController
from midwatch_lab.controllers.volumes import VolumeController
from midwatch_lab.kinds.first_objects import first_objects
from midwatch_lab.objects import name_of
from midwatch_lab.registry.registry import Registry
from midwatch_lab.schemas.schema import schemas
from midwatch_lab.store.audit import Audit
from midwatch_lab.store.journal import Journal, NoJournal
from midwatch_lab.store.store import Store
from midwatch_lab.usage import UsageBoard

_QUIET_TURNS: Final = 20


@dataclass
class ControlPlane:
    """A store with its registry, the recorder of events, and the controllers' loops."""

    clock: Clock
    journal: Journal = field(default_factory=NoJournal)
    """Where the objects of an earlier life are found, and those of this one are kept."""
    usage: UsageBoard = field(default_factory=UsageBoard)
    """What pods use, as whoever runs them reports it."""
    store: Store = field(init=False)
    registry: Registry = field(init=False)
    recorder: Recorder = field(init=False)
    loops: tuple[ControllerLoop, ...] = field(init=False)

    def __post_init__(self) -> None:
        self.store = Store(Audit(self.clock, self.journal))
        self.registry = Registry(self.store, schemas().fresh(), self.clock)
        self.recorder = Recorder(self.registry)
        registry, clock, recorder = self.registry, self.clock, self.recorder
        controllers: tuple[Controller, ...] = (
            NamespaceController(registry, clock),
            DeploymentController(registry, clock, recorder),
            ReplicaSetController(registry, clock, recorder),
            StatefulSetController(registry, clock, recorder),
            DaemonSetController(registry, clock, recorder),
            JobController(registry, clock, recorder),
            CronJobController(registry, clock, recorder),
            ClaimProtection(registry, clock),
            VolumeProtection(registry, clock),
            Scheduler(registry, clock, recorder),
            EndpointsController(registry, clock),
            DisruptionController(registry, clock, recorder),
            AutoscalerController(registry, clock, recorder, self.usage),
            NodeController(registry, clock, recorder),
            TaintEvictionController(registry, clock, recorder),
            QuotaController(registry, clock),
            VolumeController(registry, clock, recorder),
            GarbageCollector(registry, clock),
            AggregationController(registry, clock),
        )
        self.loops = tuple(ControllerLoop(controller) for controller in controllers)
        registry.resume()
        for resource, obj in first_objects():
            if registry.find(resource, "", name_of(obj)) is None:
                registry.create(resource, "", obj, made_by_server(resource))
        make_roles(registry)

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Run the controllers until the block ends."""
        tasks = [asyncio.create_task(loop.run()) for loop in self.loops]
        # A loop listens once it has run; what was made before is told to it afterwards.
        await asyncio.sleep(0)
        for change in self.store.present():
            for loop in self.loops:
                loop.heard(change)
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def settle(self) -> None:
        """Return once the controllers have nothing more to write at this moment."""
        quiet = 0
        while quiet < _QUIET_TURNS:
            before = self.store.version
            await asyncio.sleep(0)
            quiet = quiet + 1 if self.store.version == before else 0
