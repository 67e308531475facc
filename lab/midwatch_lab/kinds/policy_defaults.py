"""Defaults of the kinds of policy, storage and networking that the original sets in code."""

from collections.abc import Callable
from typing import Final

from midwatch_lab.kinds.autoscaling_validation import autoscaler_defaults
from midwatch_lab.kinds.pod_defaults import filled
from midwatch_lab.objects import Object, dig

_CONTAINER: Final = "Container"


def _limit_range(obj: Object) -> None:
    """Default a container's limits to the maximum, its requests to its limits, and then to the minimum."""
    items: list[Object] = dig(obj, "spec", "limits", default=[])
    for item in items:
        if item.get("type") != _CONTAINER:
            continue
        limits = {**item.get("max", {}), **item.get("default", {})}
        requests = {**item.get("min", {}), **limits, **item.get("defaultRequest", {})}
        item.update({key: value for key, value in (("default", limits), ("defaultRequest", requests)) if value})


def _priority_class(obj: Object) -> None:
    filled(obj, preemptionPolicy="PreemptLowerPriority")
    if obj.get("globalDefault") is False:
        del obj["globalDefault"]


def _claim(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    filled(spec, volumeMode="Filesystem")
    for key in ("dataSource", "dataSourceRef"):
        if key in spec:
            spec[key].setdefault("apiGroup", None)


def _volume(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    filled(spec, volumeMode="Filesystem", persistentVolumeReclaimPolicy="Retain")
    if "hostPath" in spec:
        spec["hostPath"].setdefault("type", "")


def _storage_class(obj: Object) -> None:
    filled(obj, reclaimPolicy="Delete", volumeBindingMode="Immediate")


def _ingress_class(obj: Object) -> None:
    parameters = dig(obj, "spec", "parameters")
    if parameters is not None:
        filled(parameters, scope="Cluster")


def _network_policy(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    if not spec.get("policyTypes"):
        spec["policyTypes"] = ["Ingress", "Egress"] if "egress" in spec else ["Ingress"]
    rules: list[Object] = [*dig(spec, "ingress", default=[]), *dig(spec, "egress", default=[])]
    for rule in rules:
        for port in dig(rule, "ports", default=[]):
            filled(port, protocol="TCP")


DEFAULTS: Final[dict[str, Callable[[Object], None]]] = {
    "HorizontalPodAutoscaler": autoscaler_defaults,
    "LimitRange": _limit_range,
    "PriorityClass": _priority_class,
    "PersistentVolumeClaim": _claim,
    "PersistentVolume": _volume,
    "StorageClass": _storage_class,
    "IngressClass": _ingress_class,
    "NetworkPolicy": _network_policy,
}
