"""What stands around a Service's path: ingresses before it; nodes, policies, autoscalers and budgets beside it."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from midwatch_mcp.errors import KubeError, RefusedError
from midwatch_mcp.kubernetes.backends import Backends
from midwatch_mcp.kubernetes.labels import matches
from midwatch_mcp.kubernetes.room import KubeRoom, at, count, entity, mapping, objects, text, texts
from midwatch_mcp.kubernetes.trouble import Trouble, object_troubles

_LIMIT = 1_000


@dataclass
class Around:
    """What was found."""

    ingresses: list[str] = field(default_factory=list[str])
    nodes: dict[str, bool] = field(default_factory=dict[str, bool])
    """Nodes that carry pods of the Service, and whether each is ready."""
    broken: list[Trouble] = field(default_factory=list[Trouble])
    mentioned: list[str] = field(default_factory=list[str])


async def around(room: KubeRoom, namespace: str, found: Backends, workloads: list[str]) -> Around:
    """Read it all at once. What may not be read, or is no kind of this cluster, is left out and mentioned."""
    result = Around()
    kinds = {
        "Ingress": "ingresses.networking.k8s.io",
        "NetworkPolicy": "networkpolicies.networking.k8s.io",
        "HorizontalPodAutoscaler": "horizontalpodautoscalers.autoscaling",
        "PodDisruptionBudget": "poddisruptionbudgets.policy",
    }
    names = {text(pod, "spec", "nodeName") for pod in found.pods} - {""}
    lists = await asyncio.gather(
        *(_listed(room, kind, namespace, result) for kind in kinds.values()),
        _listed(room, "nodes", "", result) if names else _nothing(),
    )
    ingresses, policies, scalers, budgets, nodes = lists
    _ingresses(result, found, ingresses)
    labels = [mapping(pod, "metadata", "labels") for pod in found.pods]
    for policy in policies:
        _policy(result, policy, labels)
    for scaler in scalers:
        target = mapping(scaler, "spec", "scaleTargetRef")
        if entity(text(target, "kind"), namespace, text(target, "name")) in workloads:
            _bound(result, room, scaler, "HorizontalPodAutoscaler")
    for budget in budgets:
        if any(matches(mapping(budget, "spec", "selector"), one) for one in labels):
            _bound(result, room, budget, "PodDisruptionBudget")
    _nodes(result, [node for node in nodes if text(node, "metadata", "name") in names], names)
    return result


async def _nothing() -> list[dict[str, Any]]:
    return []


async def _listed(room: KubeRoom, kind: str, namespace: str, result: Around) -> list[dict[str, Any]]:
    try:
        resource = await room.resource(kind)
        return objects((await room.client.list(resource.path(namespace), {"limit": _LIMIT}))["items"])
    except RefusedError:
        # A cluster without this kind has none of them; a server kept to namespaces may still read nodes.
        return []
    except KubeError as error:
        result.mentioned.append(f"{kind.partition('.')[0]} cannot be read: HTTP {error.status}")
        return []


def _ingresses(result: Around, found: Backends, ingresses: list[dict[str, Any]]) -> None:
    service = text(found.service, "metadata", "name")
    ports = objects(at(found.service, "spec", "ports"))
    known = {text(port, "name") for port in ports} | {port.get("port") for port in ports}
    for ingress in ingresses:
        for host, path, backend in _backends(ingress):
            if text(backend, "service", "name") != service:
                continue
            named = entity("Ingress", text(ingress, "metadata", "namespace"), text(ingress, "metadata", "name"))
            result.ingresses.append(f"{named} {host}{path}")
            port = at(backend, "service", "port", "name") or at(backend, "service", "port", "number")
            if port not in known:
                result.broken.append(Trouble(what=f"{named} leads to port {port}, which the Service does not have"))


def _backends(ingress: Mapping[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    default = mapping(ingress, "spec", "defaultBackend")
    found = [("*", "", default)] if default else []
    for rule in objects(at(ingress, "spec", "rules")):
        paths = objects(at(rule, "http", "paths"))
        found += [(text(rule, "host") or "*", text(path, "path"), mapping(path, "backend")) for path in paths]
    return found


def _policy(result: Around, policy: Mapping[str, Any], pods: list[dict[str, Any]]) -> None:
    selector = mapping(policy, "spec", "podSelector")
    if not any(matches(selector, labels) for labels in pods):
        return
    name = entity("NetworkPolicy", text(policy, "metadata", "namespace"), text(policy, "metadata", "name"))
    spec = mapping(policy, "spec")
    types = texts(spec, "policyTypes") or ["Ingress", *(["Egress"] if "egress" in spec else [])]
    closed = [kind for kind in types if not objects(spec.get(kind.lower()))]
    lets = f"lets no {' and no '.join(kind.lower() for kind in closed)} through" if closed else "bounds them"
    result.mentioned.append(f"{name} selects its pods ({', '.join(types)}) and {lets}")


def _bound(result: Around, room: KubeRoom, item: Mapping[str, Any], kind: str) -> None:
    name = entity(kind, text(item, "metadata", "namespace"), text(item, "metadata", "name"))
    troubles = object_troubles({**item, "kind": kind}, room.clock.now())
    result.mentioned += [f"{name}: {trouble.what}" for trouble in troubles]
    if kind == "HorizontalPodAutoscaler" and not troubles:
        current, most = count(at(item, "status", "currentReplicas")), count(at(item, "spec", "maxReplicas"))
        result.mentioned.append(f"{name}: {current} replicas of at most {most}")


def _nodes(result: Around, nodes: list[dict[str, Any]], names: set[str]) -> None:
    for node in nodes:
        name = text(node, "metadata", "name")
        conditions = {text(c, "type"): text(c, "status") for c in objects(at(node, "status", "conditions"))}
        result.nodes[name] = conditions.get("Ready") == "True"
        if not result.nodes[name]:
            result.broken.append(Trouble(what=f"node {name} is not ready"))
        pressed = sorted(kind for kind, status in conditions.items() if kind.endswith("Pressure") and status == "True")
        result.mentioned += [f"node {name} has {kind}" for kind in pressed if kind in _PRESSURES]
        if at(node, "spec", "unschedulable"):
            result.mentioned.append(f"node {name} is cordoned")
    if nodes:
        result.broken += [Trouble(what=f"node {name} is gone") for name in sorted(names - result.nodes.keys())]


_PRESSURES = frozenset({"MemoryPressure", "DiskPressure", "PIDPressure"})
