"""`kube_topology`: from a Service to its pods, their workloads and nodes, with what is broken on the way."""

from collections.abc import Mapping
from typing import Any

from midwatch_contracts.model import Model
from midwatch_mcp.errors import KubeError
from midwatch_mcp.kubernetes.backends import Backends, backends, workloads_of
from midwatch_mcp.kubernetes.room import KubeRoom, at, count, entity, objects, ready, texts, word
from midwatch_mcp.shapes import Name, Namespace
from midwatch_mcp.tool import Answer, tool


class TopologyPod(Model):
    """One pod behind the Service."""

    pod: str
    ready: bool
    node: str | None
    ip: str | None
    restarts: int
    phase: str


class KubeTopologyData(Model):
    """A Service and what stands behind it."""

    service: str
    selector: dict[str, str]
    workloads: list[str]
    pods: list[TopologyPod]
    ready: int
    total: int
    broken: list[str]
    """One sentence for each place where the path from Service to container breaks; empty when it holds."""


@tool(
    name="kube_topology",
    title="What stands behind a Service",
    description="From a Service to its endpoints, pods, workloads and nodes, and what is broken on that path.",
    cluster="cluster-state",
    cost="medium",
    read_only=True,
    destructive=False,
    idempotent=True,
    open_world=False,
)
async def kube_topology(room: KubeRoom, namespace: Namespace, service: Name) -> Answer[KubeTopologyData]:
    """Follow the path and judge each joint."""
    found = await backends(room, namespace, service)
    pods = [_pod(pod) for pod in found.pods]
    data = KubeTopologyData(
        service=entity("Service", namespace, service),
        selector=found.selector,
        workloads=await workloads_of(room, namespace, found.pods),
        pods=pods,
        ready=sum(pod.ready for pod in pods),
        total=len(pods),
        broken=[*_broken(found), *await _endpoints(room, namespace, service, sum(pod.ready for pod in pods))],
    )
    summary = (
        f"{data.service}: {data.ready} of {data.total} pods ready, owned by {', '.join(data.workloads) or 'none'}."
    )
    if data.broken:
        summary += f" Broken: {len(data.broken)} places."
    return Answer(summary, data)


def _pod(pod: Mapping[str, Any]) -> TopologyPod:
    statuses = objects(at(pod, "status", "containerStatuses"))
    return TopologyPod(
        pod=str(at(pod, "metadata", "name")),
        ready=ready(pod),
        node=at(pod, "spec", "nodeName"),
        ip=at(pod, "status", "podIP"),
        restarts=sum(count(status.get("restartCount")) for status in statuses),
        phase="Terminating" if at(pod, "metadata", "deletionTimestamp") else word(at(pod, "status", "phase")),
    )


def _broken(found: Backends) -> list[str]:
    if not found.pods:
        return ["no pod carries the labels of the selector"]
    broken: list[str] = []
    for pod in found.pods:
        name = at(pod, "metadata", "name")
        if found.port(pod) is None:
            broken.append(f"pod {name} has no port that the Service's target port names")
        if at(pod, "spec", "nodeName") is None:
            broken.append(f"pod {name} is not scheduled to a node")
        waiting = [
            at(status, "state", "waiting", "reason") for status in objects(at(pod, "status", "containerStatuses"))
        ]
        reasons = sorted({word(reason) for reason in waiting if reason})
        if reasons:
            broken.append(f"pod {name} waits: {', '.join(reasons)}")
        elif not ready(pod) and not at(pod, "metadata", "deletionTimestamp"):
            broken.append(f"pod {name} is not ready")
    return broken


async def _endpoints(room: KubeRoom, namespace: str, service: str, ready_pods: int) -> list[str]:
    """Compare the EndpointSlices with the pods that are ready."""
    path = f"/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices"
    try:
        listed = await room.client.list(path, {"labelSelector": f"kubernetes.io/service-name={service}"})
    except KubeError as error:
        return [] if error.not_found else [f"the endpoints cannot be read: HTTP {error.status}"]
    addresses = {
        address
        for piece in objects(listed["items"])
        for endpoint in objects(piece.get("endpoints"))
        if at(endpoint, "conditions", "ready") is not False
        for address in texts(endpoint, "addresses")
    }
    if len(addresses) != ready_pods:
        return [f"the Service has {len(addresses)} ready endpoints for {ready_pods} ready pods"]
    return []
