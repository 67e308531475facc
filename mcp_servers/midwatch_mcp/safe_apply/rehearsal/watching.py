"""How many pods of each copied workload are ready, over the time of a rehearsal."""

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from midwatch_contracts.clock import Clock
from midwatch_contracts.entity import Entity
from midwatch_mcp.kubernetes.room import mapping, objects, text
from midwatch_mcp.safe_apply.pods import Object, is_ready, selected
from midwatch_mcp.safe_apply.ports import TargetApi
from midwatch_mcp.safe_apply.rehearsal.outcome import PodCourse

_LOOK_S = 0.25


async def pods_of(api: TargetApi, workloads: Mapping[str, Mapping[str, Any]]) -> dict[str, list[Object]]:
    """Return the pods of each workload, by name. `workloads` has the selector of each."""
    spaces = sorted({Entity.parse(name).namespace for name in workloads})
    pods = {space: await api.objects("Pod", space) for space in spaces}
    return {
        name: sorted(
            (pod for pod in pods[Entity.parse(name).namespace] if selected(pod, selector)),
            key=lambda pod: str(pod["metadata"]["name"]),
        )
        for name, selector in workloads.items()
    }


def why_not_ready(pods: Iterable[Object]) -> Iterator[str]:
    """Yield what containers wait for, and how they ended, in their own words."""
    for pod in pods:
        for status in objects(mapping(pod, "status").get("containerStatuses")):
            name, waits = text(status, "name"), text(status, "state", "waiting", "reason")
            ended, last = mapping(status, "state", "terminated"), mapping(status, "lastState", "terminated")
            if waits not in ("", "ContainerCreating", "PodInitializing"):
                code = f", it ended with exit code {last['exitCode']}" if "exitCode" in last else ""
                yield f"container {name} waits: {waits}{code}"
            elif ended.get("exitCode"):
                yield f"container {name} ended with exit code {ended['exitCode']}"


@dataclass
class PodWatch:
    """Looks again and again until it is stopped."""

    api: TargetApi
    workloads: Mapping[str, Mapping[str, Any]]
    clock: Clock
    before: dict[str, int] = field(default_factory=dict[str, int])
    least: dict[str, int] = field(default_factory=dict[str, int])
    after: dict[str, int] = field(default_factory=dict[str, int])
    short_s: dict[str, float] = field(default_factory=dict[str, float])
    reasons: dict[str, dict[str, None]] = field(default_factory=dict[str, dict[str, None]])

    async def look(self) -> None:
        """Look once."""
        pods = await pods_of(self.api, self.workloads)
        self.after = {name: sum(map(is_ready, found)) for name, found in pods.items()}
        for name, found in pods.items():
            for why in why_not_ready(found):
                self.reasons.setdefault(name, {})[why] = None
        if not self.before:
            self.before = self.after
        self.least = {name: min(count, self.least.get(name, count)) for name, count in self.after.items()}

    async def run(self) -> None:
        """Look until cancelled."""
        last = self.clock.now()
        while True:
            await self.look()
            await self.clock.sleep(_LOOK_S)
            now = self.clock.now()
            for name, count in self.after.items():
                if count < self.before[name]:
                    self.short_s[name] = self.short_s.get(name, 0.0) + now - last
            last = now

    def courses(self) -> tuple[PodCourse, ...]:
        """Return what was seen."""
        return tuple(
            PodCourse(
                workload=name,
                before=self.before.get(name, 0),
                least=self.least.get(name, 0),
                after=self.after.get(name, 0),
                short_s=round(self.short_s.get(name, 0.0), 1),
            )
            for name in self.workloads
        )


async def cancelled(task: asyncio.Task[None]) -> None:
    """Cancel a watch and wait for its end."""
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
