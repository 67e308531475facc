"""`kube_rollout`: how far a workload is, why it goes no further, its revisions, and in which settings two differ."""

import asyncio
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from midwatch_contracts.model import Model
from midwatch_mcp.errors import RefusedError
from midwatch_mcp.kubernetes.events import KubeEvent, events_of
from midwatch_mcp.kubernetes.flags import containers_of, flags_of
from midwatch_mcp.kubernetes.progress import Progress, progress_of, waiting_for
from midwatch_mcp.kubernetes.revisions import SCALED, KeptRevision, differences, kept_revisions, number_of
from midwatch_mcp.kubernetes.room import KubeRoom, at, entity_of, objects, presented, seconds, text
from midwatch_mcp.kubernetes.trouble import Trouble
from midwatch_mcp.shapes import Name, Namespace, Outside
from midwatch_mcp.tool import Answer, tool

_REVISIONS = 10
_CHANGED = 60
_WHY = 12


class Revision(Model):
    """One revision: a ReplicaSet of a Deployment, a ControllerRevision of the others."""

    revision: int
    replicaset: str
    """Its object's name."""
    created_s: float | None
    current: bool
    image: str
    """Of the first container."""
    flags: dict[str, dict[str, str]]
    """By container, then flag."""
    replicas: int | None
    """Pods of it that are there; None where only the pods would tell."""
    cause: Outside
    """The annotation kubernetes.io/change-cause."""


class Changed(Model):
    """One setting in which the later revision differs from the earlier one; None where it is not set."""

    container: str
    """Empty for what the pod sets as a whole."""
    flag: str
    """`--flag`, `env:NAME`, `resources.limits.cpu`, `image`, or a path such as `readinessProbe.periodSeconds`."""
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
    state: Literal["complete", "progressing", "stuck", "paused", "by hand"]
    """`stuck`: past its deadline, or refused; `by hand`: the strategy waits for a person (OnDelete, partition)."""
    deadline_s: int | None
    """Seconds without progress after which a Deployment counts as stuck."""
    why: list[Trouble]
    """What it waits for; empty when it is complete."""
    paused_by: Outside
    """The field manager that paused it, and when; empty where it is not paused or nothing tells."""
    revision: int
    revisions: list[Revision]
    """Newest first."""
    compared: list[int]
    """The two revisions, the earlier first; empty where there is but one."""
    changed: list[Changed]
    changed_age_s: float | None
    """Seconds since the newest revision came into force; None where nothing tells."""
    scaled: list[Scaled]
    """Newest first; the cluster keeps events for about an hour."""


@tool(
    name="kube_rollout",
    title="Rollout of a workload",
    description=(
        "How far a rollout is and why it is stuck, its revisions, what the newest changed in the pod template and how "
        "long ago, and how it was scaled."
    ),
    cluster="cluster-state",
    cost="medium",
    read_only=True,
    destructive=False,
    idempotent=True,
    open_world=False,
)
async def kube_rollout(
    room: KubeRoom,
    *,
    name: Name,
    namespace: Namespace,
    kind: Literal["Deployment", "StatefulSet", "DaemonSet"] = "Deployment",
    compare: Annotated[
        str | None,
        Field(pattern=r"^[0-9]{1,9}-[0-9]{1,9}$", description="two revisions, e.g. 3-5; else the newest"),
    ] = None,
) -> Answer[KubeRolloutData]:
    """Read the workload, its revisions, its pods and its events."""
    resource = await room.resource(f"{kind}.apps")
    raw = await room.client.get(resource.path(namespace, name))
    found = presented(raw)
    kept, events = await asyncio.gather(kept_revisions(room, found), events_of(room, namespace, kind, name))
    progress = progress_of(raw)
    current = _current(found, kept)
    why = [] if progress.state == "complete" else await waiting_for(room, found, kept)
    scaled = _scaled(events, kept[0].name if kept else "")
    pair = _pair(kept, compare)
    changed = [
        Changed(container=container, flag=flag, before=old, after=new)
        for container, flag, old, new in (differences(*pair) if pair else [])
    ]
    data = KubeRolloutData(
        workload=entity_of(found, kind),
        desired=progress.desired,
        updated=progress.updated,
        ready=progress.ready,
        available=progress.available,
        complete=progress.state == "complete",
        state=progress.state,
        deadline_s=progress.deadline_s,
        why=[*progress.why, *why][:_WHY],
        paused_by=progress.paused_by,
        revision=current,
        revisions=[_shown(revision, current) for revision in kept[:_REVISIONS]],
        compared=[revision.number for revision in pair],
        changed=changed[:_CHANGED],
        changed_age_s=room.age(_in_force_since(found, kept, scaled)),
        scaled=scaled,
    )
    full = {
        "rollout": data.model_copy(update={"changed": changed}),
        "templates": {str(one.number): one.template for one in kept},
    }
    return Answer(_summary(data, progress, len(changed)), data, full=full, truncated=len(changed) > _CHANGED)


