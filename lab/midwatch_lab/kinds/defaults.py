"""Defaults that the original sets in code, not in its OpenAPI documents: one small function a kind.

Each writes into a decoded copy. Pod templates get what any pod specification gets; a Pod itself a little more.
"""

from collections.abc import Callable
from typing import Final

from midwatch_lab.kinds import policy_defaults, workload_defaults
from midwatch_lab.kinds.access_validation import GROUP
from midwatch_lab.kinds.pod_defaults import filled, pod_spec
from midwatch_lab.objects import Object, dig
from midwatch_lab.quantity import parse


def apply_defaults(kind: str, obj: Object) -> None:
    """Fill in what the kind leaves open (in place)."""
    fill = _DEFAULTS.get(kind)
    if fill is not None:
        fill(obj)


def _pod(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    pod_spec(spec)
    spec.setdefault("enableServiceLinks", True)
    for container in [*spec.get("containers", []), *spec.get("initContainers", [])]:
        resources = container.setdefault("resources", {})
        if resources.get("limits"):
            resources["requests"] = {**resources["limits"], **resources.get("requests", {})}


def quality_of_service(spec: Object) -> str:
    """Return the class by which the kernel would choose what to kill: Guaranteed, Burstable or BestEffort."""
    names = ("cpu", "memory")
    containers: list[Object] = [*spec.get("containers", []), *spec.get("initContainers", [])]
    pairs = [
        (dig(container, "resources", "limits", name), dig(container, "resources", "requests", name))
        for container in containers
        for name in names
    ]
    if not any(limit or request for limit, request in pairs):
        return "BestEffort"
    same = all(limit and request and parse(limit) == parse(request) for limit, request in pairs)
    return "Guaranteed" if same else "Burstable"


def _deployment(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    spec.setdefault("replicas", 1)
    strategy = spec.setdefault("strategy", {})
    filled(strategy, type="RollingUpdate")
    if strategy["type"] == "RollingUpdate":
        rolling = strategy.setdefault("rollingUpdate", {})
        rolling.setdefault("maxUnavailable", "25%")
        rolling.setdefault("maxSurge", "25%")
    spec.setdefault("revisionHistoryLimit", 10)
    spec.setdefault("progressDeadlineSeconds", 600)
    pod_spec(spec.setdefault("template", {}).setdefault("spec", {}))


def _replica_set(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    spec.setdefault("replicas", 1)
    template = dig(spec, "template")
    if template is not None:
        pod_spec(template.setdefault("spec", {}))


def _service(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    filled(spec, type="ClusterIP", sessionAffinity="None")
    for port in spec.get("ports", []):
        filled(port, protocol="TCP")
        if port.get("targetPort") in (None, "", 0):
            port["targetPort"] = port.get("port", 0)
    if spec["type"] in ("NodePort", "LoadBalancer"):
        filled(spec, externalTrafficPolicy="Cluster")
    if spec["type"] == "LoadBalancer":
        spec.setdefault("allocateLoadBalancerNodePorts", True)
    if spec["type"] != "ExternalName":
        filled(spec, internalTrafficPolicy="Cluster")


def _endpoints(obj: Object) -> None:
    for subset in obj.get("subsets", []):
        for port in subset.get("ports", []):
            filled(port, protocol="TCP")


def _endpoint_slice(obj: Object) -> None:
    for port in obj.get("ports", []):
        filled(port, protocol="TCP")
        port.setdefault("name", "")


def _secret(obj: Object) -> None:
    filled(obj, type="Opaque")


def _namespace(obj: Object) -> None:
    labels = obj["metadata"].setdefault("labels", {})
    labels["kubernetes.io/metadata.name"] = obj["metadata"].get("name", "")


def _custom_resource_definition(obj: Object) -> None:
    spec: Object = obj.setdefault("spec", {})
    names: Object = spec.setdefault("names", {})
    kind = str(names.get("kind", ""))
    if kind:
        filled(names, singular=kind.lower(), listKind=f"{kind}List")
    filled(spec.setdefault("conversion", {}), strategy="None")


def _binding(obj: Object) -> None:
    filled(obj.setdefault("roleRef", {}), apiGroup=GROUP)
    for subject in obj.get("subjects", []):
        if subject.get("kind") in ("User", "Group"):
            filled(subject, apiGroup=GROUP)


_DEFAULTS: Final[dict[str, Callable[[Object], None]]] = {
    **policy_defaults.DEFAULTS,
    "Pod": _pod,
    "Deployment": _deployment,
    "ReplicaSet": _replica_set,
    "StatefulSet": workload_defaults.stateful_set,
    "DaemonSet": workload_defaults.daemon_set,
    "Job": workload_defaults.job,
    "CronJob": workload_defaults.cron_job,
    "PodTemplate": workload_defaults.pod_template,
    "Service": _service,
    "Endpoints": _endpoints,
    "EndpointSlice": _endpoint_slice,
    "Secret": _secret,
    "Namespace": _namespace,
    "CustomResourceDefinition": _custom_resource_definition,
    "RoleBinding": _binding,
    "ClusterRoleBinding": _binding,
}
