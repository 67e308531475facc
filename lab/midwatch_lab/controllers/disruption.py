"""The disruption controller: how many of the pods that a budget covers may go at this moment.

Source: https://kubernetes.io/docs/concepts/workloads/pods/disruptions/ and the kind's fields. A budget that cannot be
worked out allows nothing.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from midwatch_contracts.clock import Clock
from midwatch_contracts.times import unix_seconds
from midwatch_lab.controllers.recorder import Recorder
from midwatch_lab.controllers.rollout import resolved
from midwatch_lab.controllers.runtime import Controller, Key
from midwatch_lab.errors import LabError
from midwatch_lab.kinds.resources import DEPLOYMENTS, DISRUPTION_BUDGETS, PODS, REPLICA_SETS
from midwatch_lab.objects import (
    Object,
    controller_of,
    copied,
    dig,
    is_condition_true,
    is_terminating,
    labels_of,
    meta,
    name_of,
    namespace_of,
    set_condition,
    uid_of,
)
from midwatch_lab.registry.eviction import DISRUPTION_ALLOWED
from midwatch_lab.registry.registry import Registry
from midwatch_lab.registry.scale import has_scale, scale_of
from midwatch_lab.selectors import LabelSelector, go_text
from midwatch_lab.store.store import Change

_COMPONENT: Final = "controllermanager"
_DELETION_S: Final = 120.0
"""How long an evicted pod has to be seen going, before it counts again."""
_RETRY_S: Final = 5.0


class UncountableError(LabError):
    """Nobody says how many pods there are to be; the words are the original's."""


@dataclass(frozen=True)
class Expected:
    """How many pods there are to be, and how many of them healthy; `unmanaged` are the pods that nobody counts."""

    pods: int
    healthy: int
    unmanaged: tuple[Object, ...] = ()


