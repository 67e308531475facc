"""How many pods of each copied workload are ready, over the time of a rehearsal."""

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from types import TracebackType
from typing import Any, Self

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


class PodWatch:
    """`async with PodWatch(...)`: looks again and again until the block ends.

    Args:
        api: the cluster that is watched.
        workloads: the selector of each workload.
        clock: paces the looks.
    """

    def __init__(self, api: TargetApi, workloads: Mapping[str, Mapping[str, Any]], clock: Clock) -> None:
        self.reasons: dict[str, dict[str, None]] = {}
        """Why containers were not ready, by workload, in the order in which it was seen."""
        self._api = api
        self._workloads = workloads
        self._clock = clock
        self._before: dict[str, int] = {}
        self._least: dict[str, int] = {}
        self._after: dict[str, int] = {}
        self._short_s: dict[str, float] = {}
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Look once, and begin to watch."""
        await self._look()
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Look no more. A look that failed, as when the cluster goes, ends the watch and nothing else."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _look(self) -> None:
        pods = await pods_of(self._api, self._workloads)
        self._after = {name: sum(map(is_ready, found)) for name, found in pods.items()}
        for name, found in pods.items():
            for why in why_not_ready(found):
                self.reasons.setdefault(name, {})[why] = None
        if not self._before:
            self._before = self._after
        self._least = {name: min(count, self._least.get(name, count)) for name, count in self._after.items()}

    async def _run(self) -> None:
        """Look until cancelled."""
        last = self._clock.now()
        while True:
            await self._look()
            await self._clock.sleep(_LOOK_S)
            now = self._clock.now()
            for name, count in self._after.items():
                if count < self._before[name]:
                    self._short_s[name] = self._short_s.get(name, 0.0) + now - last
            last = now

    def courses(self) -> tuple[PodCourse, ...]:
        """Return what was seen."""
        return tuple(
            PodCourse(
                workload=name,
                before=self._before.get(name, 0),
                least=self._least.get(name, 0),
                after=self._after.get(name, 0),
                short_s=round(self._short_s.get(name, 0.0), 1),
            )
            for name in self._workloads
        )
