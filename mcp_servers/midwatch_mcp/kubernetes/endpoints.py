"""The EndpointSlices of a Service, beside the pods that its selector names."""

from typing import Any

from midwatch_mcp.errors import KubeError
from midwatch_mcp.kubernetes.backends import Backends
from midwatch_mcp.kubernetes.room import KubeRoom, at, objects, ready, text, texts
from midwatch_mcp.kubernetes.trouble import Trouble

_SHOWN = 5


async def endpoint_faults(room: KubeRoom, namespace: str, found: Backends) -> list[Trouble]:
    """Return where endpoints and pods do not agree: none at all, ready pods that are missing, addresses of no pod."""
    service = text(found.service, "metadata", "name")
    path = f"/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices"
    try:
        listed = await room.client.list(path, {"labelSelector": f"kubernetes.io/service-name={service}"})
    except KubeError as error:
        return [] if error.not_found else [Trouble(what=f"the endpoints cannot be read: HTTP {error.status}")]
    slices = objects(listed["items"])
    serving = {
        address
        for piece in slices
        for endpoint in objects(piece.get("endpoints"))
        if at(endpoint, "conditions", "ready") is not False
        for address in texts(endpoint, "addresses")
    }
    # A pod is published under its own addresses; one Service may have a slice for each family.
    ready_pods = [pod for pod in found.pods if ready(pod)]
    missing = [pod for pod in ready_pods if serving.isdisjoint(_addresses(pod))]
    unnamed = at(found.service, "spec", "publishNotReadyAddresses") is True
    faults: list[Trouble] = []
    if len(serving) != len(ready_pods) and not unnamed and missing:
        faults.append(Trouble(what=f"the Service has {len(serving)} ready endpoints for {len(ready_pods)} ready pods"))
    owned = {address for pod in found.pods for address in _addresses(pod)}
    strangers = sorted(serving - owned)
    if strangers and not missing:
        listed_some = ", ".join(strangers[:_SHOWN])
        faults.append(Trouble(what=f"{len(strangers)} ready endpoints belong to no pod of the selector: {listed_some}"))
    ports = {port for piece in slices for port in (text(p, "name") for p in objects(piece.get("ports")))}
    wanted = {text(port, "name") for port in objects(at(found.service, "spec", "ports"))}
    if serving and wanted - ports:
        faults.append(
            Trouble(what=f"no endpoint has the Service's port {', '.join(sorted(wanted - ports)) or '(unnamed)'}")
        )
    return faults


def _addresses(pod: dict[str, Any]) -> set[str]:
    return {text(pod, "status", "podIP"), *(text(one, "ip") for one in objects(at(pod, "status", "podIPs")))} - {""}
