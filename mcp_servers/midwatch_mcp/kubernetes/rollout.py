"""`kube_rollout`: how far a Deployment is, its revisions, and in which settings the newest differs from the last."""

import asyncio
import re
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from midwatch_contracts.model import Model
from midwatch_mcp.kubernetes.events import KubeEvent, events_of
from midwatch_mcp.kubernetes.flags import changed_settings, containers_of, flags_of
from midwatch_mcp.kubernetes.room import (
    KubeRoom,
    at,
    count,
    entity_of,
    mapping,
    objects,
    owned_by,
    presented,
    seconds,
    selector_text,
    text,
)
from midwatch_mcp.shapes import Name, Namespace
from midwatch_mcp.tool import Answer, tool

REVISION = "deployment.kubernetes.io/revision"
_HISTORY = "deployment.kubernetes.io/revision-history"
_REVISIONS = 10
_SCALED = re.compile(r"^Scaled (?:up|down) replica set (\S+) (?:from (\d+) )?to (\d+)\b")


class Revision(Model):
    """One ReplicaSet of the Deployment."""

    revision: int
    replicaset: str
    created_s: float | None
    current: bool
    image: str
    """Of the first container."""
    flags: dict[str, dict[str, str]]
    """By container, then flag."""


class Changed(Model):
    """One setting in which the newest revision differs from the one before; None where it is not set."""

    container: str
    flag: str
    """`--flag`, `env:NAME`, `resources.limits.cpu` or `image`."""
    before: str | None
    after: str | None


class Scaled(Model):
    """One change of the number of replicas of the current ReplicaSet."""

    at_s: float | None
    age_s: float | None
    from_: int | None = Field(alias="from")
    """None where the event does not say."""
    to: int
    replicaset: str


class KubeRolloutData(Model):
    """A workload's rollout."""

    workload: str
    desired: int
    updated: int
    ready: int
    available: int
    complete: bool
    revision: int
    revisions: list[Revision]
    """Newest first."""
    changed: list[Changed]
    changed_age_s: float | None
    """Seconds since the newest revision came into force; None where nothing tells."""
    scaled: list[Scaled]
    """Newest first; the cluster keeps events for about an hour."""


@tool(
    name="kube_rollout",
    title="Rollout of a Deployment",
    description=(
        "How far a Deployment's rollout is, its revisions, which flags, environment, resources or image the newest "
        "changed and how long ago, and how it was scaled."
    ),
    cluster="cluster-state",
    cost="medium",
    read_only=True,
    destructive=False,
    idempotent=True,
    open_world=False,
)
async def kube_rollout(
    room: KubeRoom, name: Name, namespace: Namespace, kind: Literal["Deployment"] = "Deployment"
) -> Answer[KubeRolloutData]:
    """Read the Deployment, its ReplicaSets and its scaling events."""
    found = await room.read(kind, namespace, name)
    resource = await room.resource("ReplicaSet")
    query = {"labelSelector": selector_text(mapping(found, "spec", "selector")) or None}
    listed, events = await asyncio.gather(
        room.client.list(resource.path(namespace), query), events_of(room, namespace, kind, name)
    )
    uid = str(at(found, "metadata", "uid") or "")
    sets = sorted(
        (presented(item) for item in objects(listed["items"]) if owned_by(item, uid)), key=_revision, reverse=True
    )
    current = _revision(found) or (_revision(sets[0]) if sets else 0)
    scaled = _scaled(events, str(at(sets[0], "metadata", "name")) if sets else "")
    data = KubeRolloutData(
        workload=entity_of(found, kind),
        desired=_desired(found),
        updated=count(at(found, "status", "updatedReplicas")),
        ready=count(at(found, "status", "readyReplicas")),
        available=count(at(found, "status", "availableReplicas")),
        complete=_complete(found),
        revision=current,
        revisions=[_shown(item, current) for item in sets[:_REVISIONS]],
        changed=_changed(sets),
        changed_age_s=room.age(_in_force_since(found, sets, scaled)),
        scaled=scaled,
    )
    return Answer(_summary(data), data)


