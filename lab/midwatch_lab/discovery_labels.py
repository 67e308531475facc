"""The labels that Prometheus's Kubernetes discovery gives to what it finds, by the objects that it finds them in.

Source: https://prometheus.io/docs/prometheus/latest/configuration/configuration/#kubernetes_sd_config.
"""

import re
from collections.abc import Iterator
from typing import Final

from midwatch_lab.controllers.endpoints import Backend, target_port
from midwatch_lab.objects import (
    Object,
    annotations_of,
    controller_of,
    dig,
    is_condition_true,
    labels_of,
    name_of,
    namespace_of,
    uid_of,
)

_META: Final = "__meta_kubernetes_"
METRICS_PORT: Final = "__meta_midwatch_metrics_port"
"""`true` on the port of a Service that the lab's own job scrapes: the one named `http`, else the first."""
ENDPOINT: Final = "__meta_midwatch_endpoint"
"""What the prometheus-operator calls the port: its name, else its target."""
_ODD: Final = re.compile(r"[^a-zA-Z0-9_]")


def service_labels(service: Object) -> dict[str, str]:
    """Return the labels of a Service and its endpoints."""
    name = name_of(service)
    return {
        f"{_META}namespace": namespace_of(service),
        f"{_META}endpoints_name": name,
        f"{_META}service_name": name,
        f"{_META}service_cluster_ip": str(dig(service, "spec", "clusterIP", default="")),
        f"{_META}service_type": str(dig(service, "spec", "type", default="")),
        **_marks(service, "service"),
    }


def endpoint_targets(service: Object, backend: Backend) -> Iterator[dict[str, str]]:
    """Yield the labels of each port of a pod behind a Service."""
    pod, chosen = backend.pod, metrics_port(service)
    common = service_labels(service) | {
        f"{_META}endpoint_node_name": str(dig(pod, "spec", "nodeName", default="")),
        f"{_META}endpoint_ready": _truth(value=backend.ready),
        f"{_META}endpoint_address_target_kind": "Pod",
        f"{_META}endpoint_address_target_name": name_of(pod),
        **pod_labels(pod),
    }
    for port in dig(service, "spec", "ports", default=[]):
        number = target_port(pod, port)
        if number is None:
            continue
        yield common | {
            "__address__": f"{backend.ip}:{number}",
            f"{_META}endpoint_port_name": str(port.get("name", "")),
            f"{_META}endpoint_port_protocol": str(port.get("protocol", "TCP")),
            METRICS_PORT: "true" if port is chosen else "",
            ENDPOINT: str(port.get("name") or port.get("targetPort")),
            **_container_labels(pod, number),
        }


def pod_targets(pod: Object) -> Iterator[dict[str, str]]:
    """Yield the labels of each port of a pod's containers."""
    address = str(dig(pod, "status", "podIP", default=""))
    common = {f"{_META}namespace": namespace_of(pod), **pod_labels(pod)}
    for container in dig(pod, "spec", "containers", default=[]):
        for port in container.get("ports", []):
            yield common | _port_labels(container, port) | {"__address__": f"{address}:{port['containerPort']}"}
        if not container.get("ports"):
            yield common | _port_labels(container, {}) | {"__address__": address}


def pod_labels(pod: Object) -> dict[str, str]:
    """Return the labels of a pod."""
    owner = controller_of(pod) or {}
    return {
        f"{_META}pod_name": name_of(pod),
        f"{_META}pod_ip": str(dig(pod, "status", "podIP", default="")),
        f"{_META}pod_ready": _truth(value=is_condition_true(pod, "Ready")),
        f"{_META}pod_phase": str(dig(pod, "status", "phase", default="")),
        f"{_META}pod_node_name": str(dig(pod, "spec", "nodeName", default="")),
        f"{_META}pod_host_ip": str(dig(pod, "status", "hostIP", default="")),
        f"{_META}pod_uid": uid_of(pod),
        f"{_META}pod_controller_kind": str(owner.get("kind", "")),
        f"{_META}pod_controller_name": str(owner.get("name", "")),
        **_marks(pod, "pod"),
    }


def metrics_port(service: Object) -> Object | None:
    """Return the port that the lab's own job scrapes, and that its load goes to."""
    ports: list[Object] = dig(service, "spec", "ports", default=[])
    return next((port for port in ports if port.get("name") == "http"), ports[0] if ports else None)


def _container_labels(pod: Object, number: int) -> dict[str, str]:
    """Return the labels of the container that declares a port; of the first where none does."""
    containers: list[Object] = dig(pod, "spec", "containers", default=[])
    for container in containers:
        for port in container.get("ports", []):
            if port.get("containerPort") == number:
                return _port_labels(container, port)
    return _port_labels(containers[0], {}) if containers else {}


def _port_labels(container: Object, port: Object) -> dict[str, str]:
    declared = {"name": port.get("name", ""), "number": port.get("containerPort", "")}
    if port:
        declared["protocol"] = port.get("protocol", "TCP")
    return {
        f"{_META}pod_container_name": str(container["name"]),
        f"{_META}pod_container_image": str(container.get("image", "")),
        **{f"{_META}pod_container_port_{key}": str(value) for key, value in declared.items()},
    }


def _marks(obj: Object, kind: str) -> dict[str, str]:
    """Return the labels for an object's labels and annotations."""
    found: dict[str, str] = {}
    for what, values in (("label", labels_of(obj)), ("annotation", annotations_of(obj))):
        for name, value in values.items():
            plain = _ODD.sub("_", name)
            found[f"{_META}{kind}_{what}_{plain}"] = value
            found[f"{_META}{kind}_{what}present_{plain}"] = "true"
    return found


def _truth(*, value: bool) -> str:
    return "true" if value else "false"
