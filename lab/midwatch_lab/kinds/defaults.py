"""Defaults that the original sets in code, not in its OpenAPI documents: one small function a kind.

Each writes into a decoded copy. Pod templates get what any pod specification gets; a Pod itself a little more.
"""

from collections.abc import Callable
from typing import Any, Final

from midwatch_lab.objects import Object, dig
from midwatch_lab.quantity import parse

_GRACE: Final = 30


def apply_defaults(kind: str, obj: Object) -> None:
    """Fill in what the kind leaves open (in place)."""
    fill = _DEFAULTS.get(kind)
    if fill is not None:
        fill(obj)


def _set(target: Object, **values: Any) -> None:
    for key, value in values.items():
        if target.get(key) in (None, ""):
            target[key] = value


def pod_spec(spec: Object) -> None:
    """Fill in a pod specification, as it stands in a template and in a Pod."""
    for container in [*spec.get("containers", []), *spec.get("initContainers", [])]:
        _container(container)
    for volume in spec.get("volumes", []):
        _volume(volume)
    _set(
        spec,
        restartPolicy="Always",
        terminationGracePeriodSeconds=_GRACE,
        dnsPolicy="ClusterFirst",
        schedulerName="default-scheduler",
    )
    spec.setdefault("securityContext", {})
    if spec.get("serviceAccountName"):
        spec["serviceAccount"] = spec["serviceAccountName"]


def _container(container: Object) -> None:
    image = str(container.get("image", ""))
    tag = image.rpartition("/")[2].partition("@")[0].partition(":")[2]
    pull = "Always" if tag in ("", "latest") and "@" not in image else "IfNotPresent"
    _set(
        container,
        imagePullPolicy=pull,
        terminationMessagePath="/dev/termination-log",
        terminationMessagePolicy="File",
    )
    for port in container.get("ports", []):
        _set(port, protocol="TCP")
    for name in ("readinessProbe", "livenessProbe", "startupProbe"):
        if name in container:
            _probe(container[name])
    for hook in dig(container, "lifecycle", default={}).values():
        if "httpGet" in hook:
            _set(hook["httpGet"], path="/", scheme="HTTP")
    for variable in container.get("env", []):
        field = dig(variable, "valueFrom", "fieldRef")
        if field is not None:
            _set(field, apiVersion="v1")


def _probe(probe: Object) -> None:
    for key, value in (("timeoutSeconds", 1), ("periodSeconds", 10), ("successThreshold", 1), ("failureThreshold", 3)):
        if not probe.get(key):
            probe[key] = value
    if "httpGet" in probe:
        _set(probe["httpGet"], path="/", scheme="HTTP")


def _volume(volume: Object) -> None:
    if set(volume) == {"name"}:
        volume["emptyDir"] = {}
    if "hostPath" in volume:
        volume["hostPath"].setdefault("type", "")
    for source, mode in (("configMap", 420), ("secret", 420), ("projected", 420), ("downwardAPI", 420)):
        if source in volume:
            volume[source].setdefault("defaultMode", mode)


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
    _set(strategy, type="RollingUpdate")
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
    _set(spec, type="ClusterIP", sessionAffinity="None")
    for port in spec.get("ports", []):
        _set(port, protocol="TCP")
        if port.get("targetPort") in (None, "", 0):
            port["targetPort"] = port.get("port", 0)
    if spec["type"] in ("NodePort", "LoadBalancer"):
        _set(spec, externalTrafficPolicy="Cluster")
    if spec["type"] == "LoadBalancer":
        spec.setdefault("allocateLoadBalancerNodePorts", True)
    if spec["type"] != "ExternalName":
        _set(spec, internalTrafficPolicy="Cluster")


def _endpoints(obj: Object) -> None:
    for subset in obj.get("subsets", []):
        for port in subset.get("ports", []):
            _set(port, protocol="TCP")


def _endpoint_slice(obj: Object) -> None:
    for port in obj.get("ports", []):
        _set(port, protocol="TCP")
        port.setdefault("name", "")


def _secret(obj: Object) -> None:
    _set(obj, type="Opaque")


def _autoscaler(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    spec.setdefault("minReplicas", 1)
    if not spec.get("metrics"):
        target = {"type": "Utilization", "averageUtilization": 80}
        spec["metrics"] = [{"type": "Resource", "resource": {"name": "cpu", "target": target}}]


def _namespace(obj: Object) -> None:
    labels = obj["metadata"].setdefault("labels", {})
    labels["kubernetes.io/metadata.name"] = obj["metadata"].get("name", "")


def _custom_resource_definition(obj: Object) -> None:
    spec: Object = obj.setdefault("spec", {})
    names: Object = spec.setdefault("names", {})
    kind = str(names.get("kind", ""))
    if kind:
        _set(names, singular=kind.lower(), listKind=f"{kind}List")
    _set(spec.setdefault("conversion", {}), strategy="None")


_DEFAULTS: Final[dict[str, Callable[[Object], None]]] = {
    "Pod": _pod,
    "Deployment": _deployment,
    "ReplicaSet": _replica_set,
    "Service": _service,
    "Endpoints": _endpoints,
    "EndpointSlice": _endpoint_slice,
    "Secret": _secret,
    "HorizontalPodAutoscaler": _autoscaler,
    "Namespace": _namespace,
    "CustomResourceDefinition": _custom_resource_definition,
}
