"""Rules of access reviews: they say what is wanted, and of whom, in one of two forms."""

from typing import Final

from midwatch_lab import names
from midwatch_lab.kinds.rules import Faults
from midwatch_lab.objects import Object, dig, meta, without
from midwatch_lab.status import FieldFault, go_json, invalid_value, required

_RESOURCE: Final = "spec.resourceAttributes"
_PATH: Final = "spec.nonResourceAttributes"
_META: Final = (
    "name", "generateName", "namespace", "selfLink", "uid", "resourceVersion", "generation", "creationTimestamp",
    "deletionTimestamp", "deletionGracePeriodSeconds", "labels", "annotations", "ownerReferences", "finalizers",
    "managedFields",
)  # fmt: skip
"""In the order in which the original prints metadata."""
_ENTRY: Final = ("manager", "operation", "apiVersion", "time", "fieldsType", "fieldsV1", "subresource")


def access(review: Object, *, is_self: bool, home: str) -> Faults:
    """Check an access review; `home` is the namespace of one that is local, else empty."""
    spec: Object = review.get("spec", {})
    allowed = ("managedFields", "namespace") if home else ("managedFields",)
    faults = list(_spec(spec, is_self=is_self))
    if without(meta(review), allowed):
        detail = "must be empty except for namespace" if home else "must be empty"
        faults.append(FieldFault("metadata", "FieldValueInvalid", f"Invalid value: {_metadata(review)}: {detail}"))
    if home:
        faults += _local(spec, home)
    yield from faults


def _spec(spec: Object, *, is_self: bool) -> Faults:
    asked, path = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    if asked is not None and path is not None:
        yield invalid_value(_PATH, _shown(path), "cannot be specified in combination with resourceAttributes")
    if asked is None and path is None:
        detail = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
        yield invalid_value(_RESOURCE, None, detail)
    if not is_self and not spec.get("user") and not spec.get("groups"):
        yield invalid_value("spec.user", "", "at least one of user or group must be specified")
    for name in ("fieldSelector", "labelSelector"):
        selector = dig(asked, name)
        if selector is not None:
            yield from _selector(selector, f"{_RESOURCE}.{name}", is_label=name == "labelSelector")


def _local(spec: Object, home: str) -> Faults:
    asked, path = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    if asked is not None and asked.get("namespace", "") != home:
        yield invalid_value(f"{_RESOURCE}.namespace", asked.get("namespace", ""), "must match metadata.namespace")
    if path is not None:
        yield invalid_value(_PATH, _shown(path), "disallowed on this kind of request")


def _selector(selector: Object, path: str, *, is_label: bool) -> Faults:
    raw, found = selector.get("rawSelector", ""), selector.get("requirements", [])
    if raw and found:
        yield invalid_value(f"{path}.rawSelector", raw, "may not specified at the same time as requirements")
    if not raw and not found:
        detail = f"when {path} is specified, requirements or rawSelector is required"
        yield required(f"{path}.requirements", detail)
    for index, requirement in enumerate(found):
        where = f"{path}.requirements[{index}]"
        key = str(requirement.get("key", ""))
        if not is_label and not key:
            yield required(f"{where}.key", "must be specified")
        yield from _requirement(requirement, where)
        for fault in names.label_key_faults(key) if is_label else ():
            yield invalid_value(f"{where}.key", key, fault)


def _requirement(requirement: Object, path: str) -> Faults:
    operator, values = requirement.get("operator", ""), requirement.get("values")
    if operator in ("In", "NotIn") and not values:
        yield required(f"{path}.values", "must be specified when `operator` is 'In' or 'NotIn'")
    if operator in ("Exists", "DoesNotExist") and values:
        detail = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
        yield FieldFault(f"{path}.values", "FieldValueForbidden", f"Forbidden: {detail}")


def _shown(path: Object) -> Object:
    """Return non-resource attributes under the names of the original's structure."""
    return {"Path": path.get("path", ""), "Verb": path.get("verb", "")}


def _metadata(review: Object) -> str:
    """Return metadata as the original prints it: JSON in the order of its structure."""
    metadata = meta(review)
    entries = [_ordered(entry, _ENTRY) for entry in metadata.get("managedFields", [])]
    parts = [f'"{key}":{go_json(metadata[key])}' for key in _META if key in metadata and key != "managedFields"]
    return "{" + ",".join([*parts, *([f'"managedFields":[{",".join(entries)}]'] if entries else [])]) + "}"


def _ordered(obj: Object, keys: tuple[str, ...]) -> str:
    return "{" + ",".join(f'"{key}":{go_json(obj[key])}' for key in keys if key in obj) + "}"
