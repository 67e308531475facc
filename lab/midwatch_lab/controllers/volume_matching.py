"""Which volume fits a claim: by class, mode, access, labels and size; of several, the smallest."""

from collections.abc import Iterable

from midwatch_lab.objects import Object, dig, is_terminating, labels_of, name_of, namespace_of, uid_of
from midwatch_lab.quantity import parse
from midwatch_lab.selectors import LabelSelector


def is_of(volume: Object, claim: Object) -> bool:
    """Tell whether a volume may be the claim's: it is nobody's, kept for one of that name, or bound to it."""
    reference: Object | None = dig(volume, "spec", "claimRef")
    if reference is None:
        return True
    same = (reference.get("namespace"), reference.get("name")) == (namespace_of(claim), name_of(claim))
    return same and reference.get("uid") in (None, "", uid_of(claim))


def best_volume(claim: Object, volumes: Iterable[Object]) -> Object | None:
    """Return the volume that fits best: one that is kept for the claim, else the smallest."""
    fitting = [volume for volume in volumes if _fits(volume, claim)]
    return min(fitting, key=lambda v: (dig(v, "spec", "claimRef") is None, _size(v), name_of(v)), default=None)


def _size(volume: Object) -> float:
    return float(parse(dig(volume, "spec", "capacity", "storage", default="0")))


def _fits(volume: Object, claim: Object) -> bool:
    spec, wanted = volume["spec"], claim["spec"]
    kept = dig(spec, "claimRef") is not None
    if is_terminating(volume) or not is_of(volume, claim):
        return False
    if not kept and dig(volume, "status", "phase") not in (None, "Pending", "Available"):
        return False
    return (
        (spec.get("storageClassName") or "") == (wanted.get("storageClassName") or "")
        and spec.get("volumeMode", "Filesystem") == wanted.get("volumeMode", "Filesystem")
        and set(wanted.get("accessModes", [])) <= set(spec.get("accessModes", []))
        and LabelSelector.of(wanted.get("selector")).matches(labels_of(volume))
        and _size(volume) >= float(parse(dig(wanted, "resources", "requests", "storage", default="0")))
    )
