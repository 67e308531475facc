"""`kube_get` and `kube_describe`: one object as it is, and one object with what belongs to it."""

from collections.abc import Mapping
from typing import Annotated, Any, cast

from pydantic import Field

from midwatch_contracts.model import Model
from midwatch_mcp.errors import KubeError
from midwatch_mcp.kubernetes.events import KubeEvent, events_of
from midwatch_mcp.kubernetes.room import (
    KubeRoom,
    at,
    count,
    entity,
    entity_of,
    mapping,
    objects,
    owned_by,
    ready,
    seconds,
    selector_text,
    text,
    word,
)
from midwatch_mcp.shapes import UNTRUSTED, Kind, Name, Namespace, Outside, OutsideJson
from midwatch_mcp.tool import Answer, tool

_FACTS = 60
_CHILDREN = 50
_EVENTS = 20
_CHILD_KINDS: dict[str, tuple[str, ...]] = {
    "Deployment": ("ReplicaSet",),
    "ReplicaSet": ("Pod",),
    "StatefulSet": ("Pod",),
    "DaemonSet": ("Pod",),
    "Job": ("Pod",),
    "CronJob": ("Job",),
}


class KubeGetData(Model):
    """One object, secrets and field owners taken out."""

    object: dict[str, OutsideJson]


class Condition(Model):
    """One condition of an object's status."""

    type: str
    status: str
    reason: Outside
    message: Outside
    age_s: float | None


class Container(Model):
    """One container of a pod as the kubelet reports it."""

    name: str
    image: str
    ready: bool
    restarts: int
    state: str
    """`running`, `waiting` or `terminated`, then the reason if there is one: `waiting: CrashLoopBackOff`."""
    last_exit: int | None
    """Exit code of the run before this one."""


class Child(Model):
    """An object that this one owns."""

    entity: str
    state: str


class KubeDescribeData(Model):
    """An object and what belongs to it."""

    entity: str
    uid: str
    created_s: float | None
    age_s: float | None
    deleting: bool
    labels: dict[str, OutsideJson]
    annotations: dict[str, Outside]
    facts: dict[str, OutsideJson] = Field(json_schema_extra=UNTRUSTED)
    """Single values of spec and status by path, such as `spec.replicas`."""
    conditions: list[Condition]
    containers: list[Container]
    owners: list[str]
    children: list[Child]
    events: list[KubeEvent]


@tool(
    name="kube_get",
    title="Get one object",
    description="One object as JSON, secrets redacted. For its state, owners, children and events use kube_describe.",
    cluster="cluster-state",
    cost="low",
    read_only=True,
    destructive=False,
    idempotent=True,
    open_world=False,
)
async def kube_get(
    room: KubeRoom,
    kind: Kind,
    name: Name,
    namespace: Annotated[Namespace | None, Field(description="needed for kinds that live in one")] = None,
) -> Answer[KubeGetData]:
    """Return the object."""
    found = await room.read(kind, namespace or "", name)
    version = str(at(found, "metadata", "resourceVersion") or "unknown")
    return Answer(f"{entity_of(found)} at resourceVersion {version}.", KubeGetData(object=found))


@tool(
    name="kube_describe",
    title="Describe one object",
    description="State of one object as facts: conditions, containers, owners, children and its latest events.",
    cluster="cluster-state",
    cost="medium",
    read_only=True,
    destructive=False,
    idempotent=True,
    open_world=False,
)
async def kube_describe(
    room: KubeRoom,
    kind: Kind,
    name: Name,
    namespace: Annotated[Namespace | None, Field(description="needed for kinds that live in one")] = None,
) -> Answer[KubeDescribeData]:
    """Gather the object, its children and its events."""
    found = await room.read(kind, namespace or "", name)
    own_kind = str(found.get("kind") or kind)
    uid = str(at(found, "metadata", "uid") or "")
    children = await _children(room, found, own_kind, uid)
    events = (await events_of(room, namespace, own_kind, name))[:_EVENTS]
    created = seconds(at(found, "metadata", "creationTimestamp"))
    data = KubeDescribeData(
        entity=entity_of(found),
        uid=uid,
        created_s=created,
        age_s=room.age(created),
        deleting=bool(at(found, "metadata", "deletionTimestamp")),
        labels=mapping(found, "metadata", "labels"),
        annotations=mapping(found, "metadata", "annotations"),
        facts=_facts(found),
        conditions=[_condition(room, entry) for entry in objects(at(found, "status", "conditions"))],
        containers=_containers(found),
        owners=[
            entity(str(owner.get("kind")), namespace or "", str(owner.get("name")))
            for owner in objects(at(found, "metadata", "ownerReferences"))
        ],
        children=children,
        events=events,
    )
    return Answer(_summary(data), data, full={"described": data, "object": found})


