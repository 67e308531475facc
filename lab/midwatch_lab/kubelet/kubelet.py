"""The kubelet of all lab nodes: it makes the Node objects, and runs the pods that are bound to them."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Final

from midwatch_contracts.clock import Clock
from midwatch_contracts.times import rfc3339
from midwatch_lab.controllers.recorder import Recorder
from midwatch_lab.errors import AddressError
from midwatch_lab.kinds.resources import LEASES, NODES, PODS
from midwatch_lab.kubelet import node_status
from midwatch_lab.kubelet.commands import ProcessCommand, serving_command
from midwatch_lab.kubelet.container import BACKOFF_START_S, Container
from midwatch_lab.kubelet.load import NodeLoad
from midwatch_lab.kubelet.logs import ContainerLog
from midwatch_lab.kubelet.pod_worker import PodWorker
from midwatch_lab.kubelet.usage import Meter
from midwatch_lab.network.addresses import LoopbackNetwork
from midwatch_lab.objects import Object, copied, dig, is_terminating, meta, name_of, namespace_of, uid_of
from midwatch_lab.registry.registry import Registry
from midwatch_lab.registry.upkeep import DeleteOptions
from midwatch_lab.store.audit import Origin
from midwatch_lab.store.store import Change
from midwatch_lab.usage import UsageBoard

_LOG = logging.getLogger(__name__)
_LEASE_S: Final = 40
_RENEW_S: Final = 10.0
_MEASURE_S: Final = 5.0
_LEASE_NAMESPACE: Final = "kube-node-lease"
_LOGS_KEPT: Final = 200


class Kubelet:
    """Runs pods as local processes.

    Args:
        registry: where pods and nodes are read and written.
        clock: for pauses and times.
        recorder: where events go.
        network: where pods get their addresses.
        usage: where it reports what pods use.
        nodes: how many nodes there are, or their names; they share this process.
        process_command: from a container to the command line that plays it.
        backoff_start_s: the first pause before a failed container is started again.
    """

    def __init__(
        self,
        registry: Registry,
        clock: Clock,
        recorder: Recorder,
        network: LoopbackNetwork,
        usage: UsageBoard,
        *,
        nodes: int | Sequence[str] = 2,
        process_command: ProcessCommand = serving_command,
        backoff_start_s: float = BACKOFF_START_S,
    ) -> None:
        self.registry = registry
        self.clock = clock
        self.recorder = recorder
        self.network = network
        names = [f"lab-{index + 1}" for index in range(nodes)] if isinstance(nodes, int) else nodes
        self.nodes = {name: network.node_ip(index) for index, name in enumerate(names)}
        self.process_command = process_command
        self.backoff_start_s = backoff_start_s
        self._workers: dict[str, tuple[PodWorker, asyncio.Task[None]]] = {}
        self._stop: Callable[[], None] = lambda: None
        self.usage = usage
        self._meter = Meter(usage, clock)
        self._chores: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Register the nodes and listen for pods."""
        for name, address in self.nodes.items():
            self._register(name, address)
        self._chores = [asyncio.create_task(self._renew()), asyncio.create_task(self._measure())]
        self._stop = self.registry.store.listen(self._heard)
        for pod in self.registry.store.items(PODS.key):
            self._resume(pod)

    def _resume(self, pod: Object) -> None:
        """Go on with a pod of an earlier life of the lab: run it again, or let go of it, for its processes are gone."""
        if dig(pod, "spec", "nodeName") not in self.nodes:
            return
        if is_terminating(pod):
            self.registry.delete(PODS, pod, DeleteOptions(grace=0), self.origin(pod, "delete"))
        elif not _is_over(pod):
            self._begin(pod)

    async def stop(self) -> None:
        """End every process: SIGTERM, and SIGKILL a second later. The pods stay in the store."""
        self._stop()
        for chore in self._chores:
            chore.cancel()
        workers = list(self._workers.values())
        for worker, _ in workers:
            for container in worker.containers:
                container.ask_to_stop()
        deadline = asyncio.get_running_loop().time() + 1.0
        while any(not c.done for worker, _ in workers for c in worker.containers):
            if asyncio.get_running_loop().time() > deadline:
                break
            await asyncio.sleep(0.02)
        for _, task in workers:
            task.cancel()
        await asyncio.gather(*(task for _, task in workers), return_exceptions=True)

    def log_of(self, uid: str, container: str, *, previous: bool) -> ContainerLog | None:
        """Return the log of a container of a pod, or of its run before this one."""
        found = self._container(uid, container)
        if found is None:
            return None
        return found.previous_log if previous else found.log

    def running(self, uid: str, container: str) -> Container | None:
        """Return a container of a pod, if its process runs."""
        found = self._container(uid, container)
        return found if found is not None and found.process_id is not None else None

    def load_of(self, node: str) -> NodeLoad:
        """Return what a node runs."""
        pods, states = 0, {"running": 0, "exited": 0}
        for worker, _ in self._workers.values():
            if dig(worker.pod, "spec", "nodeName") != node:
                continue
            running = sum(container.process_id is not None for container in worker.containers)
            begun = sum(
                container.process_id is None and bool(container.container_id) for container in worker.containers
            )
            pods += running > 0
            states["running"] += running
            states["exited"] += begun
        return NodeLoad(node, pods, tuple(states.items()))

    def _container(self, uid: str, name: str) -> Container | None:
        known = self._workers.get(uid)
        return next((c for c in known[0].containers if c.name == name), None) if known else None

    def say(self, pod: Object, kind: str, reason: str, message: str, container: str = "") -> None:
        """Record an event about a pod."""
        field_path = f"spec.containers{{{container}}}" if container else ""
        self.recorder.record(pod, kind, reason, message, component="kubelet", field_path=field_path)

    def origin(self, pod: Object, verb: str, subresource: str = "") -> Origin:
        """Return where a write about a pod comes from."""
        node = dig(pod, "spec", "nodeName", default="")
        path = PODS.path(namespace_of(pod), name_of(pod), subresource)
        return Origin(f"system:node:{node}", verb, path, manager="kubelet", subresource=subresource)

    def host_ip(self, pod: Object) -> str:
        """Return the address of the node that a pod is on."""
        return self.nodes.get(dig(pod, "spec", "nodeName", default=""), "127.0.0.1")

    def _heard(self, change: Change) -> None:
        if change.key != PODS.key:
            return
        pod = change.obj
        known = self._workers.get(uid_of(pod))
        if change.type == "DELETED":
            if known is not None:
                known[0].end(0.0)
        elif is_terminating(pod):
            if known is not None:
                known[0].end(float(meta(pod).get("deletionGracePeriodSeconds", 0)))
        elif known is None and dig(pod, "spec", "nodeName") in self.nodes and not _is_over(pod):
            self._begin(pod)

    def _begin(self, pod: Object) -> None:
        taken = {worker.ip for worker, _ in self._workers.values()}
        try:
            worker = PodWorker(self, pod, self.network.pod_ip(taken))
        except AddressError as error:
            self.say(pod, "Warning", "FailedCreatePodSandBox", str(error))
            return
        task = asyncio.create_task(self._run(worker))
        self._workers[worker.uid] = (worker, task)

    async def _run(self, worker: PodWorker) -> None:
        try:
            await worker.run()
        except Exception:  # noqa: BLE001 (the boundary of a pod: the fault of one must not end the others)
            _LOG.exception("pod %s/%s failed in the kubelet", namespace_of(worker.pod), name_of(worker.pod))
        finally:
            self._workers.pop(worker.uid, None)
            self._meter.board.forget(worker.uid)

    def _register(self, name: str, address: str) -> None:
        node = node_status.node(name, address, self.registry.now_text())
        old = self.registry.find(NODES, "", name)
        if old is None:
            origin = Origin(f"system:node:{name}", "create", NODES.path(""), manager="kubelet")
            self.registry.create(NODES, "", node, origin)
        else:
            self._post(old, old.get("status", {}) | node["status"])
        self._lease(name)

    def _post(self, node: Object, status: Object) -> None:
        name = name_of(node)
        path = NODES.path("", name, "status")
        origin = Origin(f"system:node:{name}", "patch", path, manager="kubelet", subresource="status")
        self.registry.update(NODES, node, {**node, "status": status}, origin)

    def _beat(self, name: str) -> None:
        """Renew a node's lease, and post its conditions where they are old or somebody else's."""
        self._lease(name)
        node = self.registry.find(NODES, "", name)
        if node is not None and node_status.is_to_be_posted(node, self.clock.now()):
            status: Object = node.get("status", {})
            found = node_status.conditions(status.get("conditions", []), self.registry.now_text())
            self._post(node, {**status, "conditions": found})

    def _lease(self, name: str) -> None:
        moment = rfc3339(self.clock.now()).removesuffix("Z") + "000Z"
        origin = Origin(f"system:node:{name}", "update", LEASES.path(_LEASE_NAMESPACE, name), manager="kubelet")
        old = self.registry.find(LEASES, _LEASE_NAMESPACE, name)
        spec = {"holderIdentity": name, "leaseDurationSeconds": _LEASE_S, "renewTime": moment}
        if old is None:
            self.registry.create(LEASES, _LEASE_NAMESPACE, {"metadata": {"name": name}, "spec": spec}, origin)
        else:
            draft = copied(old)
            draft["spec"] = spec
            self.registry.update(LEASES, old, draft, origin)

    async def _renew(self) -> None:
        while True:
            await self.clock.sleep(_RENEW_S)
            for name in self.nodes:
                self._beat(name)

    async def _measure(self) -> None:
        while True:
            await self.clock.sleep(_MEASURE_S)
            self._meter.measure((uid, worker.containers) for uid, (worker, _) in self._workers.items())


def _is_over(pod: Object) -> bool:
    return dig(pod, "status", "phase") in ("Succeeded", "Failed")
