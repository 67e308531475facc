"""The DaemonSet controller: one pod on every node that the pods may run on, replaced a few at a time."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from midwatch_contracts.clock import Clock
from midwatch_lab.controllers.daemon_pods import daemon_pod, should_run
from midwatch_lab.controllers.history import REVISION_HASH, History
from midwatch_lab.controllers.placement import bound_by_name
from midwatch_lab.controllers.pod_control import FINISHED, PodControl, is_available, is_ready
from midwatch_lab.controllers.recorder import Recorder
from midwatch_lab.controllers.revisions import by_age
from midwatch_lab.controllers.rollout import resolved
from midwatch_lab.controllers.runtime import Controller, Key, owner_key
from midwatch_lab.kinds.resources import DAEMON_SETS, NODES, PODS
from midwatch_lab.objects import Object, dig, is_terminating, labels_of, meta, name_of, namespace_of
from midwatch_lab.registry.registry import Registry
from midwatch_lab.store.store import Change

_FAILED_RETRY_S: Final = 1.0


@dataclass(frozen=True)
class Fleet:
    """A DaemonSet at one moment: its pods by node, the oldest first, and which nodes are to have one."""

    found: Object
    pods: dict[str, list[Object]]
    wanted: frozenset[str]
    kept: frozenset[str]
    """Nodes that may keep a pod, though perhaps not get one."""
    digest: str
    now: float

    def is_new(self, pod: Object) -> bool:
        """Tell whether a pod is of the present template."""
        return labels_of(pod).get(REVISION_HASH) == self.digest

    def is_up(self, pod: Object) -> bool:
        """Tell whether a pod is available, and staying."""
        min_ready = float(dig(self.found, "spec", "minReadySeconds", default=0))
        return not is_terminating(pod) and is_available(pod, min_ready, self.now)

    def limit(self, key: str) -> int:
        """Return `maxUnavailable` or `maxSurge` as a number of pods."""
        value = dig(self.found, "spec", "updateStrategy", "rollingUpdate", key, default=0)
        return resolved(value, len(self.wanted), up=True)


class DaemonSetController(Controller):
    """Makes and deletes the pods of nodes."""

    principal = "system:serviceaccount:kube-system:daemon-set-controller"

    def __init__(self, registry: Registry, clock: Clock, recorder: Recorder) -> None:
        super().__init__(registry, clock)
        self.pods = PodControl(self, recorder, "daemonset-controller")
        self.history = History(self, REVISION_HASH)

    def interested(self, change: Change) -> Iterable[Key]:
        """Return a DaemonSet itself, or one whose pod changed; all of them when a node changes its spec or labels."""
        if change.key == DAEMON_SETS.key:
            yield namespace_of(change.obj), name_of(change.obj)
        elif change.key == PODS.key:
            yield from owner_key(change, "DaemonSet")
        elif change.key == NODES.key and _matters(change):
            for item in self.registry.store.items(DAEMON_SETS.key):
                yield namespace_of(item), name_of(item)

    def reconcile(self, key: Key) -> float | None:
        """Bring every node to its one pod, then replace old pods, then count."""
        found = self.registry.find(DAEMON_SETS, *key)
        if found is None:
            return None
        self.pods.adopt(found)
        again = None
        if not is_terminating(found):
            again = self._place(self._look(found))
            if dig(found, "spec", "updateStrategy", "type") == "RollingUpdate":
                self._roll(self._look(found))
        later = self._count(key)
        return later if again is None else again

    def _look(self, found: Object) -> Fleet:
        digest = labels_of(self.history.present(found)).get(REVISION_HASH, "")
        pods: dict[str, list[Object]] = defaultdict(list)
        for pod in sorted(self.pods.of(found), key=by_age):
            pods[bound_by_name(pod)].append(pod)
        nodes = {name_of(node): should_run(found, node) for node in self.registry.store.items(NODES.key)}
        wanted = frozenset(name for name, (runs, _) in nodes.items() if runs)
        kept = frozenset(name for name, (_, keeps) in nodes.items() if keeps)
        return Fleet(found, dict(pods), wanted, kept, digest, self.clock.now())

    def _place(self, fleet: Fleet) -> float | None:
        """Make what is missing and delete what is over or done; returns when to look again at what failed."""
        again = None
        for node in sorted({*fleet.wanted, *fleet.pods}):
            pods = fleet.pods.get(node, [])
            if node not in fleet.kept:
                for pod in pods:
                    self._delete(fleet, pod)
                continue
            done = [pod for pod in pods if dig(pod, "status", "phase") in FINISHED]
            for pod in done:
                self._clear(fleet, node, pod)
                again = _FAILED_RETRY_S
            active = [pod for pod in pods if pod not in done and not is_terminating(pod)]
            if not active and not pods and node in fleet.wanted:
                self.pods.make(fleet.found, daemon_pod(fleet.found, node, fleet.digest))
            self._thin(fleet, active)
        return again

    def _thin(self, fleet: Fleet, active: list[Object]) -> None:
        """Leave one pod on a node; while they surge, one of the present template beside an old one."""
        olds = [pod for pod in active if not fleet.is_new(pod)]
        news = [pod for pod in active if fleet.is_new(pod)]
        surges = bool(fleet.limit("maxSurge"))
        if surges and olds and news:
            if fleet.is_up(news[0]):
                for pod in olds:
                    self._delete(fleet, pod)
            for pod in news[1:]:
                self._delete(fleet, pod)
            return
        for pod in active[1:]:
            self._delete(fleet, pod)

    def _clear(self, fleet: Fleet, node: str, pod: Object) -> None:
        """Delete a pod that has ended, so that the node gets another."""
        if is_terminating(pod):
            return
        word = str(dig(pod, "status", "phase"))
        place = f"{namespace_of(pod)}/{name_of(pod)}"
        way, kind = ("kill", "Warning") if word == "Failed" else ("delete", "Normal")
        text = f"Found {word.lower()} daemon pod {place} on node {node}, will try to {way} it"
        self.pods.say(fleet.found, f"{word}DaemonPod", text, kind=kind)
        self._delete(fleet, pod)

    def _roll(self, fleet: Fleet) -> None:
        """Replace old pods as far as the limits allow: those that are down anyway come first."""
        if fleet.limit("maxSurge"):
            self._surge(fleet)
            return
        budget = fleet.limit("maxUnavailable") - self._missing(fleet)
        for up in (False, True):
            for node in sorted(fleet.wanted):
                for pod in fleet.pods.get(node, []):
                    if fleet.is_new(pod) or is_terminating(pod) or fleet.is_up(pod) != up:
                        continue
                    if up and budget <= 0:
                        return
                    budget -= up
                    self._delete(fleet, pod)

    def _missing(self, fleet: Fleet) -> int:
        """Return how many nodes have no pod that is up."""
        return sum(not any(fleet.is_up(pod) for pod in fleet.pods.get(node, [])) for node in fleet.wanted)

    def _surge(self, fleet: Fleet) -> None:
        """Make pods of the present template beside old ones, no more at once than may be."""
        halves = {node: [fleet.is_new(pod) for pod in fleet.pods.get(node, [])] for node in fleet.wanted}
        budget = fleet.limit("maxSurge") - sum(True in found and False in found for found in halves.values())
        for node in sorted(node for node, found in halves.items() if found and not any(found)):
            if budget <= 0:
                return
            budget -= 1
            self.pods.make(fleet.found, daemon_pod(fleet.found, node, fleet.digest))

    def _delete(self, fleet: Fleet, pod: Object) -> None:
        if not is_terminating(pod):
            self.pods.delete(fleet.found, pod)

    def _count(self, key: Key) -> float | None:
        found = self.registry.find(DAEMON_SETS, *key)
        if found is None:
            return None
        fleet = self._look(found)
        first = {node: pods[0] for node, pods in fleet.pods.items() if pods}
        here = [pod for node, pod in first.items() if node in fleet.wanted]
        ready = [pod for pod in here if is_ready(pod)]
        available = [pod for pod in here if fleet.is_up(pod)]
        counts = {
            "updatedNumberScheduled": sum(fleet.is_new(pod) for pod in here),
            "numberAvailable": len(available),
            "numberUnavailable": len(fleet.wanted) - len(available),
        }
        status: Object = {
            "currentNumberScheduled": len(here),
            "numberMisscheduled": len(first) - len(here),
            "desiredNumberScheduled": len(fleet.wanted),
            "numberReady": len(ready),
            "observedGeneration": meta(found).get("generation", 1),
            **{name: count for name, count in counts.items() if count},
            **({"conditions": dig(found, "status", "conditions")} if dig(found, "status", "conditions") else {}),
        }
        self.write_status(DAEMON_SETS, found, status)
        known = self.history.of(found)
        used = {labels_of(pod).get(REVISION_HASH) for pods in fleet.pods.values() for pod in pods} | {fleet.digest}
        self.history.trim(found, [name_of(item) for item in known if labels_of(item).get(REVISION_HASH) in used])
        return float(dig(found, "spec", "minReadySeconds", default=0)) if len(available) < len(ready) else None


def _matters(change: Change) -> bool:
    """Tell whether a change of a node can move pods: not the beat of its heart."""
    if change.old is None or change.type == "DELETED":
        return True
    return change.old.get("spec") != change.obj.get("spec") or labels_of(change.old) != labels_of(change.obj)