async def _children(room: KubeRoom, found: Mapping[str, Any], kind: str, uid: str) -> list[Child]:
    namespace = text(found, "metadata", "namespace")
    children: list[Child] = []
    for child_kind in _CHILD_KINDS.get(kind, ()):
        try:
            resource = await room.resource(child_kind)
            listed = await room.client.list(
                resource.path(namespace), {"labelSelector": selector_text(mapping(found, "spec", "selector")) or None}
            )
        except KubeError as error:
            children.append(Child(entity=entity(child_kind, namespace, "*"), state=f"not readable: {error.reason}"))
            continue
        children += [
            Child(entity=entity_of(item, child_kind), state=_child_state(item, child_kind))
            for item in objects(listed["items"])
            if owned_by(item, uid)
        ]
    return sorted(children, key=lambda child: child.state)[:_CHILDREN]


def _child_state(item: Mapping[str, Any], kind: str) -> str:
    if kind == "Pod":
        return "Ready" if ready(item) else f"{word(at(item, 'status', 'phase'))}, not ready"
    wanted, there = count(at(item, "spec", "replicas")), count(at(item, "status", "readyReplicas"))
    return f"{there}/{wanted} ready" if kind == "ReplicaSet" else word(at(item, "status", "phase"))


def _condition(room: KubeRoom, entry: Mapping[str, Any]) -> Condition:
    return Condition(
        type=str(entry.get("type", "")),
        status=str(entry.get("status", "")),
        reason=str(entry.get("reason") or ""),
        message=str(entry.get("message") or ""),
        age_s=room.age(seconds(entry.get("lastTransitionTime"))),
    )


def _containers(found: Mapping[str, Any]) -> list[Container]:
    status = mapping(found, "status")
    reported = [*objects(status.get("initContainerStatuses")), *objects(status.get("containerStatuses"))]
    shown: list[Container] = []
    for entry in reported:
        state = next(iter(mapping(entry, "state")), "unknown")
        reason = at(entry, "state", state, "reason")
        last = at(entry, "lastState", "terminated", "exitCode")
        shown.append(
            Container(
                name=str(entry.get("name", "")),
                image=str(entry.get("image", "")),
                ready=bool(entry.get("ready")),
                restarts=count(entry.get("restartCount")),
                state=f"{state}: {word(reason)}" if reason else state,
                last_exit=last if isinstance(last, int) else None,
            )
        )
    return shown


def _facts(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return the single values of spec and status, at most two levels deep; lists are counted."""
    facts: dict[str, Any] = {}
    for part in ("spec", "status"):
        for key, value in mapping(found, part).items():
            if isinstance(value, dict) and key not in {"template", "selector"}:
                for inner, single in cast("dict[str, Any]", value).items():
                    if isinstance(single, str | int | float | bool):
                        facts[f"{part}.{key}.{inner}"] = single
            elif isinstance(value, str | int | float | bool):
                facts[f"{part}.{key}"] = value
            elif isinstance(value, list) and key not in {"conditions", "containerStatuses", "initContainerStatuses"}:
                facts[f"{part}.{key}.count"] = len(cast("list[Any]", value))
    return dict(list(facts.items())[:_FACTS])


def _summary(data: KubeDescribeData) -> str:
    age = "" if data.age_s is None else f", {data.age_s:.0f} s old"
    unmet = [c.type for c in data.conditions if c.status == "False" and word(c.type) == c.type]
    said = f"{data.entity}{age}" + (", being deleted." if data.deleting else ".")
    if unmet:
        said += f" Conditions that are False: {', '.join(unmet)}."
    warnings = sum(event.type == "Warning" for event in data.events)
    return said + f" {len(data.children)} children, {warnings} warnings among its latest {len(data.events)} events."
