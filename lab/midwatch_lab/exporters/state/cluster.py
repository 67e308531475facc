"""Nodes and namespaces, and what a namespace keeps: ConfigMaps and Secrets; and leases."""

from collections.abc import Iterable, Iterator
from typing import Final

from midwatch_lab.exporters.family import Family, Point, Reader
from midwatch_lab.exporters.state.kind import NAME, NAMESPACE, Kind
from midwatch_lab.exporters.state.reading import (
    OWNER_LABELS,
    amount,
    conditions,
    created,
    deleted,
    moment,
    number,
    one,
    owners,
    plain,
    resource_version,
    states,
    unit_of,
    words,
)
from midwatch_lab.kinds.resources import CONFIGMAPS, LEASES, NAMESPACES, NODES, SECRETS
from midwatch_lab.objects import Object, dig, labels_of, meta

_ROLE: Final = "node-role.kubernetes.io/"
_INFO: Final = {
    "kernel_version": ("nodeInfo", "kernelVersion"),
    "os_image": ("nodeInfo", "osImage"),
    "container_runtime_version": ("nodeInfo", "containerRuntimeVersion"),
    "kubelet_version": ("nodeInfo", "kubeletVersion"),
    "system_uuid": ("nodeInfo", "systemUUID"),
}


def _node_info(node: Object) -> Iterable[Point]:
    found = {label: str(dig(node, "status", *path, default="")) for label, path in _INFO.items()}
    addresses: list[Object] = dig(node, "status", "addresses", default=[])
    inner = [str(item["address"]) for item in addresses if item.get("type") == "InternalIP"]
    rest = {
        "kubeproxy_version": "deprecated",
        "provider_id": dig(node, "spec", "providerID", default=""),
        "pod_cidr": dig(node, "spec", "podCIDR", default=""),
        "internal_ip": inner[-1] if inner else "",
    }
    yield {**found, **rest}, 1.0


def _roles(node: Object) -> Iterable[Point]:
    return [({"role": key.removeprefix(_ROLE)}, 1.0) for key in labels_of(node) if key.startswith(_ROLE)]


def _taints(node: Object) -> Iterable[Point]:
    for taint in dig(node, "spec", "taints", default=[]):
        yield {"key": taint["key"], "value": taint.get("value", ""), "effect": taint["effect"]}, 1.0


def _addresses(node: Object) -> Iterable[Point]:
    return [
        ({"type": item["type"], "address": item["address"]}, 1.0)
        for item in dig(node, "status", "addresses", default=[])
    ]


def _room(kind: str) -> Reader:
    def read(node: Object) -> Iterator[Point]:
        for name, text in dig(node, "status", kind, default={}).items():
            unit = "integer" if name == "pods" else unit_of(name)
            if unit is not None:
                yield {"resource": plain(name), "unit": unit}, amount(str(text))

    return read


def _lease_owners(lease: Object) -> Iterable[Point]:
    base = {"namespace": meta(lease).get("namespace", ""), "lease_holder": dig(lease, "spec", "holderIdentity") or ""}
    for labels, value in owners(lease):
        yield {**base, "owner_kind": labels["owner_kind"], "owner_name": labels["owner_name"]}, value


def _renewed(lease: Object) -> Iterable[Point]:
    for _, value in moment("spec", "renewTime")(lease):
        yield {"namespace": meta(lease).get("namespace", "")}, value


NODE_KIND: Final = Kind(
    NODES,
    {"node": NAME},
    (
        created("kube_node"),
        deleted("kube_node_deletion_timestamp"),
        Family(
            "kube_node_info",
            "The node and what runs on it",
            _node_info,
            (*_INFO, "kubeproxy_version", "provider_id", "pod_cidr", "internal_ip"),
        ),
        Family("kube_node_role", "The roles of the node", _roles, ("role",)),
        Family("kube_node_spec_taint", "The taints of the node", _taints, ("key", "value", "effect")),
        Family("kube_node_spec_unschedulable", "1 for a node that is cordoned", number("spec", "unschedulable")),
        Family(
            "kube_node_status_allocatable",
            "What pods may ask of the node, in the unit",
            _room("allocatable"),
            ("resource", "unit"),
        ),
        Family("kube_node_status_capacity", "What the node has, in the unit", _room("capacity"), ("resource", "unit")),
        Family(
            "kube_node_status_condition",
            "1 for the status of each condition of the node",
            conditions,
            ("condition", "status"),
        ),
        Family("kube_node_status_addresses", "The addresses of the node", _addresses, ("type", "address")),
    ),
)
NAMESPACE_KIND: Final = Kind(
    NAMESPACES,
    {"namespace": NAME},
    (
        created("kube_namespace"),
        Family(
            "kube_namespace_status_phase",
            "1 for the phase of the namespace",
            states("phase", ("Active", "Terminating"), "status", "phase", always=True),
            ("phase",),
        ),
        Family(
            "kube_namespace_status_condition",
            "1 for the status of each condition of the namespace",
            conditions,
            ("condition", "status"),
        ),
    ),
)
CONFIG_MAP_KIND: Final = Kind(
    CONFIGMAPS,
    {**NAMESPACE, "configmap": NAME},
    (
        Family("kube_configmap_info", "The ConfigMap is there", one),
        created("kube_configmap"),
        resource_version("kube_configmap"),
    ),
)
SECRET_KIND: Final = Kind(
    SECRETS,
    {**NAMESPACE, "secret": NAME},
    (
        Family("kube_secret_info", "The Secret is there", one),
        Family("kube_secret_type", "The type of the Secret", words({"type": ("type",)}), ("type",)),
        created("kube_secret"),
        resource_version("kube_secret"),
        Family("kube_secret_owner", "What owns the Secret", owners, OWNER_LABELS),
    ),
)
LEASE_KIND: Final = Kind(
    LEASES,
    {"lease": NAME},
    (
        Family(
            "kube_lease_owner",
            "What owns the lease, and who holds it",
            _lease_owners,
            ("owner_kind", "owner_name", "namespace", "lease_holder"),
        ),
        Family("kube_lease_renew_time", "When the lease was renewed, in Unix seconds", _renewed, ("namespace",)),
    ),
)
