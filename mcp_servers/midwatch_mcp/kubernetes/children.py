"""What belongs to an object: what it owns, or what stands behind it, each with its state in a few words."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from midwatch_contracts.model import Model
from midwatch_mcp.errors import KubeError, RefusedError
from midwatch_mcp.kubernetes.quantity import quantity
from midwatch_mcp.kubernetes.room import (
    KubeRoom,
    at,
    count,
    entity,
    entity_of,
    mapping,
    objects,
    owned_by,
    presented,
    ready,
    selector_text,
    text,
    word,
)
from midwatch_mcp.kubernetes.trouble import Trouble, by_pods, object_troubles

_LIMIT = 1_000
_OWNED: dict[str, str] = {
    "Deployment": "ReplicaSet",
    "ReplicaSet": "Pod",
    "StatefulSet": "Pod",
    "DaemonSet": "Pod",
    "Job": "Pod",
    "CronJob": "Job",
}
_SELECTING = frozenset(
    {"Deployment", "ReplicaSet", "StatefulSet", "DaemonSet", "Job", "Service", "PodDisruptionBudget"}
)
"""Kinds with pods of their own, by a selector in their spec."""
_SEARCHED = ("Deployment", "StatefulSet", "DaemonSet", "Job", "ReplicaSet", "Pod", "Service", "PersistentVolumeClaim")
"""Kinds in which what a custom object owns is looked for."""
_KNOWN_GROUPS = frozenset({"", "apps", "batch", "autoscaling", "policy"})
_TROUBLES = 8


class Child(Model):
    """An object that this one owns, or that stands behind it."""

    entity: str
    state: str


@dataclass(frozen=True)
class Family:
    """What was found."""

    children: list[Child]
    troubles: list[Trouble]
    """Of the pods that are not ready."""
    facts: dict[str, float] = field(default_factory=dict[str, float])
    """Sums over the children, such as what a node's pods request."""


async def family_of(room: KubeRoom, found: Mapping[str, Any]) -> Family:
    """Return what belongs to an object. What may not be read is said in the place of what it hides."""
    kind, namespace = text(found, "kind"), text(found, "metadata", "namespace")
    if kind == "Node":
        return await _on_node(room, text(found, "metadata", "name"))
    owned = _owned_kinds(found)
    searches = [_owned(room, found, each) for each in owned]
    if kind in _SELECTING:
        searches.append(_selected(room, found))
    if kind == "PersistentVolumeClaim":
        searches.append(_users(room, found))
    if kind == "Namespace":
        searches.append(_listed(room, "ResourceQuota", text(found, "metadata", "name")))
    lists = await asyncio.gather(*searches)
    every = {entity_of(item): item for items in lists for item in items}
    children = [item for item in every.values() if _shown(kind, item)]
    target = mapping(found, "spec", "scaleTargetRef")
    named = (
        [Child(entity=entity(text(target, "kind"), namespace, text(target, "name")), state="scaled")] if target else []
    )
    pods = [item for item in every.values() if text(item, "kind") == "Pod" and not _done(item)]
    return Family(
        children=[*named, *_sorted(room, children)],
        troubles=by_pods((pod for pod in pods if not ready(pod)), room.clock.now())[:_TROUBLES],
    )


def _owned_kinds(found: Mapping[str, Any]) -> tuple[str, ...]:
    kind, (group, slash, _) = text(found, "kind"), text(found, "apiVersion").partition("/")
    if kind in _OWNED:
        return (_OWNED[kind],)
    custom = bool(slash) and group not in _KNOWN_GROUPS and not group.endswith(".k8s.io")
    return _SEARCHED if custom and text(found, "metadata", "namespace") else ()


def _shown(kind: str, item: Mapping[str, Any]) -> bool:
    """Say whether an item is shown as a child; of a Deployment the ReplicaSets are, which count its pods."""
    return kind != "Deployment" or text(item, "kind") != "Pod"


def _done(pod: Mapping[str, Any]) -> bool:
    return at(pod, "status", "phase") == "Succeeded"


