"""The columns that the server prints for each kind, under the original's names and in its order."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Final

import orjson

from midwatch_contracts.times import unix_seconds
from midwatch_lab.kinds.durations import human_duration
from midwatch_lab.kinds.pod_status import pod_ready, pod_restarts, pod_status
from midwatch_lab.objects import Object, dig, labels_of, meta, name_of

_NONE: Final = "<none>"
_ROLE: Final = "node-role.kubernetes.io/"
_MANY: Final = 3


@dataclass(frozen=True)
class Column:
    """One column: `priority` 1 is shown with `-o wide` only; `value` reads a cell from an object at a time."""

    name: str
    value: Callable[[Object, float], Any]
    type: str = "string"
    priority: int = 0
    format: str = ""
    description: str = ""

    @property
    def definition(self) -> Object:
        """The column as a Table describes it."""
        form = self.format or ("name" if self.name == "Name" else "")
        text = self.description or f"{self.name} of the object"
        return {"name": self.name, "type": self.type, "format": form, "description": text, "priority": self.priority}


def age(timestamp: str | None, now: float) -> str:
    """Return how long ago a time of an object is."""
    return human_duration(now - unix_seconds(timestamp)) if timestamp else "<unknown>"


def selector_text(selector: Object | None) -> str:
    """Return a label selector as text."""
    parts = [f"{key}={value}" for key, value in sorted(dig(selector, "matchLabels", default={}).items())]
    words = {"In": "in", "NotIn": "notin"}
    for item in dig(selector, "matchExpressions", default=[]):
        operator, key = item.get("operator"), item.get("key")
        if operator in words:
            parts.append(f"{key} {words[operator]} ({','.join(sorted(item.get('values', [])))})")
        else:
            parts.append(key if operator == "Exists" else f"!{key}")
    return ",".join(parts) or _NONE


def _path(*path: str, default: Any = _NONE) -> Callable[[Object, float], Any]:
    return lambda obj, _now: dig(obj, *path, default=default)


def _of(function: Callable[[Object], Any]) -> Callable[[Object, float], Any]:
    return lambda obj, _now: function(obj)


def _containers(field: str) -> Callable[[Object, float], Any]:
    def read(obj: Object, _now: float) -> str:
        found: list[Object] = dig(obj, "spec", "template", "spec", "containers", default=[])
        return ",".join(str(item.get(field, "")) for item in found)

    return read


NAME: Final = Column("Name", _of(name_of))
AGE: Final = Column("Age", lambda obj, now: age(meta(obj).get("creationTimestamp"), now))
_WORKLOAD: Final = (
    Column("Containers", _containers("name"), priority=1),
    Column("Images", _containers("image"), priority=1),
    Column("Selector", _of(lambda obj: selector_text(dig(obj, "spec", "selector"))), priority=1),
)


def _node_status(obj: Object) -> str:
    ready = next((item for item in dig(obj, "status", "conditions", default=[]) if item.get("type") == "Ready"), None)
    words = ["Unknown" if ready is None else "Ready" if ready.get("status") == "True" else "NotReady"]
    if dig(obj, "spec", "unschedulable"):
        words.append("SchedulingDisabled")
    return ",".join(words)


def _node_roles(obj: Object) -> str:
    return ",".join(sorted(key.removeprefix(_ROLE) for key in labels_of(obj) if key.startswith(_ROLE))) or _NONE


def _node_address(kind: str) -> Callable[[Object, float], Any]:
    def read(obj: Object, _now: float) -> str:
        addresses: list[Object] = dig(obj, "status", "addresses", default=[])
        return next((item.get("address", "") for item in addresses if item.get("type") == kind), _NONE)

    return read


def _node_info(name: str) -> Callable[[Object, float], Any]:
    return _path("status", "nodeInfo", name, default="<unknown>")


def _service_ports(obj: Object) -> str:
    def text(port: Object) -> str:
        node = f":{port['nodePort']}" if port.get("nodePort") else ""
        return f"{port['port']}{node}/{port['protocol']}"

    return ",".join(text(port) for port in dig(obj, "spec", "ports", default=[])) or _NONE


def _external_ip(obj: Object) -> str:
    match dig(obj, "spec", "type"):
        case "LoadBalancer":
            return "<pending>"
        case "ExternalName":
            return str(dig(obj, "spec", "externalName"))
        case _:
            return ",".join(dig(obj, "spec", "externalIPs", default=[])) or _NONE


def _map_text(labels: dict[str, str] | None) -> str:
    return ",".join(f"{key}={value}" for key, value in sorted((labels or {}).items())) or _NONE


def _shortened(items: list[str]) -> str:
    more = f" + {len(items) - _MANY} more..." if len(items) > _MANY else ""
    return ",".join(items[:_MANY]) + more or _NONE


def _endpoints(obj: Object) -> str:
    found = [
        f"{address.get('ip', '')}:{port.get('port', 0)}"
        for subset in obj.get("subsets", [])
        for port in subset.get("ports", [])
        for address in subset.get("addresses", [])
    ]
    return _shortened(found)


def _slice_ports(obj: Object) -> str:
    return _shortened([str(port.get("port", "*")) for port in obj.get("ports", [])]).replace(_NONE, "<unset>")


def _slice_addresses(obj: Object) -> str:
    found = [address for item in obj.get("endpoints", []) for address in item.get("addresses", [])]
    return _shortened(found).replace(_NONE, "<unset>")


def _autoscaler_targets(obj: Object) -> str:
    parts: list[str] = []
    current: list[Object] = dig(obj, "status", "currentMetrics", default=[])
    for index, metric in enumerate(dig(obj, "spec", "metrics", default=[])):
        resource = metric.get("resource")
        if resource is None:
            parts.append("<unknown type>")
            continue
        target = resource["target"]
        seen = dig(current[index] if index < len(current) else {}, "resource", "current", default={})
        if target.get("averageUtilization") is not None:
            used = f"{seen['averageUtilization']}%" if "averageUtilization" in seen else "<unknown>"
            parts.append(f"{resource.get('name', '')}: {used}/{target['averageUtilization']}%")
        else:
            parts.append(
                f"{resource.get('name', '')}: {seen.get('averageValue', '<unknown>')}/{target.get('averageValue')}"
            )
    return ", ".join(parts) or _NONE


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
    Column("Type", _path("type", default="")),
    Column("Reason", _path("reason", default="")),
    Column("Object", _of(_event_object)),
    Column("Subobject", _path("involvedObject", "fieldPath", default=""), priority=1),
    Column("Source", _of(_event_source), priority=1),
    Column("Message", _of(lambda obj: str(obj.get("message", "")).strip())),
    Column("First Seen", lambda obj, now: age(obj.get("firstTimestamp") or obj.get("eventTime"), now), priority=1),
    Column("Count", _of(lambda obj: dig(obj, "series", "count") or obj.get("count") or 1), priority=1),
    Column("Name", _of(name_of), priority=1),
)

_COLUMNS: Final[dict[str, tuple[Column, ...]]] = {
    "Namespace": (NAME, Column("Status", _path("status", "phase")), AGE),
    "Node": (
        NAME,
        Column("Status", _of(_node_status)),
        Column("Roles", _of(_node_roles)),
        AGE,
        Column("Version", _path("status", "nodeInfo", "kubeletVersion", default="")),
        Column("Internal-IP", _node_address("InternalIP"), priority=1),
        Column("External-IP", _node_address("ExternalIP"), priority=1),
        Column("OS-Image", _node_info("osImage"), priority=1),
        Column("Kernel-Version", _node_info("kernelVersion"), priority=1),
        Column("Container-Runtime", _node_info("containerRuntimeVersion"), priority=1),
    ),
    "Pod": (
        NAME,
        Column("Ready", _of(pod_ready)),
        Column("Status", _of(pod_status)),
        Column("Restarts", pod_restarts),
        AGE,
        Column("IP", _path("status", "podIP"), priority=1),
        Column("Node", _path("spec", "nodeName"), priority=1),
        Column("Nominated Node", _path("status", "nominatedNodeName"), priority=1),
        Column("Readiness Gates", _of(lambda _obj: _NONE), priority=1),
    ),
    "Service": (
        NAME,
        Column("Type", _path("spec", "type")),
        Column("Cluster-IP", _path("spec", "clusterIP")),
        Column("External-IP", _of(_external_ip)),
        Column("Port(s)", _of(_service_ports)),
        AGE,
        Column("Selector", _of(lambda obj: _map_text(dig(obj, "spec", "selector"))), priority=1),
    ),
    "CustomResourceDefinition": (NAME, Column("Created At", _path("metadata", "creationTimestamp"), type="date")),
    "Endpoints": (NAME, Column("Endpoints", _of(_endpoints)), AGE),
    "EndpointSlice": (
        NAME,
        Column("AddressType", _path("addressType")),
        Column("Ports", _of(_slice_ports)),
        Column("Endpoints", _of(_slice_addresses)),
        AGE,
    ),
    "ConfigMap": (
        NAME,
        Column("Data", _of(lambda obj: len(dig(obj, "data", default={})) + len(dig(obj, "binaryData", default={})))),
        AGE,
    ),
    "Secret": (
        NAME,
        Column("Type", _path("type")),
        Column("Data", _of(lambda obj: len(dig(obj, "data", default={})))),
        AGE,
    ),
    "ServiceAccount": (NAME, AGE),
    "Event": _EVENT,
    "Deployment": (
        NAME,
        Column("Ready", _of(lambda o: f"{dig(o, 'status', 'readyReplicas', default=0)}/{dig(o, 'spec', 'replicas')}")),
        Column("Up-to-date", _path("status", "updatedReplicas", default=0)),
        Column("Available", _path("status", "availableReplicas", default=0)),
        AGE,
        *_WORKLOAD,
    ),
    "ReplicaSet": (
        NAME,
        Column("Desired", _path("spec", "replicas", default=0), type="integer"),
        Column("Current", _path("status", "replicas", default=0), type="integer"),
        Column("Ready", _path("status", "readyReplicas", default=0), type="integer"),
        AGE,
        *_WORKLOAD,
    ),
    "Lease": (NAME, Column("Holder", _path("spec", "holderIdentity", default="")), AGE),
    "HorizontalPodAutoscaler": (
        NAME,
        Column(
            "Reference",
            _of(lambda o: "/".join(dig(o, "spec", "scaleTargetRef", key, default="") for key in ("kind", "name"))),
        ),
        Column("Targets", _of(_autoscaler_targets)),
        Column("MinPods", _of(lambda obj: str(dig(obj, "spec", "minReplicas", default="<unset>")))),
        Column("MaxPods", _path("spec", "maxReplicas")),
        Column("Replicas", _path("status", "currentReplicas", default=0)),
        AGE,
    ),
    "PodDisruptionBudget": (
        NAME,
        Column("Min Available", _of(lambda obj: str(dig(obj, "spec", "minAvailable", default="N/A")))),
        Column("Max Unavailable", _of(lambda obj: str(dig(obj, "spec", "maxUnavailable", default="N/A")))),
        Column("Allowed Disruptions", _path("status", "disruptionsAllowed", default=0), type="integer"),
        AGE,
    ),
}


@cache
def columns_of(kind: str) -> tuple[Column, ...]:
    """Return the columns of a kind, described as the original describes them."""
    described = {definition["name"]: definition for definition in _described().get(kind, [])}
    return tuple(
        replace(column, **{key: described[column.name][key] for key in ("type", "format", "description")})
        if column.name in described
        else column
        for column in _COLUMNS[kind]
    )


@cache
def _described() -> Object:
    return orjson.loads(Path(__file__).with_name("columns.json").read_bytes())
