"""The node controller: a node's conditions as taints, and the end of patience with a kubelet that renews nothing.

Source: https://kubernetes.io/docs/concepts/architecture/nodes/ and https://kubernetes.io/docs/concepts/scheduling-eviction/
taint-and-toleration/. A node whose kubelet has never had a lease is nobody's to miss.
"""

from collections.abc import Iterable
from typing import Final

from midwatch_contracts.clock import Clock
from midwatch_contracts.times import unix_seconds
from midwatch_lab.controllers.placement import NO_EXECUTE, NO_SCHEDULE, UNSCHEDULABLE
from midwatch_lab.controllers.recorder import Recorder
from midwatch_lab.controllers.runtime import Controller, Key
from midwatch_lab.kinds.node_rules import NOT_READY, UNREACHABLE
from midwatch_lab.kinds.resources import LEASES, NODES
from midwatch_lab.objects import Object, condition, copied, dig, name_of, namespace_of, set_condition
from midwatch_lab.registry.registry import Registry
from midwatch_lab.store.changes import Change

LEASE_NAMESPACE: Final = "kube-node-lease"
_GRACE_S: Final = 50.0
"""How long a lease may go without being renewed."""
_SILENT: Final = ("Ready", "MemoryPressure", "DiskPressure", "PIDPressure")
_SILENCE: Final = {
    "status": "Unknown", "reason": "NodeStatusUnknown", "message": "Kubelet stopped posting node status.",
}  # fmt: skip
_PRESSURES: Final = {
    "MemoryPressure": "node.kubernetes.io/memory-pressure",
    "DiskPressure": "node.kubernetes.io/disk-pressure",
    "PIDPressure": "node.kubernetes.io/pid-pressure",
    "NetworkUnavailable": "node.kubernetes.io/network-unavailable",
}
_OWN: Final = frozenset({NOT_READY, UNREACHABLE, UNSCHEDULABLE, *_PRESSURES.values()})


class NodeController(Controller):
    """Looks after nodes."""

    principal = "system:serviceaccount:kube-system:node-controller"

    def __init__(self, registry: Registry, clock: Clock, recorder: Recorder) -> None:
        super().__init__(registry, clock)
        self.recorder = recorder

    def interested(self, change: Change) -> Iterable[Key]:
        """Return a node itself, or the one whose lease was made."""
        if change.key == NODES.key or (
            change.key == LEASES.key and change.type == "ADDED" and namespace_of(change.obj) == LEASE_NAMESPACE
        ):
            yield "", name_of(change.obj)

    def reconcile(self, key: Key) -> float | None:
        """Give the node the taints that its conditions ask for; looks again when its lease will have run out."""
        node = self.registry.find(NODES, *key)
        if node is None:
            return None
        renewed = dig(self.registry.find(LEASES, LEASE_NAMESPACE, key[1]), "spec", "renewTime")
        left = None if renewed is None else unix_seconds(renewed) + _GRACE_S - self.clock.now()
        if left is not None and left <= 0:
            node = self._silent(node)
        self._taint(node)
        return _GRACE_S if left is None or left <= 0 else left

    def _silent(self, node: Object) -> Object:
        """Say of every condition that nobody knows it."""
        status = copied(node.get("status", {}))
        conditions: list[Object] = status.setdefault("conditions", [])
        for kind in _SILENT:
            old = condition(node, kind) or {}
            if old.get("status") != "Unknown":
                times = {"lastTransitionTime": self.registry.now_text()}
                set_condition(conditions, {**old, "type": kind, **_SILENCE, **times})
        if conditions == dig(node, "status", "conditions"):
            return node
        text = f"Node {name_of(node)} status is now: NodeNotReady"
        self.recorder.record(node, "Normal", "NodeNotReady", text, component="node-controller")
        self.write_status(NODES, node, status)
        return self.registry.read(NODES, "", name_of(node))

    def _taint(self, node: Object) -> None:
        present: list[Object] = dig(node, "spec", "taints", default=[])
        wanted = dict.fromkeys(_wanted(node))
        kept = [taint for taint in present if taint["key"] not in _OWN or (taint["key"], taint["effect"]) in wanted]
        there = {(taint["key"], taint["effect"]) for taint in kept}
        now = self.registry.now_text()
        added = [
            {"key": key, "effect": effect, "timeAdded": now} for key, effect in wanted if (key, effect) not in there
        ]
        if not added and len(kept) == len(present):
            return
        draft = copied(node)
        draft["spec"]["taints"] = [*kept, *added]
        self.registry.update(NODES, node, draft, self.origin("patch", NODES, "", name_of(node)))


def _wanted(node: Object) -> Iterable[tuple[str, str]]:
    """Yield (key, effect) of the taints that a node's conditions ask for."""
    ready = dig(condition(node, "Ready"), "status")
    if ready in ("False", "Unknown"):
        key = NOT_READY if ready == "False" else UNREACHABLE
        yield key, NO_SCHEDULE
        yield key, NO_EXECUTE
    elif ready is None:
        yield NOT_READY, NO_SCHEDULE
    for kind, key in _PRESSURES.items():
        if dig(condition(node, kind), "status") == "True":
            yield key, NO_SCHEDULE
    if dig(node, "spec", "unschedulable"):
        yield UNSCHEDULABLE, NO_SCHEDULE
