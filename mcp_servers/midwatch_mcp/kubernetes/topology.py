"""`kube_topology`: from Ingress and Service to pods, their workloads and nodes, with what is broken on the way."""

import asyncio
from collections.abc import Mapping
from typing import Any

from midwatch_contracts.model import Model
from midwatch_mcp.kubernetes.around import Around, around
from midwatch_mcp.kubernetes.backends import Backends, backends, workloads_of
from midwatch_mcp.kubernetes.endpoints import endpoint_faults
from midwatch_mcp.kubernetes.room import KubeRoom, at, count, entity, objects, ready, word
from midwatch_mcp.kubernetes.trouble import Trouble, pod_troubles
from midwatch_mcp.shapes import Name, Namespace, Outside
from midwatch_mcp.tool import Answer, tool

_PODS = 100
_BROKEN = 60


class TopologyPod(Model):
    """One pod behind the Service."""

    pod: str
    ready: bool
    node: str | None
    ip: str | None
    restarts: int
    phase: str


class TopologyNode(Model):
    """One node that carries pods of the Service."""

    node: str
    ready: bool
    pods: int


class KubeTopologyData(Model):
    """A Service and what stands around it."""

    service: str
    selector: dict[str, str]
    ingresses: list[str]
    """Those that lead to it, with host and path."""
    workloads: list[str]
    pods: list[TopologyPod]
    """Those that are not ready first."""
    nodes: list[TopologyNode]
    ready: int
    total: int
    broken: list[str]
    """One sentence for each place where the path from Service to container breaks; empty when it holds."""
    said: list[Outside]
    """What the cluster says of the broken places, where it says something."""
    mentioned: list[str]
    """What bounds the path without breaking it: network policies, autoscalers and budgets at their limit, cordons."""


@tool(
    name="kube_topology",
    title="What stands behind a Service",
    description=("From Ingress and Service to endpoints, pods, workloads and nodes, and what is broken on that path."),
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
    workloads = await workloads_of(room, namespace, found.pods)
    beside, faults = await asyncio.gather(
        around(room, namespace, found, workloads), endpoint_faults(room, namespace, found)
    )
    pods = sorted((_pod(pod) for pod in found.pods), key=lambda pod: (pod.ready, pod.pod))
    troubles = [*_broken(found, room.clock.now()), *faults, *beside.broken]
    data = KubeTopologyData(
        service=entity("Service", namespace, service),
        selector=found.selector,
        ingresses=beside.ingresses,
        workloads=workloads,
        pods=pods[:_PODS],
        nodes=_nodes(found, beside),
        ready=sum(pod.ready for pod in pods),
        total=len(pods),
        broken=[trouble.what for trouble in troubles[:_BROKEN]],
        said=[f"{trouble.what}: {trouble.said}" for trouble in troubles[:_BROKEN] if trouble.said],
        mentioned=beside.mentioned,
    )
    full = data.model_copy(update={"pods": pods, "broken": [trouble.what for trouble in troubles]})
    return Answer(
        _summary(data, len(troubles)), data, full=full, truncated=len(pods) > _PODS or len(troubles) > _BROKEN
    )


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


def _nodes(found: Backends, beside: Around) -> list[TopologyNode]:
    carried: dict[str, int] = {}
    for pod in found.pods:
        node = at(pod, "spec", "nodeName")
        if isinstance(node, str):
            carried[node] = carried.get(node, 0) + 1
    return [
        TopologyNode(node=name, ready=beside.nodes.get(name, False), pods=number)
        for name, number in sorted(carried.items())
    ]


def _broken(found: Backends, now: float) -> list[Trouble]:
    if not found.pods:
        return [Trouble(what="no pod carries the labels of the selector")]
    broken: list[Trouble] = []
    for pod in found.pods:
        name = at(pod, "metadata", "name")
        broken += [
            Trouble(what=f"pod {name} has no port {port}, which the Service's target port names")
            for port in found.missing_ports(pod)
        ]
        # A pod that serves is not broken by what happened to it before; kube_describe tells of that.
        troubles = [] if ready(pod) else pod_troubles(pod, now)
        broken += [Trouble(what=f"pod {name}: {trouble.what}", said=trouble.said) for trouble in troubles]
        if not ready(pod) and not troubles:
            broken.append(Trouble(what=f"pod {name} is not ready"))
    return broken


def _summary(data: KubeTopologyData, broken: int) -> str:
    said = f"{data.service}: {data.ready} of {data.total} pods ready, owned by {', '.join(data.workloads) or 'none'}."
    if broken:
        said += f" Broken: {broken} place{'' if broken == 1 else 's'}, the first: {data.broken[0]}."
    return said + (f" Mentioned: {len(data.mentioned)} bounds." if data.mentioned else "")
