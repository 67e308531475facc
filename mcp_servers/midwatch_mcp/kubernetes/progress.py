"""How far a rollout is, and what it waits for, as `kubectl rollout status` judges it and beyond.

Source of the verdicts: kubectl's `polymorphichelpers/rollout_status.go`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from midwatch_mcp.errors import KubeError
from midwatch_mcp.kubernetes.events import events_of
from midwatch_mcp.kubernetes.revisions import KeptRevision
from midwatch_mcp.kubernetes.room import (
    KubeRoom,
    at,
    count,
    entity,
    mapping,
    objects,
    presented,
    selector_text,
    text,
    word,
)
from midwatch_mcp.kubernetes.trouble import Trouble, by_pods

_PODS = 1_000

State = Literal["complete", "progressing", "stuck", "paused", "by hand"]


@dataclass(frozen=True)
class Progress:
    """What a workload's own spec and status tell."""

    desired: int
    updated: int
    ready: int
    available: int
    state: State
    deadline_s: int | None = None
    why: tuple[Trouble, ...] = ()
    paused_by: str = ""


def progress_of(workload: Mapping[str, Any]) -> Progress:
    """Judge a Deployment, StatefulSet or DaemonSet, read with its field owners."""
    kind, status = text(workload, "kind"), mapping(workload, "status")
    if kind == "DaemonSet":
        desired = count(status.get("desiredNumberScheduled"))
        updated, there = count(status.get("updatedNumberScheduled")), count(status.get("numberReady"))
        available = count(status.get("numberAvailable"))
    else:
        wanted = at(workload, "spec", "replicas")
        desired = wanted if isinstance(wanted, int) else 1
        updated, there = count(status.get("updatedReplicas")), count(status.get("readyReplicas"))
        available = count(status.get("availableReplicas"))
    why = tuple(_conditions(workload))
    seen = count(status.get("observedGeneration")) >= count(at(workload, "metadata", "generation"))
    if not seen:
        why = (Trouble(what="its controller has not seen the latest change of it"), *why)
    by_hand = _by_hand(workload, kind, updated)
    deadline = at(workload, "spec", "progressDeadlineSeconds")
    return Progress(
        desired,
        updated,
        there,
        available,
        _state(workload, kind, (desired, updated, available), seen=seen, by_hand=by_hand is not None),
        deadline if isinstance(deadline, int) else None,
        why if by_hand is None else (by_hand, *why),
        _paused_by(workload) if at(workload, "spec", "paused") else "",
    )


def _state(
    workload: Mapping[str, Any], kind: str, numbers: tuple[int, int, int], *, seen: bool, by_hand: bool
) -> State:
    desired, updated, available = numbers
    there = at(workload, "status", "replicas")
    left_over = kind == "Deployment" and isinstance(there, int) and there > updated
    if kind == "StatefulSet":
        partition = count(at(workload, "spec", "updateStrategy", "rollingUpdate", "partition"))
        enough = updated >= max(desired - partition, 0)
    else:
        enough = updated >= desired
    if seen and enough and not left_over and available >= desired:
        return "complete"
    if at(workload, "spec", "paused"):
        return "paused"
    conditions = {text(c, "type"): c for c in objects(at(workload, "status", "conditions"))}
    overdue = text(conditions.get("Progressing"), "reason") == "ProgressDeadlineExceeded"
    refused = text(conditions.get("ReplicaFailure"), "status") == "True"
    if overdue or refused:
        return "stuck"
    return "by hand" if by_hand and available >= desired else "progressing"


def _by_hand(workload: Mapping[str, Any], kind: str, updated: int) -> Trouble | None:
    """Say whether the strategy itself leaves pods as they are until a person does something."""
    if kind == "Deployment":
        return None
    strategy = mapping(workload, "spec", "updateStrategy")
    desired = count(at(workload, "spec", "replicas")) or count(at(workload, "status", "desiredNumberScheduled"))
    if strategy.get("type") == "OnDelete" and updated < desired:
        return Trouble(what="its strategy is OnDelete: a pod is updated when somebody deletes it")
    partition = count(at(strategy, "rollingUpdate", "partition"))
    if partition:
        return Trouble(what=f"its partition is {partition}: pods with a lower number stay as they are")
    return None


def _conditions(workload: Mapping[str, Any]) -> list[Trouble]:
    found: list[Trouble] = []
    for condition in objects(at(workload, "status", "conditions")):
        kind, reason = condition.get("type"), condition.get("reason")
        overdue = kind == "Progressing" and (condition.get("status") == "False" or reason == "ProgressDeadlineExceeded")
        if overdue or (kind == "ReplicaFailure" and condition.get("status") == "True"):
            found.append(Trouble(what=f"{word(kind)}: {word(reason)}", said=text(condition, "message")))
    if at(workload, "spec", "paused"):
        found.append(Trouble(what="paused: nothing is rolled out until it is resumed"))
    return found


def _paused_by(workload: Mapping[str, Any]) -> str:
    """Return which field manager owns `spec.paused`, and since when."""
    for entry in objects(at(workload, "metadata", "managedFields")):
        if at(entry, "fieldsV1", "f:spec", "f:paused") is not None:
            return f"{text(entry, 'manager')} ({text(entry, 'operation')}) at {text(entry, 'time')}"
    return ""


async def waiting_for(room: KubeRoom, workload: Mapping[str, Any], kept: list[KeptRevision]) -> list[Trouble]:
    """Return what the pods of an unfinished rollout wait for, and what refuses new ones."""
    namespace, selector = text(workload, "metadata", "namespace"), mapping(workload, "spec", "selector")
    pods = await room.resource("Pod")
    listed = await room.client.list(
        pods.path(namespace), {"labelSelector": selector_text(selector) or None, "limit": _PODS}
    )
    found = by_pods((presented(item) for item in objects(listed["items"])), room.clock.now())
    return [*await _refusals(room, workload, kept), *found]


async def _refusals(room: KubeRoom, workload: Mapping[str, Any], kept: list[KeptRevision]) -> list[Trouble]:
    """Return why pods could not be made at all: quota, admission, limits. Told by events of what makes the pods."""
    namespace, kind = text(workload, "metadata", "namespace"), text(workload, "kind")
    if kind == "Deployment":
        kind, name = "ReplicaSet", kept[0].name if kept else ""
    else:
        name = text(workload, "metadata", "name")
    if not name:
        return []
    try:
        events = await events_of(room, namespace, kind, name)
    except KubeError as error:
        return [Trouble(what=f"events cannot be read: {word(error.reason)}")]
    failed = [event for event in events if event.type == "Warning" and event.reason == "FailedCreate"]
    if not failed:
        return []
    age = "" if failed[0].age_s is None else f", last {failed[0].age_s:.0f} s ago"
    made = entity(kind, namespace, name)
    times = sum(event.count for event in failed)
    return [Trouble(what=f"{made} cannot make pods: refused {times} times{age}", said=failed[0].message)]
