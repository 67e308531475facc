"""What the status of a workload may say: no count below zero, and none above the count that holds it."""

from collections.abc import Sequence

from midwatch_lab.kinds import rules
from midwatch_lab.kinds.rules import Faults
from midwatch_lab.objects import Object
from midwatch_lab.status import invalid_value


def deployment(new: Object, _old: Object) -> Faults:
    """Check the status of a Deployment."""
    status: Object = new.get("status", {})
    counts = ("updatedReplicas", "readyReplicas", "availableReplicas")
    rest = ("unavailableReplicas", "terminatingReplicas", "collisionCount")
    yield from _counts(status, ("observedGeneration", "replicas", *counts, *rest))
    yield from _parts(status, counts, "readyReplicas")


def replica_set(new: Object, _old: Object) -> Faults:
    """Check the status of a ReplicaSet."""
    status: Object = new.get("status", {})
    counts = ("fullyLabeledReplicas", "readyReplicas", "availableReplicas")
    yield from _counts(status, ("replicas", *counts, "observedGeneration", "terminatingReplicas"))
    yield from _parts(status, counts, "readyReplicas")


def stateful_set(new: Object, _old: Object) -> Faults:
    """Check the status of a StatefulSet."""
    status: Object = new.get("status", {})
    counts = ("readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas")
    yield from _counts(status, ("replicas", *counts, "observedGeneration", "collisionCount"))
    yield from _parts(status, counts, "status.readyReplicas")


def daemon_set(new: Object, _old: Object) -> Faults:
    """Check the status of a DaemonSet."""
    keys = (
        "currentNumberScheduled", "numberMisscheduled", "desiredNumberScheduled", "numberReady", "observedGeneration",
        "updatedNumberScheduled", "numberAvailable", "numberUnavailable", "collisionCount",
    )  # fmt: skip
    yield from _counts(new.get("status", {}), keys)


def cron_job(_new: Object, _old: Object) -> Faults:
    """Accept any status of a CronJob, as the original does."""
    yield from ()


def _counts(status: Object, keys: Sequence[str]) -> Faults:
    for key in keys:
        yield from rules.non_negative(status, key, "status")


def _parts(status: Object, keys: Sequence[str], ready: str) -> Faults:
    """Check that no count is above that of all pods, and that no more pods are available than ready."""
    for key in keys:
        if status.get(key, 0) > status.get("replicas", 0):
            yield invalid_value(f"status.{key}", status.get(key, 0), "cannot be greater than status.replicas")
    available = status.get("availableReplicas", 0)
    if available > status.get("readyReplicas", 0):
        yield invalid_value("status.availableReplicas", available, f"cannot be greater than {ready}")
