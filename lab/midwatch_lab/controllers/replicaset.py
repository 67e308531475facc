"""The ReplicaSet controller: as many pods as the spec says, and a status that counts them."""

from collections.abc import Iterable

from midwatch_contracts.clock import Clock
from midwatch_contracts.times import unix_seconds
from midwatch_lab.controllers.pod_control import PodControl, is_active, is_available, is_ready, pod_of
from midwatch_lab.controllers.recorder import Recorder
from midwatch_lab.controllers.runtime import Controller, Key, owner_key
from midwatch_lab.kinds.resources import PODS, REPLICA_SETS
from midwatch_lab.objects import Object, dig, is_terminating, labels_of, meta, name_of, namespace_of
from midwatch_lab.registry.registry import Registry
from midwatch_lab.selectors import LabelSelector
from midwatch_lab.store.store import Change


class ReplicaSetController(Controller):
    """Makes and deletes pods."""

    principal = "system:serviceaccount:kube-system:replicaset-controller"

    def __init__(self, registry: Registry, clock: Clock, recorder: Recorder) -> None:
        super().__init__(registry, clock)
        self.pods = PodControl(self, recorder, "replicaset-controller")

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
        self.pods.adopt(found)
        if not is_terminating(found):
            self._scale(found, [pod for pod in self.pods.of(found) if is_active(pod)])
        return self._count(found, self.pods.of(found))

    def _scale(self, found: Object, active: list[Object]) -> None:
        wanted = int(dig(found, "spec", "replicas", default=0))
        for _ in range(wanted - len(active)):
            self.pods.make(found, pod_of(found, dig(found, "spec", "template")))
        if len(active) > wanted:
            for pod in sorted(active, key=_dispensable)[: len(active) - wanted]:
                self.pods.delete(found, pod)

    def _count(self, found: Object, pods: list[Object]) -> float | None:
        now = self.clock.now()
        min_ready = float(dig(found, "spec", "minReadySeconds", default=0))
        active = [pod for pod in pods if is_active(pod)]
        ready = [pod for pod in active if is_ready(pod)]
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
        is_ready(pod),
        age,
        name_of(pod),
    )
