"""The columns that the server prints for each kind, under the original's names and in its order."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, Final

import orjson

from midwatch_lab.kinds import columns_metrics, columns_policy, columns_rbac
from midwatch_lab.kinds.column import AGE, NAME, NONE, WORKLOAD, Column, age, map_text, of, path, shortened
from midwatch_lab.kinds.columns_workloads import COLUMNS as WORKLOADS
from midwatch_lab.kinds.pod_status import pod_ready, pod_restarts, pod_status
from midwatch_lab.objects import Object, dig, labels_of, name_of

UNKNOWN: Final = "<unknown>"
_ROLE: Final = "node-role.kubernetes.io/"


def _node_status(obj: Object) -> str:
    ready = next((item for item in dig(obj, "status", "conditions", default=[]) if item.get("type") == "Ready"), None)
    words = ["Unknown" if ready is None else "Ready" if ready.get("status") == "True" else "NotReady"]
    if dig(obj, "spec", "unschedulable"):
        words.append("SchedulingDisabled")
    return ",".join(words)


def _node_roles(obj: Object) -> str:
    return ",".join(sorted(key.removeprefix(_ROLE) for key in labels_of(obj) if key.startswith(_ROLE))) or NONE


def _node_address(kind: str) -> Callable[[Object, float], Any]:
    def read(obj: Object, _now: float) -> str:
        addresses: list[Object] = dig(obj, "status", "addresses", default=[])
        return next((item.get("address", "") for item in addresses if item.get("type") == kind), NONE)

    return read


def _node_info(name: str) -> Callable[[Object, float], Any]:
    return path("status", "nodeInfo", name, default=UNKNOWN)


def _service_ports(obj: Object) -> str:
    def text(port: Object) -> str:
        node = f":{port['nodePort']}" if port.get("nodePort") else ""
        return f"{port['port']}{node}/{port['protocol']}"

    return ",".join(text(port) for port in dig(obj, "spec", "ports", default=[])) or NONE


def _external_ip(obj: Object) -> str:
    match dig(obj, "spec", "type"):
        case "LoadBalancer":
            return "<pending>"
        case "ExternalName":
            return str(dig(obj, "spec", "externalName"))
        case _:
            return ",".join(dig(obj, "spec", "externalIPs", default=[])) or NONE


def _endpoints(obj: Object) -> str:
    found = [
        f"{address.get('ip', '')}:{port.get('port', 0)}"
        for subset in obj.get("subsets", [])
        for port in subset.get("ports", [])
        for address in subset.get("addresses", [])
    ]
    return shortened(found)


def _slice_ports(obj: Object) -> str:
    return shortened([str(port.get("port", "*")) for port in obj.get("ports", [])]).replace(NONE, "<unset>")


def _slice_addresses(obj: Object) -> str:
    found = [address for item in obj.get("endpoints", []) for address in item.get("addresses", [])]
    return shortened(found).replace(NONE, "<unset>")


def _event_source(obj: Object) -> str:
    source = dig(obj, "source", "component") or obj.get("reportingComponent", "")
    host = dig(obj, "source", "host") or obj.get("reportingInstance", "")
    return f"{source}, {host}" if host and host != source else source


def _last_seen(obj: Object) -> str | None:
    return dig(obj, "series", "lastObservedTime") or obj.get("lastTimestamp") or obj.get("eventTime")


def _event_object(obj: Object) -> str:
    involved: Object = obj.get("involvedObject", {})
    return f"{str(involved.get('kind', '')).lower()}/{involved.get('name', '')}"


_EVENT: Final = (
    Column("Last Seen", lambda obj, now: age(_last_seen(obj), now)),
    Column("Type", path("type", default="")),
    Column("Reason", path("reason", default="")),
    Column("Object", of(_event_object)),
    Column("Subobject", path("involvedObject", "fieldPath", default=""), priority=1),
    Column("Source", of(_event_source), priority=1),
    Column("Message", of(lambda obj: str(obj.get("message", "")).strip())),
    Column("First Seen", lambda obj, now: age(obj.get("firstTimestamp") or obj.get("eventTime"), now), priority=1),
    Column("Count", of(lambda obj: dig(obj, "series", "count") or obj.get("count") or 1), priority=1),
    Column("Name", of(name_of), priority=1),
)


def _kernel(obj: Object) -> str:
    info: Object = dig(obj, "status", "nodeInfo", default={})
    architecture = info.get("architecture")
    return (info.get("kernelVersion") or UNKNOWN) + (f" ({architecture})" if architecture else "")


_COLUMNS: Final[dict[str, tuple[Column, ...]]] = {
    **columns_metrics.COLUMNS,
    **columns_policy.COLUMNS,
    **columns_rbac.COLUMNS,
    "Namespace": (NAME, Column("Status", path("status", "phase")), AGE),
    "Node": (
        NAME,
        Column("Status", of(_node_status)),
        Column("Roles", of(_node_roles)),
        AGE,
        Column("Version", path("status", "nodeInfo", "kubeletVersion", default="")),
        Column("Internal-IP", _node_address("InternalIP"), priority=1),
        Column("External-IP", _node_address("ExternalIP"), priority=1),
        Column("OS-Image", _node_info("osImage"), priority=1),
        Column("Kernel-Version", of(_kernel), priority=1),
        Column("Container-Runtime", _node_info("containerRuntimeVersion"), priority=1),
    ),
    "Pod": (
        NAME,
        Column("Ready", of(pod_ready)),
        Column("Status", of(pod_status)),
        Column("Restarts", pod_restarts),
        AGE,
        Column("IP", path("status", "podIP"), priority=1),
        Column("Node", path("spec", "nodeName"), priority=1),
        Column("Nominated Node", path("status", "nominatedNodeName"), priority=1),
        Column("Readiness Gates", of(lambda _obj: NONE), priority=1),
    ),
    "Service": (
        NAME,
        Column("Type", path("spec", "type")),
        Column("Cluster-IP", path("spec", "clusterIP")),
        Column("External-IP", of(_external_ip)),
        Column("Port(s)", of(_service_ports)),
        AGE,
        Column("Selector", of(lambda obj: map_text(dig(obj, "spec", "selector"))), priority=1),
    ),
    "CustomResourceDefinition": (NAME, Column("Created At", path("metadata", "creationTimestamp"), type="date")),
    "Endpoints": (NAME, Column("Endpoints", of(_endpoints)), AGE),
    "EndpointSlice": (
        NAME,
        Column("AddressType", path("addressType")),
        Column("Ports", of(_slice_ports)),
        Column("Endpoints", of(_slice_addresses)),
        AGE,
    ),
    "ConfigMap": (
        NAME,
        Column("Data", of(lambda obj: len(dig(obj, "data", default={})) + len(dig(obj, "binaryData", default={})))),
        AGE,
    ),
    "Secret": (
        NAME,
        Column("Type", path("type")),
        Column("Data", of(lambda obj: len(dig(obj, "data", default={})))),
        AGE,
    ),
    "ServiceAccount": (NAME, AGE),
    "Event": _EVENT,
    "Deployment": (
        NAME,
        Column("Ready", of(lambda o: f"{dig(o, 'status', 'readyReplicas', default=0)}/{dig(o, 'spec', 'replicas')}")),
        Column("Up-to-date", path("status", "updatedReplicas", default=0)),
        Column("Available", path("status", "availableReplicas", default=0)),
        AGE,
        *WORKLOAD,
    ),
    "ReplicaSet": (
        NAME,
        Column("Desired", path("spec", "replicas", default=0), type="integer"),
        Column("Current", path("status", "replicas", default=0), type="integer"),
        Column("Ready", path("status", "readyReplicas", default=0), type="integer"),
        AGE,
        *WORKLOAD,
    ),
    "Scale": (
        NAME,
        Column("Desired", path("spec", "replicas", default=0), type="integer"),
        Column("Available", path("status", "replicas", default=0), type="integer"),
        AGE,
    ),
    "Lease": (NAME, Column("Holder", path("spec", "holderIdentity", default="")), AGE),
}


@cache
def columns_of(kind: str) -> tuple[Column, ...]:
    """Return the columns of a kind, described as the original describes them."""
    described = {definition["name"]: definition for definition in _described().get(kind, [])}
    return tuple(
        replace(column, **{key: described[column.name][key] for key in ("type", "format", "description")})
        if column.name in described
        else column
        for column in (_COLUMNS | WORKLOADS).get(kind, (NAME, AGE))
    )


@cache
def _described() -> Object:
    return orjson.loads(Path(__file__).with_name("columns.json").read_bytes())