def _current(found: Mapping[str, Any], kept: list[KeptRevision]) -> int:
    named = text(found, "status", "updateRevision")
    return number_of(found) or next(
        (revision.number for revision in kept if revision.name == named), kept[0].number if kept else 0
    )


def _pair(kept: list[KeptRevision], compare: str | None) -> tuple[KeptRevision, ...]:
    """Return the two revisions to compare, or none where there is but one and none was asked for."""
    if compare is None:
        return (kept[1], kept[0]) if len(kept) > 1 else ()
    by_number = {revision.number: revision for revision in kept}
    asked = [int(number) for number in compare.split("-")]
    missing = [number for number in asked if number not in by_number]
    if missing:
        raise RefusedError(f"revision {missing[0]} is not kept: there are {', '.join(map(str, by_number)) or 'none'}")
    return tuple(by_number[number] for number in asked)


def _shown(revision: KeptRevision, current: int) -> Revision:
    template = revision.template
    main = objects(at(template, "spec", "containers"))
    return Revision(
        revision=revision.number,
        replicaset=revision.name,
        created_s=seconds(at(revision.item, "metadata", "creationTimestamp")),
        current=revision.number == current,
        image=str(main[0].get("image", "")) if main else "",
        flags={name: flags_of(container) for name, container in containers_of(template).items()},
        replicas=revision.replicas,
        cause=revision.cause,
    )


def _scaled(events: list[KubeEvent], replicaset: str) -> list[Scaled]:
    found: list[Scaled] = []
    for event in events:
        said = SCALED.match(event.message) if event.reason == "ScalingReplicaSet" else None
        if said is not None and said[1] == replicaset:
            before = None if said[2] is None else int(said[2])
            moment = {"at_s": event.at_s, "age_s": event.age_s}
            found.append(Scaled.model_validate(moment | {"from": before, "to": int(said[3]), "replicaset": replicaset}))
    return found


def _in_force_since(found: Mapping[str, Any], kept: list[KeptRevision], scaled: list[Scaled]) -> float | None:
    """Return when the newest revision came into force.

    A ReplicaSet that a rollback brought back is older than its revision: then the event that raised it from nothing
    tells, and failing that the Deployment's own progress. A ControllerRevision that comes back is told by nothing.
    """
    if not kept:
        return None
    if not kept[0].brought_back:
        return seconds(at(kept[0].item, "metadata", "creationTimestamp"))
    raised = next((entry.at_s for entry in scaled if entry.from_ == 0), None)
    progress = [c for c in objects(at(found, "status", "conditions")) if c.get("type") == "Progressing"]
    return raised or (seconds(progress[0].get("lastUpdateTime")) if progress else None)


def _summary(data: KubeRolloutData, progress: Progress, differing: int) -> str:
    said = (
        f"{data.workload} is at revision {data.revision}, rollout {progress.state}: "
        f"{data.ready} of {data.desired} ready, {data.updated} updated."
    )
    if data.why:
        more = f" and {len(data.why) - 1} more" if len(data.why) > 1 else ""
        said += f" Why: {data.why[0].what}{more}."
    if data.changed:
        newest = data.compared[-1] == data.revisions[0].revision
        ago = f" {data.changed_age_s:.0f} s ago" if newest and data.changed_age_s is not None else ""
        names = ", ".join(_named(entry) for entry in data.changed[:5]) + (", ..." if differing > 5 else "")  # noqa: PLR2004
        said += f" Revision {data.compared[-1]} changed{ago}, against {data.compared[0]}: {names}."
    if data.scaled:
        last = data.scaled[0]
        said += f" Last scaled from {'?' if last.from_ is None else last.from_} to {last.to}."
    return said


def _named(entry: Changed) -> str:
    """Name a setting; keys of labels and annotations are text from outside and stay in `changed`."""
    outside = entry.flag.startswith(("labels.", "annotations."))
    return f"{entry.container} {entry.flag.partition('.')[0] if outside else entry.flag}".strip()
