"""What an object uses of the resources that quotas count, and which quotas are about it.

Source: https://kubernetes.io/docs/concepts/policy/resource-quotas/.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from midwatch_lab.kinds import resource_names
from midwatch_lab.kinds.defaults import quality_of_service
from midwatch_lab.kinds.pod_resources import pod_resources
from midwatch_lab.kinds.resources import PODS, SERVICES, VOLUME_CLAIMS, Resource
from midwatch_lab.objects import Object, annotations_of, dig
from midwatch_lab.quantity import added

_COMPUTE: Final = ("cpu", "memory", "ephemeral-storage")
_POD_NAMES: Final = frozenset({
    "pods", "count/pods", *_COMPUTE, *(f"{kind}.{name}" for kind in ("requests", "limits") for name in _COMPUTE),
})  # fmt: skip
_MUST_SAY: Final = frozenset({"cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory"})
_PLAIN: Final = frozenset({"configmaps", "secrets", "resourcequotas", "replicationcontrollers"})
_CLASS: Final = ".storageclass.storage.k8s.io/"
_OLD_CLASS: Final = "volume.beta.kubernetes.io/storage-class"
_DONE: Final = ("Succeeded", "Failed")

Amounts = dict[str, str]


def counter(resource: Resource) -> str:
    """Return the name under which the objects of any resource are counted: `count/deployments.apps`."""
    return f"count/{resource.qualified}"


def usage(resource: Resource, obj: Object) -> Amounts:
    """Return what an object uses."""
    count = {counter(resource): "1"}
    if resource is PODS:
        return count | _pod(obj)
    if resource is SERVICES:
        return count | _service(obj)
    if resource is VOLUME_CLAIMS:
        return count | _claim(obj)
    return count | ({resource.plural: "1"} if not resource.group and resource.plural in _PLAIN else {})


def _pod(pod: Object) -> Amounts:
    if dig(pod, "status", "phase") in _DONE:
        return {}
    return {"pods": "1", **compute(pod_resources(pod["spec"], "requests"), pod_resources(pod["spec"], "limits"))}


def compute(requests: Mapping[str, str], limits: Mapping[str, str]) -> Amounts:
    """Return requests and limits under the names of quotas."""
    found: Amounts = {}
    for name, amount in requests.items():
        if name in _COMPUTE or name.startswith(resource_names.HUGE_PAGES):
            found |= {name: amount, f"requests.{name}": amount}
        elif resource_names.is_extended(name):
            found[f"requests.{name}"] = amount
    return found | {f"limits.{name}": limits[name] for name in _COMPUTE if name in limits}


def _service(service: Object) -> Amounts:
    spec: Object = service.get("spec", {})
    ports: list[Object] = dig(spec, "ports", default=[])
    kind = spec.get("type")
    node_ports = len(ports) if kind in ("NodePort", "LoadBalancer") else 0
    if kind == "LoadBalancer" and spec.get("allocateLoadBalancerNodePorts") is False:
        node_ports = sum(bool(port.get("nodePort")) for port in ports)
    balancers = int(kind == "LoadBalancer")
    return {"services": "1", "services.nodeports": str(node_ports), "services.loadbalancers": str(balancers)}


def _claim(claim: Object) -> Amounts:
    size = dig(claim, "spec", "resources", "requests", "storage")
    found = {"persistentvolumeclaims": "1"} | ({} if size is None else {"requests.storage": size})
    name = annotations_of(claim).get(_OLD_CLASS) or dig(claim, "spec", "storageClassName")
    return found | ({f"{name}{_CLASS}{key}": value for key, value in found.items()} if name else {})


def covered(resource: Resource, names: Iterable[str]) -> list[str]:
    """Return which of the names that a quota counts are about a resource."""
    return [name for name in names if _covers(resource, name)]


def _covers(resource: Resource, name: str) -> bool:
    if name == counter(resource):
        return True
    if resource is PODS:
        own = name.startswith((resource_names.HUGE_PAGES, "requests." + resource_names.HUGE_PAGES))
        extended = name.startswith("requests.") and resource_names.is_extended(name.removeprefix("requests."))
        return name in _POD_NAMES or own or extended
    if resource is SERVICES:
        return name in ("services", "services.nodeports", "services.loadbalancers")
    if resource is VOLUME_CLAIMS:
        inner = name.rpartition(_CLASS)[2]
        return inner in ("persistentvolumeclaims", "requests.storage")
    return not resource.group and resource.plural in _PLAIN and name == resource.plural


def matches(quota: Object, resource: Resource, obj: Object) -> bool:
    """Tell whether a quota is about an object of a resource that it counts, by its scopes."""
    spec: Object = quota.get("spec", {})
    scopes = [{"scopeName": scope, "operator": "Exists"} for scope in dig(spec, "scopes", default=[])]
    selected: list[Object] = [*scopes, *dig(spec, "scopeSelector", "matchExpressions", default=[])]
    return all(_in_scope(item, resource, obj) for item in selected)


def _in_scope(item: Object, resource: Resource, obj: Object) -> bool:
    """Tell whether an object is in a scope; scopes are of pods alone, and of claims by their attributes class."""
    scope = str(item.get("scopeName", ""))
    if scope == "VolumeAttributesClass":
        return resource is VOLUME_CLAIMS and _selected(item, dig(obj, "spec", "volumeAttributesClassName"))
    test = _SCOPES.get(scope)
    if resource is not PODS or (test is None and scope != "PriorityClass"):
        return False
    if test is not None:
        return test(obj)
    return _selected(item, obj["spec"].get("priorityClassName") or None)


def _selected(item: Object, value: str | None) -> bool:
    values: list[str] = dig(item, "values", default=[])
    match item.get("operator"):
        case "In":
            return value in values
        case "NotIn":
            return value not in values
        case "DoesNotExist":
            return value is None
        case _:
            return value is not None


def _crosses_namespaces(pod: Object) -> bool:
    found: list[Object] = []
    for kind in ("podAffinity", "podAntiAffinity"):
        affinity: Object = dig(pod, "spec", "affinity", kind, default={})
        found += dig(affinity, "requiredDuringSchedulingIgnoredDuringExecution", default=[])
        preferred: list[Object] = dig(affinity, "preferredDuringSchedulingIgnoredDuringExecution", default=[])
        found += [item.get("podAffinityTerm", {}) for item in preferred]
    return any(term.get("namespaces") or term.get("namespaceSelector") is not None for term in found)


_SCOPES: Final[dict[str, Callable[[Object], bool]]] = {
    "Terminating": lambda pod: pod["spec"].get("activeDeadlineSeconds") is not None,
    "NotTerminating": lambda pod: pod["spec"].get("activeDeadlineSeconds") is None,
    "BestEffort": lambda pod: quality_of_service(pod["spec"]) == "BestEffort",
    "NotBestEffort": lambda pod: quality_of_service(pod["spec"]) != "BestEffort",
    "CrossNamespacePodAffinity": _crosses_namespaces,
}


def missing(pod: Object, names: Iterable[str]) -> str:
    """Say which of the amounts that quotas need a pod's containers do not state; empty where all are."""
    wanted = _MUST_SAY.intersection(names)
    lacking: dict[str, set[str]] = {}
    for container in [*dig(pod["spec"], "containers", default=[]), *dig(pod["spec"], "initContainers", default=[])]:
        stated = compute(
            dig(container, "resources", "requests", default={}), dig(container, "resources", "limits", default={})
        )
        for name in wanted - stated.keys():
            lacking.setdefault(name, set()).add(str(container.get("name", "")))
    return "; ".join(f"{name} for: {','.join(sorted(lacking[name]))}" for name in sorted(lacking))


def total(resource: Resource, objects: Iterable[Object]) -> Amounts:
    """Return what objects use together."""
    found: Amounts = {}
    for obj in objects:
        for name, amount in usage(resource, obj).items():
            found[name] = added(found[name], amount) if name in found else amount
    return found
