"""The scheduler: each pod without a node onto the fitting node that has the most room."""

from collections.abc import Iterable
from decimal import Decimal
from typing import Final

from midwatch_contracts.clock import Clock
from midwatch_lab.controllers.placement import NO_EXECUTE, NO_SCHEDULE, UNSCHEDULABLE, is_attracted, untolerated
from midwatch_lab.controllers.recorder import Recorder
from midwatch_lab.controllers.runtime import Controller, Key
from midwatch_lab.kinds.resources import NODES, PODS
from midwatch_lab.objects import (
    Object,
    copied,
    dig,
    is_condition_true,
    is_terminating,
    name_of,
    namespace_of,
    set_condition,
)
from midwatch_lab.quantity import parse
from midwatch_lab.registry.registry import Registry
from midwatch_lab.store.audit import Origin
from midwatch_lab.store.store import Change

_RETRY_S: Final = 5.0
_NAME: Final = "default-scheduler"
_MEASURED: Final = ("cpu", "memory")


def bind(registry: Registry, pod: Object, node: str, origin: Origin) -> None:
    """Put a pod on a node: its spec names the node and PodScheduled becomes true, in one write."""
    draft = copied(pod)
    draft["spec"]["nodeName"] = node
    new = {"type": "PodScheduled", "status": "True", "lastProbeTime": None, "lastTransitionTime": registry.now_text()}
    conditions: list[Object] = draft.setdefault("status", {}).setdefault("conditions", [])
    set_condition(conditions, {key: value for key, value in new.items() if value is not None})
    registry.store.update(PODS, draft, pod, origin)


def _is_ours(pod: Object) -> bool:
    """Tell whether a pod waits for this scheduler, and not for another that it names."""
    return not dig(pod, "spec", "nodeName") and dig(pod, "spec", "schedulerName", default=_NAME) == _NAME


def requests_of(pod: Object) -> dict[str, Decimal]:
    """Return what a pod asks for: cores and bytes."""
    total: dict[str, Decimal] = {name: Decimal(0) for name in _MEASURED}
    for container in dig(pod, "spec", "containers", default=[]):
        for name in _MEASURED:
            total[name] += parse(dig(container, "resources", "requests", name, default=0))
    return total


class Scheduler(Controller):
    """Binds pods to nodes."""

    principal = "system:kube-scheduler"
    manager = "kube-scheduler"

    def __init__(self, registry: Registry, clock: Clock, recorder: Recorder) -> None:
        super().__init__(registry, clock)
        self.recorder = recorder

    def interested(self, change: Change) -> Iterable[Key]:
        """Return a pod without a node; every such pod when a node changes."""
        if change.key == PODS.key and change.type != "DELETED" and _is_ours(change.obj):
            yield namespace_of(change.obj), name_of(change.obj)
        elif change.key == NODES.key:
            for pod in self.registry.store.items(PODS.key):
                if _is_ours(pod):
                    yield namespace_of(pod), name_of(pod)

    def reconcile(self, key: Key) -> float | None:
        """Bind the pod, or say why it cannot be."""
        pod = self.registry.find(PODS, *key)
        if pod is None or is_terminating(pod) or not _is_ours(pod):
            return None
        faults: dict[str, int] = {}
        fitting: list[tuple[int, str]] = []
        pods = self.registry.store.items(PODS.key)
        nodes = self.registry.store.items(NODES.key)
        for node in nodes:
            there = [p for p in pods if dig(p, "spec", "nodeName") == name_of(node) and not _is_done(p)]
            fault = _misfit(pod, node, there)
            if fault is None:
                fitting.append((len(there), name_of(node)))
            else:
                faults[fault] = faults.get(fault, 0) + 1
        if not fitting:
            self._refuse(pod, len(nodes), faults)
            return _RETRY_S
        _, chosen = min(fitting)
        bind(self.registry, pod, chosen, self.origin("create", PODS, *key, "binding"))
        text = f"Successfully assigned {key[0]}/{key[1]} to {chosen}"
        self.recorder.record(pod, "Normal", "Scheduled", text, component="default-scheduler")
        return None

    def _refuse(self, pod: Object, nodes: int, faults: dict[str, int]) -> None:
        reasons = ", ".join(f"{count} {fault}" for fault, count in sorted(faults.items()))
        text = f"0/{nodes} nodes are available: {reasons or 'no nodes'}."
        self.recorder.record(pod, "Warning", "FailedScheduling", text, component="default-scheduler")
        current = self.registry.read(PODS, namespace_of(pod), name_of(pod))
        status = copied(current.get("status", {}))
        new = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": text}
        if set_condition(status.setdefault("conditions", []), {**new, "lastTransitionTime": self.registry.now_text()}):
            self.write_status(PODS, current, status)


def _is_done(pod: Object) -> bool:
    return dig(pod, "status", "phase") in ("Succeeded", "Failed")


def _unfit(spec: Object, node: Object) -> str | None:
    """Say why a node is none for a pod, however much room it has."""
    taints = untolerated(spec, node, (NO_SCHEDULE, NO_EXECUTE))
    if any(taint.get("key") == UNSCHEDULABLE for taint in taints):
        return "node(s) were unschedulable"
    if not is_condition_true(node, "Ready"):
        return "node(s) were not ready"
    if taints:
        return "node(s) had untolerated taint(s)"
    return None if is_attracted(spec, node) else "node(s) didn't match Pod's node affinity/selector"


def _misfit(pod: Object, node: Object, there: list[Object]) -> str | None:
    fault = _unfit(dig(pod, "spec", default={}), node)
    if fault is not None:
        return fault
    room: Object = dig(node, "status", "allocatable", default={})
    if len(there) >= int(parse(room.get("pods", 0))):
        return "Too many pods"
    wanted = requests_of(pod)
    for name in _MEASURED:
        used = sum((requests_of(item)[name] for item in there), Decimal(0))
        if wanted[name] and used + wanted[name] > parse(room.get(name, 0)):
            return f"Insufficient {name}"
    return None