def _revision(item: Mapping[str, Any]) -> int:
    written = text(item, "metadata", "annotations", REVISION)
    return int(written) if written.isdecimal() else 0


def _desired(found: Mapping[str, Any]) -> int:
    wanted = at(found, "spec", "replicas")
    return wanted if isinstance(wanted, int) else 1


def _complete(found: Mapping[str, Any]) -> bool:
    """Judge as `kubectl rollout status` does: seen by the controller, all updated, none left over, all available."""
    desired = _desired(found)
    return (
        count(at(found, "status", "observedGeneration")) >= count(at(found, "metadata", "generation"))
        and count(at(found, "status", "updatedReplicas")) == desired
        and count(at(found, "status", "replicas")) == desired
        and count(at(found, "status", "availableReplicas")) == desired
    )


def _shown(item: Mapping[str, Any], current: int) -> Revision:
    containers = containers_of(mapping(item, "spec", "template"))
    main = objects(at(item, "spec", "template", "spec", "containers"))
    return Revision(
        revision=_revision(item),
        replicaset=str(at(item, "metadata", "name")),
        created_s=seconds(at(item, "metadata", "creationTimestamp")),
        current=_revision(item) == current,
        image=str(main[0].get("image", "")) if main else "",
        flags={name: flags_of(container) for name, container in containers.items()},
    )


def _changed(sets: list[dict[str, Any]]) -> list[Changed]:
    if len(sets) < 2:  # noqa: PLR2004 (a pair)
        return []
    before, after = mapping(sets[1], "spec", "template"), mapping(sets[0], "spec", "template")
    return [
        Changed(container=container, flag=flag, before=old, after=new)
        for container, flag, old, new in changed_settings(before, after)
    ]


def _scaled(events: list[KubeEvent], replicaset: str) -> list[Scaled]:
    found: list[Scaled] = []
    for event in events:
        said = _SCALED.match(event.message) if event.reason == "ScalingReplicaSet" else None
        if said is not None and said[1] == replicaset:
            before = None if said[2] is None else int(said[2])
            moment = {"at_s": event.at_s, "age_s": event.age_s}
            found.append(Scaled.model_validate(moment | {"from": before, "to": int(said[3]), "replicaset": replicaset}))
    return found


def _in_force_since(found: Mapping[str, Any], sets: list[dict[str, Any]], scaled: list[Scaled]) -> float | None:
    """Return when the newest revision came into force.

    A ReplicaSet that a rollback brought back is older than its revision: then the event that raised it from nothing
    tells, and failing that the Deployment's own progress.
    """
    if not sets:
        return None
    if not text(sets[0], "metadata", "annotations", _HISTORY):
        return seconds(at(sets[0], "metadata", "creationTimestamp"))
    raised = next((entry.at_s for entry in scaled if entry.from_ == 0), None)
    progress = [c for c in objects(at(found, "status", "conditions")) if c.get("type") == "Progressing"]
    return raised or (seconds(progress[0].get("lastUpdateTime")) if progress else None)


def _summary(data: KubeRolloutData) -> str:
    state = "complete" if data.complete else "not complete"
    said = (
        f"{data.workload} is at revision {data.revision}, rollout {state}: "
        f"{data.ready} of {data.desired} ready, {data.updated} updated."
    )
    if data.changed:
        ago = "" if data.changed_age_s is None else f" {data.changed_age_s:.0f} s ago"
        names = ", ".join(f"{entry.container} {entry.flag}" for entry in data.changed[:5])
        said += f" The newest revision changed{ago}: {names}."
    if data.scaled:
        last = data.scaled[0]
        said += f" Last scaled from {'?' if last.from_ is None else last.from_} to {last.to}."
    return said
