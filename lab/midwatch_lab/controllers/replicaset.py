"""The ReplicaSet controller: as many pods as the spec says, and a status that counts them."""

from collections.abc import Iterable
from typing import Final

from midwatch_contracts.clock import Clock
from midwatch_contracts.times import unix_seconds
from midwatch_lab.controllers.recorder import Recorder
from midwatch_lab.controllers.runtime import Controller, Key, owner_key
from midwatch_lab.errors import ApiError
from midwatch_lab.kinds.resources import PODS, REPLICA_SETS
from midwatch_lab.objects import (
    Object,
    condition,
    controller_of,
    copied,
    dig,
    is_condition_true,
    is_controlled_by,
    is_terminating,
    labels_of,
    meta,
    name_of,
    namespace_of,
    owner_reference,
)
from midwatch_lab.registry.registry import Registry
from midwatch_lab.registry.upkeep import DeleteOptions
from midwatch_lab.selectors import LabelSelector
from midwatch_lab.store.store import Change

_FINISHED: Final = ("Succeeded", "Failed")


def is_active(pod: Object) -> bool:
    """Tell whether a pod counts: neither finished nor on its way out."""
    return not is_terminating(pod) and dig(pod, "status", "phase") not in _FINISHED


def is_available(pod: Object, min_ready: float, now: float) -> bool:
    """Tell whether a pod has been ready for long enough."""
    ready = condition(pod, "Ready")
    if ready is None or ready.get("status") != "True":
        return False
    since = ready.get("lastTransitionTime")
    return not min_ready or (since is not None and now - unix_seconds(since) >= min_ready)


class ReplicaSetController(Controller):
    """Makes and deletes pods."""

    principal = "system:serviceaccount:kube-system:replicaset-controller"

    def __init__(self, registry: Registry, clock: Clock, recorder: Recorder) -> None:
        super().__init__(registry, clock)
        self.recorder = recorder

    def interested(self, change: Change) -> Iterable[Key]:
        """Return a ReplicaSet itself, or one whose pod changed."""
        if change.key == REPLICA_SETS.key:
            yield namespace_of(change.obj), name_of(change.obj)
        elif change.key == PODS.key:
            yield from owner_key(change, "ReplicaSet")

    def reconcile(self, key: Key) -> float | None:
        """Make or delete pods, then count them."""
        found = self.registry.find(REPLICA_SETS, *key)
        if found is None:
            return None
        selector = LabelSelector.of(dig(found, "spec", "selector"))
        self._adopt(found, selector)
        pods = [p for p in self.registry.store.items(PODS.key, key[0]) if is_controlled_by(p, found)]
        active = [pod for pod in pods if is_active(pod)]
        if not is_terminating(found):
            self._scale(found, active)
            pods = [p for p in self.registry.store.items(PODS.key, key[0]) if is_controlled_by(p, found)]
        return self._count(found, pods)

    def _adopt(self, found: Object, selector: LabelSelector) -> None:
        if is_terminating(found):
            return
        for pod in self.registry.store.items(PODS.key, namespace_of(found)):
            if controller_of(pod) is None and is_active(pod) and selector.matches(labels_of(pod)):
                draft = copied(pod)
                draft["metadata"].setdefault("ownerReferences", []).append(owner_reference(found))
                origin = self.origin("patch", PODS, namespace_of(pod), name_of(pod))
                self.registry.update(PODS, pod, draft, origin)

    def _scale(self, found: Object, active: list[Object]) -> None:
        wanted = int(dig(found, "spec", "replicas", default=0))
        for _ in range(wanted - len(active)):
            self._make(found)
        if len(active) > wanted:
            for pod in sorted(active, key=_dispensable)[: len(active) - wanted]:
                self._delete(found, pod)

    def _make(self, found: Object) -> None:
        template = copied(dig(found, "spec", "template"))
        metadata = template.get("metadata", {})
        body: Object = {
            "metadata": {
                **{key: metadata[key] for key in ("labels", "annotations") if key in metadata},
                "generateName": f"{name_of(found)}-",
                "ownerReferences": [owner_reference(found)],
            },
            "spec": template.get("spec", {}),
        }
        namespace = namespace_of(found)
        try:
            pod = self.registry.create(PODS, namespace, body, self.origin("create", PODS, namespace, ""))
        except ApiError as error:
            self.recorder.record(
                found, "Warning", "FailedCreate", f"Error creating: {error}", component="replicaset-controller"
            )
            raise
        self.recorder.record(
            found, "Normal", "SuccessfulCreate", f"Created pod: {name_of(pod)}", component="replicaset-controller"
        )

    def _delete(self, found: Object, pod: Object) -> None:
        origin = self.origin("delete", PODS, namespace_of(pod), name_of(pod))
        self.registry.delete(PODS, pod, DeleteOptions(), origin)
        self.recorder.record(
            found, "Normal", "SuccessfulDelete", f"Deleted pod: {name_of(pod)}", component="replicaset-controller"
        )

    def _count(self, found: Object, pods: list[Object]) -> float | None:
        now = self.clock.now()
        min_ready = float(dig(found, "spec", "minReadySeconds", default=0))
        active = [pod for pod in pods if is_active(pod)]
        ready = [pod for pod in active if is_condition_true(pod, "Ready")]
        available = [pod for pod in ready if is_available(pod, min_ready, now)]
        template_labels = LabelSelector.of_map(labels_of(dig(found, "spec", "template", default={})))
        counts = {
            "replicas": len(active),
            "fullyLabeledReplicas": sum(1 for pod in active if template_labels.matches(labels_of(pod))),
            "readyReplicas": len(ready),
            "availableReplicas": len(available),
        }
        current = self.registry.find(REPLICA_SETS, namespace_of(found), name_of(found))
        if current is None:
            return None
        status: Object = {
            "replicas": counts.pop("replicas"),
            **{key: value for key, value in counts.items() if value},
            "terminatingReplicas": sum(1 for pod in pods if is_terminating(pod)),
            "observedGeneration": meta(current).get("generation", 1),
        }
        self.write_status(REPLICA_SETS, current, status)
        return min_ready if len(available) < len(ready) else None


def _dispensable(pod: Object) -> tuple[bool, bool, bool, float, str]:
    """Order pods by what can go first: not placed, not running, not ready, then the youngest."""
    age = -unix_seconds(str(meta(pod)["creationTimestamp"]))
    return (
        bool(dig(pod, "spec", "nodeName")),
        dig(pod, "status", "phase") == "Running",
        is_condition_true(pod, "Ready"),
        age,
        name_of(pod),
    )
