"""Defaults of a pod specification, as it stands in Pods and in every template of them."""

from typing import Any, Final

from midwatch_lab.objects import Object, dig

_GRACE: Final = 30


def filled(target: Object, **values: Any) -> None:
    """Set what is missing or empty (in place)."""
    for key, value in values.items():
        if target.get(key) in (None, ""):
            target[key] = value


def pod_spec(spec: Object) -> None:
    """Fill in a pod specification, as it stands in a template and in a Pod."""
    for container in [*spec.get("containers", []), *spec.get("initContainers", [])]:
        _container(container)
    for volume in spec.get("volumes", []):
        _volume(volume)
    filled(
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
    filled(
        container,
        imagePullPolicy=pull,
        terminationMessagePath="/dev/termination-log",
        terminationMessagePolicy="File",
    )
    for port in container.get("ports", []):
        filled(port, protocol="TCP")
    for name in ("readinessProbe", "livenessProbe", "startupProbe"):
        if name in container:
            _probe(container[name])
    for hook in dig(container, "lifecycle", default={}).values():
        if "httpGet" in hook:
            filled(hook["httpGet"], path="/", scheme="HTTP")
    for variable in container.get("env", []):
        field = dig(variable, "valueFrom", "fieldRef")
        if field is not None:
            filled(field, apiVersion="v1")


def _probe(probe: Object) -> None:
    for key, value in (("timeoutSeconds", 1), ("periodSeconds", 10), ("successThreshold", 1), ("failureThreshold", 3)):
        if not probe.get(key):
            probe[key] = value
    if "httpGet" in probe:
        filled(probe["httpGet"], path="/", scheme="HTTP")


def _volume(volume: Object) -> None:
    if set(volume) == {"name"}:
        volume["emptyDir"] = {}
    if "hostPath" in volume:
        volume["hostPath"].setdefault("type", "")
    for source, mode in (("configMap", 420), ("secret", 420), ("projected", 420), ("downwardAPI", 420)):
        if source in volume:
            volume[source].setdefault("defaultMode", mode)
