"""Taint eviction: pods that do not tolerate a node's `NoExecute` taints go, at once or after the time they ask for.

Source: https://kubernetes.io/docs/concepts/scheduling-eviction/taint-and-toleration/. Budgets are not asked, as in the
original.
"""

from collections.abc import Iterable
from typing import Final

from midwatch_contracts.clock import Clock
from midwatch_lab.controllers.placement import NO_EXECUTE, taints_of, tolerations_of
from midwatch_lab.controllers.recorder import Recorder
from midwatch_lab.controllers.runtime import Controller, Key
from midwatch_lab.kinds.resources import NODES, PODS
from midwatch_lab.objects import Object, dig, is_terminating, meta, name_of, namespace_of, uid_of
from midwatch_lab.registry import managed_fields
from midwatch_lab.registry.eviction import disruption_target
from midwatch_lab.registry.registry import Registry
from midwatch_lab.registry.upkeep import DeleteOptions
from midwatch_lab.store.changes import Change

_COMPONENT: Final = "taint-eviction-controller"
_MESSAGE: Final = "Taint manager: deleting due to NoExecute taint"


class TaintEvictionController(Controller):
    """Deletes pods from nodes that no longer want them."""

    principal = "system:serviceaccount:kube-system:taint-eviction-controller"

    def __init__(self, registry: Registry, clock: Clock, recorder: Recorder) -> None:
        super().__init__(registry, clock)
        self.recorder = recorder
        self._since: dict[Key, tuple[str, float]] = {}
        """By pod: its uid, and since when it only stays for a while."""

    def interested(self, change: Change) -> Iterable[Key]:
        """Return a pod that is on a node, or all pods of a node whose taints changed."""
        if change.key == PODS.key and dig(change.obj, "spec", "nodeName"):
            yield namespace_of(change.obj), name_of(change.obj)
        elif change.key == NODES.key and dig(change.obj, "spec", "taints") != dig(change.old, "spec", "taints"):
            for pod in self.registry.store.items(PODS.key):
                if dig(pod, "spec", "nodeName") == name_of(change.obj):
                    yield namespace_of(pod), name_of(pod)

    def reconcile(self, key: Key) -> float | None:
        """Let the pod stay, delete it, or look again when its time is over."""
        pod = self.registry.find(PODS, *key)
        node = None if pod is None else self.registry.find(NODES, "", dig(pod, "spec", "nodeName", default=""))
        if pod is None or node is None or is_terminating(pod):
            self._since.pop(key, None)
            return None
        taints = [taint for taint in taints_of(node) if taint.get("effect") == NO_EXECUTE]
        stay = _stay(pod["spec"], taints)
        if stay is None:
            if self._since.pop(key, None) is not None:
                self._say(pod, f"Cancelling deletion of Pod {key[0]}/{key[1]}")
            return None
        known = self._since.get(key)
        if known is None or known[0] != uid_of(pod):
            known = self._since[key] = (uid_of(pod), self.clock.now())
        left = known[1] + stay - self.clock.now()
        if left > 0:
            return left
        self._evict(pod)
        return None

    def _evict(self, pod: Object) -> None:
        namespace, name = namespace_of(pod), name_of(pod)
        self._say(pod, f"Marking for deletion Pod {namespace}/{name}")
        draft = disruption_target(pod, "DeletionByTaintManager", _MESSAGE, self.registry.now_text())
        owners = managed_fields.read(meta(pod).get("managedFields", []))
        marked = self.registry.update(
            PODS, pod, draft, self.origin("patch", PODS, namespace, name, "status"), managed=owners
        )
        self.registry.delete(PODS, marked, DeleteOptions(), self.origin("delete", PODS, namespace, name))

    def _say(self, pod: Object, message: str) -> None:
        self.recorder.record(pod, "Normal", "TaintManagerEviction", message, component=_COMPONENT)


def _stay(spec: Object, taints: list[Object]) -> float | None:
    """Return for how many seconds a pod may stay on a node with the taints; None for as long as it likes."""
    found: list[float] = []
    for taint in taints:
        tolerations = tolerations_of(spec, taint)
        if not tolerations:
            return 0.0
        found += [float(item["tolerationSeconds"]) for item in tolerations if "tolerationSeconds" in item]
    return max(0.0, min(found)) if found else None
