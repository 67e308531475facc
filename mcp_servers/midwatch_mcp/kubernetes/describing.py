"""`kube_get` and `kube_describe`: one object as it is, and one object with what belongs to it."""

import asyncio
from collections.abc import Mapping
from typing import Annotated, Any, cast

from pydantic import Field

from midwatch_contracts.model import Model
from midwatch_mcp.kubernetes.children import Child, family_of
from midwatch_mcp.kubernetes.events import KubeEvent, events_of
from midwatch_mcp.kubernetes.quantity import quantity
from midwatch_mcp.kubernetes.room import (
    KubeRoom,
    at,
    count,
    entity,
    entity_of,
    mapping,
    objects,
    seconds,
    text,
    word,
)
from midwatch_mcp.kubernetes.trouble import Trouble, object_troubles
from midwatch_mcp.shapes import UNTRUSTED, Kind, Name, Namespace, Outside, OutsideJson
from midwatch_mcp.tool import Answer, tool

_FACTS = 60
_CHILDREN = 50
_EVENTS = 20
_RECENT_S = 3_600.0
_WARNINGS = 5
_TOLD = 3
"""Troubles that the summary names."""
_WORKING = frozenset({"Pod", "Deployment", "ReplicaSet", "StatefulSet", "DaemonSet"})
"""Kinds whose status tells when they are well again, so that warnings of the last hour are then past."""


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
    last_reason: str | None
    """Why that run ended, such as `OOMKilled`."""
    probes: list[str]
    """The probes that it has: `liveness`, `readiness`, `startup`."""


class KubeDescribeData(Model):
    """An object and what belongs to it."""

    entity: str
    troubles: list[Trouble]
    """What is wrong with it, its pods and its latest events; empty when nothing is."""
    uid: str
    created_s: float | None
    age_s: float | None
    deleting: bool
    labels: dict[str, OutsideJson]
    annotations: dict[str, Outside]
    facts: dict[str, OutsideJson] = Field(json_schema_extra=UNTRUSTED)
    """Single values of spec and status by path, such as `spec.replicas`."""
    allocatable: dict[str, float]
    """Of a node: what its pods may have, what they request (`requested.cpu`), in base units, and how many they are."""
    conditions: list[Condition]
    containers: list[Container]
    owners: list[str]
    children: list[Child]
    """What it owns or what stands behind it, what needs attention first."""
    children_total: int
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
    found = await room.fetch(kind, namespace or "", name)
    version = str(at(found, "metadata", "resourceVersion") or "unknown")
    return Answer(f"{entity_of(found)} at resourceVersion {version}.", KubeGetData(object=found))


@tool(
    name="kube_describe",
    title="Describe one object",
    description="One object as facts: what is wrong with it, conditions, containers, owners, children, latest events.",
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
    family, events = await asyncio.gather(family_of(room, found), events_of(room, namespace, own_kind, name))
    created = seconds(at(found, "metadata", "creationTimestamp"))
    own = object_troubles(found, room.clock.now())
    warnings = _warnings(events) if own or own_kind not in _WORKING else []
    data = KubeDescribeData(
        entity=entity_of(found),
        troubles=[*own, *family.troubles, *warnings],
        uid=str(at(found, "metadata", "uid") or ""),
        created_s=created,
        age_s=room.age(created),
        deleting=bool(at(found, "metadata", "deletionTimestamp")),
        labels=mapping(found, "metadata", "labels"),
        annotations=mapping(found, "metadata", "annotations"),
        facts=_facts(found),
        allocatable={**_allocatable(found), **family.facts},
        conditions=[_condition(room, entry) for entry in objects(at(found, "status", "conditions"))],
        containers=_containers(found),
        owners=[
            entity(str(owner.get("kind")), namespace or "", str(owner.get("name")))
            for owner in objects(at(found, "metadata", "ownerReferences"))
        ],
        children=family.children[:_CHILDREN],
        children_total=len(family.children),
        events=events[:_EVENTS],
    )
    full = {"described": data.model_copy(update={"children": family.children}), "object": found, "events": events}
    return Answer(_summary(data, events), data, full=full, truncated=len(family.children) > _CHILDREN)


def _warnings(events: list[KubeEvent]) -> list[Trouble]:
    """Return the warnings of the last hour, one a reason: failed probes, mounts, pulls, schedulings."""
    recent = [e for e in events if e.type == "Warning" and e.age_s is not None and e.age_s < _RECENT_S]
    found: dict[str, list[KubeEvent]] = {}
    for event in recent:
        found.setdefault(event.reason, []).append(event)
    return [
        Trouble(
            what=f"{sum(e.count for e in alike)} {word(reason)} events, last {alike[0].age_s:.0f} s ago",
            said=alike[0].message,
        )
        for reason, alike in list(found.items())[:_WARNINGS]
    ]


def _allocatable(found: Mapping[str, Any]) -> dict[str, float]:
    if found.get("kind") != "Node":
        return {}
    amounts = {name: quantity(amount) for name, amount in mapping(found, "status", "allocatable").items()}
    return {f"allocatable.{name}": amount for name, amount in amounts.items() if amount is not None}


def _condition(room: KubeRoom, entry: Mapping[str, Any]) -> Condition:
    return Condition(
        type=str(entry.get("type", "")),
        status=str(entry.get("status", "")),
        reason=str(entry.get("reason") or ""),
        message=str(entry.get("message") or ""),
        age_s=room.age(seconds(entry.get("lastTransitionTime"))),
    )


def _containers(found: Mapping[str, Any]) -> list[Container]:
    status, spec = mapping(found, "status"), mapping(found, "spec")
    reported = [*objects(status.get("initContainerStatuses")), *objects(status.get("containerStatuses"))]
    specs = {text(c, "name"): c for part in ("initContainers", "containers") for c in objects(spec.get(part))}
    shown: list[Container] = []
    for entry in reported:
        state = next(iter(mapping(entry, "state")), "unknown")
        reason = at(entry, "state", state, "reason")
        last, why = (at(entry, "lastState", "terminated", name) for name in ("exitCode", "reason"))
        own = specs.get(text(entry, "name"))
        shown.append(
            Container(
                name=str(entry.get("name", "")),
                image=str(entry.get("image", "")),
                ready=bool(entry.get("ready")),
                restarts=count(entry.get("restartCount")),
                state=f"{state}: {word(reason)}" if reason else state,
                last_exit=last if isinstance(last, int) else None,
                last_reason=word(why) if why else None,
                probes=[name for name in ("liveness", "readiness", "startup") if mapping(own, f"{name}Probe")],
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


def _summary(data: KubeDescribeData, events: list[KubeEvent]) -> str:
    age = "" if data.age_s is None else f", {data.age_s:.0f} s old"
    said = f"{data.entity}{age}" + (", being deleted. " if data.deleting else ". ")
    if data.troubles:
        first = "; ".join(trouble.what for trouble in data.troubles[:_TOLD])
        said += f"Wrong: {first}" + (
            f"; and {len(data.troubles) - _TOLD} more. " if len(data.troubles) > _TOLD else ". "
        )
    else:
        said += "Nothing is wrong with it as far as its state tells. "
    warnings = sum(event.type == "Warning" for event in events)
    return said + f"{data.children_total} children, {warnings} warnings among its {len(events)} events."
