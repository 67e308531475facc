"""The plugins of volumes: what is in use is not taken away, claims get the default class, and only some may grow."""

from typing import Final

from midwatch_lab.admission.request import Contents, Request
from midwatch_lab.kinds.resources import INGRESS_CLASSES, INGRESSES, STORAGE_CLASSES, VOLUME_CLAIMS, VOLUMES
from midwatch_lab.objects import Object, annotations_of, dig, meta, name_of
from midwatch_lab.quantity import parse

CLAIM_PROTECTION: Final = "kubernetes.io/pvc-protection"
VOLUME_PROTECTION: Final = "kubernetes.io/pv-protection"
DEFAULT_CLASS: Final = "storageclass.kubernetes.io/is-default-class"
_OLD_DEFAULT_CLASS: Final = "storageclass.beta.kubernetes.io/is-default-class"
_OLD_CLASS: Final = "volume.beta.kubernetes.io/storage-class"
_DEFAULT_INGRESS_CLASS: Final = "ingressclass.kubernetes.io/is-default-class"
_OLD_INGRESS_CLASS: Final = "kubernetes.io/ingress.class"
_PROTECTIONS: Final = {VOLUME_CLAIMS: CLAIM_PROTECTION, VOLUMES: VOLUME_PROTECTION}


def protect(request: Request, contents: Contents) -> None:  # noqa: ARG001 (a plugin)
    """Give a new claim or volume the finalizer that keeps it while it is used (in place)."""
    finalizer = _PROTECTIONS.get(request.resource)
    if finalizer is None or not request.creates:
        return
    present: list[str] = meta(request.obj).get("finalizers", [])
    if finalizer not in present:
        request.obj["metadata"]["finalizers"] = [*present, finalizer]


def default_class(contents: Contents) -> Object | None:
    """Return the StorageClass of claims that name none: of several, the youngest."""
    marks = (DEFAULT_CLASS, _OLD_DEFAULT_CLASS)
    found = [
        one for one in contents.items(STORAGE_CLASSES.key) if any(annotations_of(one).get(m) == "true" for m in marks)
    ]
    found.sort(key=name_of)
    return max(found, key=lambda one: str(meta(one).get("creationTimestamp", "")), default=None)


def give_class(request: Request, contents: Contents) -> None:
    """Give a new claim that names no class the default one (in place)."""
    spec: Object = request.obj.get("spec", {})
    if request.resource is not VOLUME_CLAIMS or not request.creates or spec.get("storageClassName") is not None:
        return
    usual = default_class(contents)
    if usual is not None and _OLD_CLASS not in annotations_of(request.obj):
        spec["storageClassName"] = name_of(usual)


def check_growth(request: Request, contents: Contents) -> None:
    """Refuse a claim that grows without a class that allows it.

    Raises:
        ApiError: 403.
    """
    if request.resource is not VOLUME_CLAIMS or request.old is None or request.subresource:
        return
    size, before = (
        dig(one, "spec", "resources", "requests", "storage", default="0") for one in (request.obj, request.old)
    )
    if parse(size) <= parse(before):
        return
    if dig(request.old, "status", "phase") != "Bound":
        raise request.refuse("Only bound persistent volume claims can be expanded")
    name = str(dig(request.obj, "spec", "storageClassName", default=""))
    found = contents.get(STORAGE_CLASSES.key, "", name)
    if found is None or not found.get("allowVolumeExpansion"):
        raise request.refuse(
            "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support "
            "resize"
        )


def give_ingress_class(request: Request, contents: Contents) -> None:
    """Give a new Ingress that names no class the default one (in place).

    Raises:
        ApiError: 403 where there are several defaults.
    """
    spec: Object = request.obj.get("spec", {})
    if request.resource is not INGRESSES or not request.creates or spec.get("ingressClassName") is not None:
        return
    if _OLD_INGRESS_CLASS in annotations_of(request.obj):
        return
    found = [
        one for one in contents.items(INGRESS_CLASSES.key) if annotations_of(one).get(_DEFAULT_INGRESS_CLASS) == "true"
    ]
    if found:
        found.sort(key=name_of)
        usual = max(found, key=lambda one: str(meta(one).get("creationTimestamp", "")))
        request.obj.setdefault("spec", {})["ingressClassName"] = name_of(usual)