class DisruptionController(Controller):
    """Writes the status of disruption budgets."""

    principal = "system:serviceaccount:kube-system:disruption-controller"

    def __init__(self, registry: Registry, clock: Clock, recorder: Recorder) -> None:
        super().__init__(registry, clock)
        self.recorder = recorder

    def interested(self, change: Change) -> Iterable[Key]:
        """Return a budget itself, or those that cover a changed pod or did before."""
        if change.key == DISRUPTION_BUDGETS.key:
            yield namespace_of(change.obj), name_of(change.obj)
        elif change.key == PODS.key:
            states = [labels_of(obj) for obj in (change.obj, change.old) if obj is not None]
            for budget in self.registry.store.items(DISRUPTION_BUDGETS.key, namespace_of(change.obj)):
                selector = _selector(budget)
                if selector is not None and any(selector.matches(labels) for labels in states):
                    yield namespace_of(budget), name_of(budget)

    def reconcile(self, key: Key) -> float | None:
        """Count the pods of a budget; looks again when an evicted pod ought to be gone."""
        budget = self.registry.find(DISRUPTION_BUDGETS, *key)
        if budget is None:
            return None
        selector = _selector(budget)
        everything = self.registry.store.items(PODS.key, key[0])
        pods = [pod for pod in everything if selector is not None and selector.matches(labels_of(pod))]
        if not pods:
            self._say(budget, "Normal", "NoPods", "No matching pods found")
        try:
            expected = self._expected(budget, pods)
        except UncountableError as error:
            why = str(error)
            text = f"Failed to calculate the number of expected pods: {why}"
            self._say(budget, "Warning", "CalculateExpectedPodCountFailed", text)
            self._fail_safe(budget, why)
            return _RETRY_S
        if expected.unmanaged:
            self._say(budget, "Warning", "UnmanagedPods", _unmanaged_text(budget))
        leaving = self._leaving(budget, pods)
        healthy = sum(
            is_condition_true(pod, "Ready") and not is_terminating(pod) and name_of(pod) not in leaving for pod in pods
        )
        self._write(budget, expected, healthy, leaving)
        ages = [self.clock.now() - unix_seconds(since) for since in leaving.values()]
        return max(0.0, _DELETION_S - max(ages)) if ages else None

    def _say(self, about: Object, kind: str, reason: str, message: str) -> None:
        self.recorder.record(about, kind, reason, message, component=_COMPONENT)

    def _expected(self, budget: Object, pods: list[Object]) -> Expected:
        most, least = dig(budget, "spec", "maxUnavailable"), dig(budget, "spec", "minAvailable")
        if most is not None:
            total, unmanaged = self._wanted(pods)
            return Expected(total, max(0, total - resolved(most, total, up=True)), unmanaged)
        if isinstance(least, str):
            total, unmanaged = self._wanted(pods)
            return Expected(total, resolved(least, total, up=True), unmanaged)
        return Expected(len(pods), least) if isinstance(least, int) else Expected(0, 0)

    def _wanted(self, pods: list[Object]) -> tuple[int, tuple[Object, ...]]:
        """Return the replicas that the owners of pods want together, each counted once, and the pods without one."""
        wanted: dict[str, int] = {}
        unmanaged: list[Object] = []
        for pod in pods:
            owner = controller_of(pod)
            if owner is None:
                unmanaged.append(pod)
            else:
                uid, replicas = self._scale(pod, owner)
                wanted[uid] = replicas
        return sum(wanted.values()), tuple(unmanaged)

    def _scale(self, pod: Object, reference: Object) -> tuple[str, int]:
        resource = self.registry.catalog.by_kind(str(reference.get("apiVersion")), str(reference.get("kind")))
        nobody = UncountableError(f'found no controllers for pod "{name_of(pod)}"')
        if resource is None:
            raise nobody
        if not has_scale(resource):
            raise UncountableError(f"{resource.qualified} does not implement the scale subresource")
        owner = self.registry.find(resource, namespace_of(pod), str(reference.get("name")))
        if owner is None or uid_of(owner) != reference.get("uid"):
            raise nobody
        if resource is REPLICA_SETS and (above := controller_of(owner)) is not None:
            found = self.registry.find(DEPLOYMENTS, namespace_of(pod), str(above.get("name")))
            if above.get("kind") == "Deployment" and found is not None and uid_of(found) == above.get("uid"):
                resource, owner = DEPLOYMENTS, found
        return uid_of(owner), int(dig(scale_of(resource, owner, missing=0), "spec", "replicas", default=0))

    def _leaving(self, budget: Object, pods: list[Object]) -> dict[str, str]:
        """Return the evicted pods that are not seen going yet, with the time of their eviction."""
        noted: dict[str, str] = dig(budget, "status", "disruptedPods", default={})
        leaving: dict[str, str] = {}
        for pod in pods:
            since = noted.get(name_of(pod))
            if since is None or is_terminating(pod):
                continue
            if self.clock.now() - unix_seconds(since) < _DELETION_S:
                leaving[name_of(pod)] = since
            else:
                place = f"{namespace_of(budget)}/{name_of(budget)}"
                text = f"Pod was expected by PDB {place} to be deleted but it wasn't"
                self._say(pod, "Warning", "NotDeleted", text)
        return leaving

    def _write(self, budget: Object, expected: Expected, healthy: int, leaving: dict[str, str]) -> None:
        allowed = max(0, healthy - expected.healthy) if expected.pods > 0 else 0
        word, reason = ("True", "SufficientPods") if allowed else ("False", "InsufficientPods")
        generation = meta(budget).get("generation", 1)
        conditions = copied(dig(budget, "status", default={})).get("conditions", [])
        new = {"type": DISRUPTION_ALLOWED, "status": word, "reason": reason, "message": ""}
        self._set(conditions, new, generation)
        status: Object = {
            "observedGeneration": generation,
            **({"disruptedPods": leaving} if leaving else {}),
            "disruptionsAllowed": allowed,
            "currentHealthy": healthy,
            "desiredHealthy": expected.healthy,
            "expectedPods": expected.pods,
            "conditions": conditions,
        }
        self.write_status(DISRUPTION_BUDGETS, budget, status)

    def _fail_safe(self, budget: Object, why: str) -> None:
        """Allow nothing, and say why; the rest of the status stays."""
        status = copied(dig(budget, "status", default={}))
        status["disruptionsAllowed"] = 0
        new = {"type": DISRUPTION_ALLOWED, "status": "False", "reason": "SyncFailed", "message": why}
        self._set(status.setdefault("conditions", []), new, status.get("observedGeneration"))
        self.write_status(DISRUPTION_BUDGETS, budget, status)

    def _set(self, conditions: list[Object], new: Object, generation: int | None) -> None:
        at: Object = {"lastTransitionTime": self.registry.now_text()}
        set_condition(conditions, {**new, **at, **({"observedGeneration": generation} if generation else {})})


def _selector(budget: Object) -> LabelSelector | None:
    """Return what a budget covers; None covers nothing, while an empty one covers all."""
    selector = dig(budget, "spec", "selector")
    return None if selector is None else LabelSelector.of(selector)


def _unmanaged_text(budget: Object) -> str:
    return (
        f"Pods selected by this PodDisruptionBudget (selector: {go_text(dig(budget, 'spec', 'selector'))}) were "
        "found to be unmanaged. As a result, the status of the PDB cannot be calculated correctly, which may result in "
        'undefined behavior. To account for these pods please set ".spec.minAvailable" field of the PDB to an integer '
        "value."
    )
