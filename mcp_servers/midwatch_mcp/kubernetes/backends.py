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
        chosen = next((port for port in ports if port.get("name") == name), ports[0])
        target = chosen.get("targetPort") or chosen.get("port")
        if isinstance(target, int):
            return target
        named = [port for c in objects(at(pod, "spec", "containers")) for port in objects(c.get("ports"))]
        return next((port.get("containerPort") for port in named if port.get("name") == target), None)


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
