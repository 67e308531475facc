"""The pods behind a Service, and the workloads that own them."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from midwatch_mcp.errors import KubeError, RefusedError
from midwatch_mcp.kubernetes.room import KubeRoom, at, entity, objects, presented, selector_text


@dataclass(frozen=True)
class Backends:
    """One Service with its pods, in the order of their names."""

    service: dict[str, Any]
    selector: dict[str, str]
    pods: tuple[dict[str, Any], ...]

    def port(self, pod: Mapping[str, Any], name: str = "http") -> int | None:
        """Return the pod's port behind the Service's port of that name, or behind its first port."""
        ports = objects(at(self.service, "spec", "ports"))
        if not ports:
            return None
        return _target(next((port for port in ports if port.get("name") == name), ports[0]), pod)

    def missing_ports(self, pod: Mapping[str, Any]) -> list[str]:
        """Return the named target ports of the Service that no container of the pod has."""
        ports = objects(at(self.service, "spec", "ports"))
        return [str(port.get("targetPort")) for port in ports if _target(port, pod) is None]


def _target(port: Mapping[str, Any], pod: Mapping[str, Any]) -> int | None:
    target = port.get("targetPort") or port.get("port")
    if isinstance(target, int):
        return target
    containers = [*objects(at(pod, "spec", "containers")), *objects(at(pod, "spec", "initContainers"))]
    named = [entry for container in containers for entry in objects(container.get("ports"))]
    return next((entry.get("containerPort") for entry in named if entry.get("name") == target), None)


async def backends(room: KubeRoom, namespace: str, service: str) -> Backends:
    """Read a Service and the pods that its selector names.

    Raises:
        RefusedError: when the Service selects nothing by labels.
    """
    found = await room.read("Service", namespace, service)
    selector = cast("dict[str, str]", at(found, "spec", "selector") or {})
    if not selector:
        raise RefusedError(
            f"Service/{namespace}/{service} has no selector, so nothing tells which pods stand behind it"
        )
    listed = await room.client.list(f"/api/v1/namespaces/{namespace}/pods", {"labelSelector": selector_text(selector)})
    pods = sorted(
        (presented(item) for item in objects(listed["items"])), key=lambda pod: str(at(pod, "metadata", "name"))
    )
    return Backends(found, selector, tuple(pods))


async def workloads_of(room: KubeRoom, namespace: str, pods: tuple[dict[str, Any], ...]) -> list[str]:
    """Return the workloads that own the pods, a ReplicaSet's Deployment in its place."""
    owners = {
        (str(owner.get("kind")), str(owner.get("name")))
        for pod in pods
        for owner in objects(at(pod, "metadata", "ownerReferences"))
    }
    found = await asyncio.gather(*(_workload(room, namespace, kind, name) for kind, name in sorted(owners)))
    return sorted(set(found))


async def _workload(room: KubeRoom, namespace: str, kind: str, name: str) -> str:
    if kind == "ReplicaSet":
        try:
            above = objects(at(await room.read(kind, namespace, name), "metadata", "ownerReferences"))
        except KubeError:
            # Gone between the two reads, or not to be read: the ReplicaSet itself is still a true answer.
            above = []
        if above:
            return entity(str(above[0].get("kind")), namespace, str(above[0].get("name")))
    return entity(kind, namespace, name)
