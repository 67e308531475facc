"""The status of a Deployment: counts, and the conditions Available and Progressing."""

from typing import Final

from midwatch_contracts.times import unix_seconds
from midwatch_lab.controllers.rollout_state import Rollout
from midwatch_lab.objects import Object, condition, copied, dig, meta, name_of, set_condition

_COUNTS: Final = ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas", "unavailableReplicas")


def status_of(rollout: Rollout, now_text: str, now: float) -> tuple[Object, float | None]:
    """Return the status, and the seconds until the progress deadline is to be looked at."""
    deployment = rollout.deployment
    old: Object = copied(deployment.get("status", {}))
    counts = _counts(rollout)
    conditions: list[Object] = old.get("conditions", [])
    _available(conditions, rollout, counts, now_text)
    _progressing(conditions, rollout, counts, old, now_text, now)
    status: Object = {
        "observedGeneration": meta(deployment).get("generation", 1),
        **{key: counts[key] for key in _COUNTS if counts[key]},
        "terminatingReplicas": counts["terminatingReplicas"],
        "conditions": conditions,
    }
    return status, _until_deadline(deployment, conditions, now)


def _counts(rollout: Rollout) -> dict[str, int]:
    def total(key: str) -> int:
        return sum(int(dig(item, "status", key, default=0)) for item in rollout.sets)

    available = total("availableReplicas")
    wanted = sum(int(dig(item, "spec", "replicas", default=0)) for item in rollout.sets)
    return {
        "replicas": total("replicas"),
        "updatedReplicas": int(dig(rollout.new, "status", "replicas", default=0)),
        "readyReplicas": total("readyReplicas"),
        "availableReplicas": available,
        "unavailableReplicas": max(0, wanted - available),
        "terminatingReplicas": total("terminatingReplicas"),
    }


def _condition(kind: str, status: str, reason: str, message: str, now: str) -> Object:
    return {
        "type": kind,
        "status": status,
        "lastUpdateTime": now,
        "lastTransitionTime": now,
        "reason": reason,
        "message": message,
    }


def _available(conditions: list[Object], rollout: Rollout, counts: dict[str, int], now: str) -> None:
    enough = counts["availableReplicas"] >= rollout.desired - rollout.limits.unavailable
    new = (
        _condition("Available", "True", "MinimumReplicasAvailable", "Deployment has minimum availability.", now)
        if enough
        else _condition(
            "Available", "False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability.", now
        )
    )
    set_condition(conditions, new)


def is_complete(rollout: Rollout, counts: dict[str, int]) -> bool:
    """Tell whether every pod is of the new template and available."""
    wanted = rollout.desired
    return counts["updatedReplicas"] == counts["replicas"] == counts["availableReplicas"] == wanted


def _progressing(  # noqa: PLR0917 (a status, spelt out)
    conditions: list[Object], rollout: Rollout, counts: dict[str, int], old: Object, now: str, seconds: float
) -> None:
    before = condition({"status": old}, "Progressing") or {}
    reason = str(before.get("reason", ""))
    if dig(rollout.deployment, "spec", "paused"):
        set_condition(conditions, _condition("Progressing", "Unknown", "DeploymentPaused", "Deployment is paused", now))
        return
    if rollout.new is None:
        return
    name = name_of(rollout.new)
    is_named = name in str(before.get("message", ""))
    if reason == "NewReplicaSetAvailable" and is_named and counts["replicas"] == counts["updatedReplicas"]:
        return
    if is_complete(rollout, counts):
        text = f'ReplicaSet "{name}" has successfully progressed.'
        new = _condition("Progressing", "True", "NewReplicaSetAvailable", text, now)
    elif reason == "DeploymentPaused":
        new = _condition("Progressing", "Unknown", "DeploymentResumed", "Deployment is resumed", now)
    elif not is_named:
        text = f'Created new replica set "{name}"'
        new = _condition("Progressing", "True", "NewReplicaSetCreated", text, now)
    elif _moved(counts, old):
        text = f'ReplicaSet "{name}" is progressing.'
        new = _condition("Progressing", "True", "ReplicaSetUpdated", text, now)
    elif reason != "NewReplicaSetAvailable" and _is_late(rollout.deployment, before, seconds):
        text = f'ReplicaSet "{name}" has timed out progressing.'
        new = _condition("Progressing", "False", "ProgressDeadlineExceeded", text, now)
    else:
        return
    if before.get("status") == new["status"]:
        new["lastTransitionTime"] = before["lastTransitionTime"]
    conditions[:] = [item for item in conditions if item["type"] != "Progressing"] + [new]


def _moved(counts: dict[str, int], old: Object) -> bool:
    def before(key: str) -> int:
        return int(old.get(key, 0))

    olds_before = before("replicas") - before("updatedReplicas")
    olds_now = counts["replicas"] - counts["updatedReplicas"]
    return (
        counts["updatedReplicas"] > before("updatedReplicas")
        or olds_now < olds_before
        or counts["readyReplicas"] > before("readyReplicas")
        or counts["availableReplicas"] > before("availableReplicas")
    )


def _is_late(deployment: Object, progressing: Object, now: float) -> bool:
    if progressing.get("reason") == "ProgressDeadlineExceeded":
        return False
    deadline = int(dig(deployment, "spec", "progressDeadlineSeconds", default=600))
    return now - unix_seconds(str(progressing["lastUpdateTime"])) >= deadline


def _until_deadline(deployment: Object, conditions: list[Object], now: float) -> float | None:
    progressing = next((item for item in conditions if item["type"] == "Progressing"), None)
    if progressing is None or progressing["reason"] not in ("ReplicaSetUpdated", "NewReplicaSetCreated"):
        return None
    deadline = int(dig(deployment, "spec", "progressDeadlineSeconds", default=600))
    return max(0.0, deadline - (now - unix_seconds(str(progressing["lastUpdateTime"])))) + 1.0
