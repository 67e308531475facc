"""What the original's admission plugins and strategies give an object once its owner's fields are known.

Nobody owns these fields: managedFields are worked out before.
"""

from collections.abc import Callable
from typing import Final

from midwatch_lab.kinds.defaults import quality_of_service
from midwatch_lab.objects import Object

SERVICE_ACCOUNT: Final = "ServiceAccount"
"""The plugin that gives a pod its account."""


def admit(kind: str, obj: Object, disabled: frozenset[str] = frozenset()) -> None:
    """Fill in what the server decides for the kind (in place); `disabled` names plugins that are off."""
    if kind == "Pod" and SERVICE_ACCOUNT not in disabled:
        spec: Object = obj["spec"]
        spec["serviceAccountName"] = spec.get("serviceAccountName") or "default"
        spec["serviceAccount"] = spec["serviceAccountName"]
    fill = _ADMISSION.get(kind)
    if fill is not None:
        fill(obj)


def _pod(obj: Object) -> None:
    """Add what every pod gets (but for the token volume, which nothing here reads)."""
    spec: Object = obj["spec"]
    tolerations: list[Object] = spec.setdefault("tolerations", [])
    for key in ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"):
        if not any(_tolerates(item, key) for item in tolerations):
            tolerations.append({"effect": "NoExecute", "key": key, "operator": "Exists", "tolerationSeconds": 300})
    status = obj.setdefault("status", {})
    status.setdefault("phase", "Pending")
    status["qosClass"] = quality_of_service(spec)


def _tolerates(toleration: Object, key: str) -> bool:
    """Tell whether a toleration stands for a taint that evicts, by name or as one for any key or effect."""
    return toleration.get("key", "") in ("", key) and toleration.get("effect", "") in ("", "NoExecute")


def _service(obj: Object) -> None:
    spec: Object = obj["spec"]
    if spec.get("type") != "ExternalName":
        spec["ipFamilyPolicy"] = spec.get("ipFamilyPolicy") or "SingleStack"
        spec.setdefault("ipFamilies", ["IPv4"])


def _namespace(obj: Object) -> None:
    obj.setdefault("spec", {}).setdefault("finalizers", ["kubernetes"])
    obj.setdefault("status", {}).setdefault("phase", "Active")


def _claim(obj: Object) -> None:
    """Say where a claim's data comes from in both places, and that it is not bound yet."""
    obj.setdefault("status", {}).setdefault("phase", "Pending")
    spec: Object = obj.get("spec", {})
    source, reference = spec.get("dataSource"), spec.get("dataSourceRef")
    if source is not None and (source.get("kind"), source.get("apiGroup")) not in _DATA_SOURCES:
        source = None
        del spec["dataSource"]
    if source is not None and reference is None:
        spec["dataSourceRef"] = dict(source)
    elif reference is not None and source is None and not reference.get("namespace"):
        spec["dataSource"] = dict(reference)


def _volume(obj: Object) -> None:
    status: Object = obj.setdefault("status", {})
    if not status.get("phase"):
        status.update(phase="Pending", lastPhaseTransitionTime=obj["metadata"]["creationTimestamp"])


_DATA_SOURCES: Final = (
    ("PersistentVolumeClaim", None), ("PersistentVolumeClaim", ""), ("VolumeSnapshot", "snapshot.storage.k8s.io"),
)  # fmt: skip
_ADMISSION: Final[dict[str, Callable[[Object], None]]] = {
    "Pod": _pod,
    "Service": _service,
    "Namespace": _namespace,
    "PersistentVolumeClaim": _claim,
    "PersistentVolume": _volume,
}
