"""One pod on a node: its containers as processes, its status in the store, its end in two steps."""

import asyncio
from typing import Final, Protocol

from midwatch_lab.errors import ApiError
from midwatch_lab.kinds.resources import PODS
from midwatch_lab.kubelet.container import Container, Surroundings
from midwatch_lab.objects import Object, dig, meta, name_of, namespace_of, uid_of
from midwatch_lab.registry.upkeep import DeleteOptions
from midwatch_lab.store.audit import Origin

_ROUTES_SETTLE_S: Final = 0.1
"""Pause before SIGTERM in which Services stop sending to the pod, lest a rollout refuse requests."""

_COMPLETED: Final = "PodCompleted"


class Node(Surroundings, Protocol):
    """What a pod needs of its kubelet."""

    def origin(self, pod: Object, verb: str, subresource: str = "") -> Origin:
        """Return where a write about a pod comes from."""
        ...

    def host_ip(self, pod: Object) -> str:
        """Return the address of the node that a pod is on."""
        ...


class PodWorker:
    """Runs one pod from the moment it is bound until it is gone."""

    def __init__(self, node: Node, pod: Object, ip: str) -> None:
        self.node = node
        self.pod = pod
        self.ip = ip
        self.uid = uid_of(pod)
        self.containers = [Container(node, pod, spec, ip, self.write_status) for spec in dig(pod, "spec", "containers")]
        self._take_over(dig(pod, "status", "containerStatuses", default=[]))
        self._started = node.registry.now_text()
        self._grace: float | None = None
        self._told = asyncio.Event()

    def _take_over(self, earlier: list[Object]) -> None:
        """Go on from what an earlier life of the lab left, where there was one."""
        known = {status.get("name"): status for status in earlier}
        for container in self.containers:
            if container.name in known:
                container.take_over(known[container.name])
        if known:
            text = "Pod sandbox changed, it will be killed and re-created."
            self.node.say(self.pod, "Normal", "SandboxChanged", text)

    async def run(self) -> None:
        """Run the containers, then clean up; the pod leaves the store when it was deleted and all have ended."""
        if dig(self.pod, "spec", "initContainers"):
            self._refuse("the lab runs no init containers: take them out of the pod")
            await self._told.wait()
        else:
            await self._run_containers()
        self._leave()

    async def _run_containers(self) -> None:
        self.write_status()
        running = [asyncio.create_task(container.run()) for container in self.containers]
        told = asyncio.create_task(self._told.wait())
        try:
            await told
            await self._stop(running)
        finally:
            told.cancel()
            for container in self.containers:
                container.kill()
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    async def _stop(self, running: list[asyncio.Task[None]]) -> None:
        for container in self.containers:
            if "running" in container.state:
                text = f"Stopping container {container.name}"
                self.node.say(self.pod, "Normal", "Killing", text, container.name)
            container.ready = False
        self.write_status()
        if self._grace:
            await self.node.clock.sleep(min(_ROUTES_SETTLE_S, self._grace))
        for container in self.containers:
            container.ask_to_stop()
        loop = asyncio.get_running_loop()
        began = loop.time()
        pending = set(running)
        while pending:
            self._told.clear()
            left = (self._grace or 0.0) - (loop.time() - began)
            if left <= 0:
                break
            again = asyncio.create_task(self._told.wait())
            done, _ = await asyncio.wait({*pending, again}, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            again.cancel()
            pending -= done
        for container in self.containers:
            container.kill()
        await asyncio.gather(*running, return_exceptions=True)

    def end(self, grace: float) -> None:
        """Have the pod end; a second call can only make it sooner."""
        self._grace = grace if self._grace is None else min(self._grace, grace)
        self._told.set()

    def _refuse(self, why: str) -> None:
        for container in self.containers:
            container.state = {"waiting": {"reason": "CreateContainerConfigError", "message": why}}
        self.node.say(self.pod, "Warning", "Failed", f"Error: {why}")
        self.write_status()

    def _leave(self) -> None:
        self.write_status()
        current = self._current()
        if current is not None:
            self.node.registry.delete(PODS, current, DeleteOptions(grace=0), self.node.origin(current, "delete"))

    def _current(self) -> Object | None:
        found = self.node.registry.find(PODS, namespace_of(self.pod), name_of(self.pod))
        return found if found is not None and uid_of(found) == self.uid else None

    def write_status(self) -> None:
        """Write the pod's status, if it is another."""
        current = self._current()
        if current is None:
            return
        status = self._status(current)
        if status != current.get("status"):
            origin = self.node.origin(current, "patch", "status")
            try:
                self.node.registry.update(PODS, current, {**current, "status": status}, origin)
            except ApiError as error:
                self.node.say(current, "Warning", "FailedStatusUpdate", str(error))

    def _status(self, current: Object) -> Object:
        old: Object = current.get("status", {})
        phase = self._phase()
        if self._grace is None and old.get("phase") in ("Succeeded", "Failed"):
            phase = str(old["phase"])
        host = self.node.host_ip(current)
        return {
            **old,
            "phase": phase,
            "conditions": self._conditions(old, int(meta(current).get("generation", 1))),
            "hostIP": host,
            "hostIPs": [{"ip": host}],
            "podIP": self.ip,
            "podIPs": [{"ip": self.ip}],
            "startTime": old.get("startTime", self._started),
            "containerStatuses": [container.status for container in self.containers],
            "observedGeneration": meta(current).get("generation", 1),
        }

    def _phase(self) -> str:
        if all(container.done for container in self.containers):
            codes = [int(dig(container.state, "terminated", "exitCode", default=0)) for container in self.containers]
            return "Failed" if any(codes) else "Succeeded"
        begun = any(c.container_id or c.restarts for c in self.containers)
        return "Running" if begun else "Pending"

    def _unready(self) -> Object:
        """Say why the pod is not ready: its work is done, or which containers are not."""
        phase = self._phase()
        if phase in ("Succeeded", "Failed") and self._grace is None:
            return {"reason": _COMPLETED if phase == "Succeeded" else "PodFailed"}
        unready = [container.name for container in self.containers if not container.ready]
        text = f"containers with unready status: [{' '.join(unready)}]"
        return {"reason": "ContainersNotReady", "message": text}

    def _conditions(self, old: Object, generation: int) -> list[Object]:
        ready = all(container.ready for container in self.containers) and self._grace is None
        why: Object = {} if ready else self._unready()
        wanted: list[Object] = [
            {"type": "PodReadyToStartContainers", "status": "True"},
            {"type": "Initialized", "status": "True", **(why if why.get("reason") == _COMPLETED else {})},
            {"type": "Ready", "status": "True" if ready else "False", **why},
            {"type": "ContainersReady", "status": "True" if ready else "False", **why},
        ]
        before: dict[str, Object] = {item["type"]: item for item in old.get("conditions", [])}
        found: list[Object] = []
        for item in wanted:
            known = before.pop(item["type"], None)
            same = known is not None and known.get("status") == item["status"]
            since = known["lastTransitionTime"] if same and known is not None else self.node.registry.now_text()
            found.append({**item, "lastProbeTime": None, "lastTransitionTime": since, "observedGeneration": generation})
        return [*found, *before.values()]