async def _listed(room: KubeRoom, kind: str, namespace: str, **query: str | None) -> list[dict[str, Any]]:
    """Return the objects of a kind, each with its kind written in; none of a kind that cannot be listed."""
    try:
        resource = await room.resource(kind)
        listed = await room.client.list(resource.path(namespace), {"limit": _LIMIT, **query})
    except RefusedError:
        return []
    except KubeError as error:
        return [{"kind": kind, "metadata": {"namespace": namespace, "name": "*"}, "unread": error.status}]
    return [{**presented(item), "kind": kind} for item in objects(listed["items"])]


async def _owned(room: KubeRoom, found: Mapping[str, Any], kind: str) -> list[dict[str, Any]]:
    selector = selector_text(mapping(found, "spec", "selector")) if text(found, "kind") in _OWNED else ""
    items = await _listed(room, kind, text(found, "metadata", "namespace"), labelSelector=selector or None)
    return [item for item in items if "unread" in item or owned_by(item, text(found, "metadata", "uid"))]


async def _selected(room: KubeRoom, found: Mapping[str, Any]) -> list[dict[str, Any]]:
    selector = selector_text(mapping(found, "spec", "selector"))
    if not selector:
        return []
    return await _listed(room, "Pod", text(found, "metadata", "namespace"), labelSelector=selector)


async def _users(room: KubeRoom, claim: Mapping[str, Any]) -> list[dict[str, Any]]:
    name = text(claim, "metadata", "name")
    pods = await _listed(room, "Pod", text(claim, "metadata", "namespace"))
    return [
        pod
        for pod in pods
        if "unread" in pod
        or any(text(v, "persistentVolumeClaim", "claimName") == name for v in objects(at(pod, "spec", "volumes")))
    ]


async def _on_node(room: KubeRoom, name: str) -> Family:
    """Return the pods of a node, and what they request of it."""
    pods = await _listed(room, "Pod", "", fieldSelector=f"spec.nodeName={name}")
    holding = [pod for pod in pods if at(pod, "status", "phase") not in {"Succeeded", "Failed"} and "unread" not in pod]
    facts: dict[str, float] = {"pods": float(len(holding))}
    for pod in holding:
        for container in objects(at(pod, "spec", "containers")):
            for resource, amount in mapping(container, "resources", "requests").items():
                key = f"requested.{resource}"
                facts[key] = round(facts.get(key, 0.0) + (quantity(amount) or 0.0), 6)
    troubles = by_pods((pod for pod in holding if not ready(pod)), room.clock.now())[:_TROUBLES]
    return Family(children=_sorted(room, pods), troubles=troubles, facts=facts)


def _sorted(room: KubeRoom, items: list[dict[str, Any]]) -> list[Child]:
    """Return children, those that need attention first."""
    states = [(*_state(room, item), entity_of(item)) for item in items]
    return [Child(entity=name, state=state) for _, state, name in sorted(states, key=lambda s: (s[0], s[2]))]


def _state(room: KubeRoom, item: Mapping[str, Any]) -> tuple[bool, str]:
    """Return (whether it is fine, its state)."""
    if "unread" in item:
        return False, f"cannot be read: HTTP {item['unread']}"
    kind = text(item, "kind")
    troubles = object_troubles(item, room.clock.now())
    if kind == "Pod":
        phase = word(at(item, "status", "phase"))
        plain = phase if _done(item) else "Ready" if ready(item) else f"{phase}, not ready"
    elif kind in {"ReplicaSet", "Deployment", "StatefulSet"}:
        plain = f"{count(at(item, 'status', 'readyReplicas'))}/{count(at(item, 'spec', 'replicas'))} ready"
        troubles = [trouble for trouble in troubles if "replicas ready" not in trouble.what]
    else:
        phase = text(item, "status", "phase")
        plain = word(phase) if phase else "there"
    fine = not troubles and not plain.endswith("not ready")
    return fine, f"{plain}: {troubles[0].what}" if troubles else plain
