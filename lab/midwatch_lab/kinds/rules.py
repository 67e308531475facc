"""What a single field may hold: the checks that the validations of all kinds are made of."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeAlias

from midwatch_lab import names
from midwatch_lab.objects import Object, annotations_of, dig, meta
from midwatch_lab.status import FieldFault, Struct, duplicate, invalid_value, required, unsupported

Faults: TypeAlias = Iterator[FieldFault]

PORT_MAX: Final = 65535
_PERCENT_MAX: Final = 100
_ANNOTATIONS_MAX: Final = 256 * 1024
_STANDARD_FINALIZERS: Final = frozenset({"kubernetes", "orphan", "foregroundDeletion"})


def metadata(obj: Object, name_fault: Callable[[str], str | None], *, path: str = "metadata") -> Faults:
    """Check name, labels and annotations."""
    data = meta(obj)
    name, prefix = data.get("name", ""), data.get("generateName", "")
    if prefix and (fault := name_fault(prefix.rstrip("-") or prefix)):
        yield invalid_value(f"{path}.generateName", prefix, fault)
    if not name:
        yield required(f"{path}.name", "name or generateName is required")
    elif fault := name_fault(name):
        yield invalid_value(f"{path}.name", name, fault)
    yield from keys_and_values(obj, path=path)


def keys_and_values(obj: Object, *, path: str = "metadata") -> Faults:
    """Check labels, annotations, finalizers and owner references."""
    yield from labels(meta(obj).get("labels"), f"{path}.labels")
    annotations = annotations_of(obj)
    for key in annotations:
        for fault in names.label_key_faults(key.lower()):
            yield invalid_value(f"{path}.annotations", key, fault)
    size = sum(len(key.encode()) + len(value.encode()) for key, value in annotations.items())
    if size > _ANNOTATIONS_MAX:
        detail = f"Too long: may not be more than {_ANNOTATIONS_MAX} bytes"
        yield FieldFault(f"{path}.annotations", "FieldValueTooLong", detail)
    yield from _owners(meta(obj).get("ownerReferences", []), f"{path}.ownerReferences")
    for finalizer in meta(obj).get("finalizers", []):
        for fault in names.label_key_faults(finalizer):
            yield invalid_value(f"{path}.finalizers", finalizer, fault)


def _owners(owners: list[Object], path: str) -> Faults:
    for owner in owners:
        version = owner.get("apiVersion", "")
        if not version.rpartition("/")[2]:
            yield invalid_value(f"{path}.apiVersion", version, "version must not be empty")
        for key in ("kind", "name", "uid"):
            if not owner.get(key):
                yield invalid_value(f"{path}.{key}", owner.get(key, ""), "must not be empty")
    controllers = [owner for owner in owners if owner.get("controller")]
    if len(controllers) > 1:
        shown = ", ".join(f"{owner.get('kind', '')}/{owner.get('name', '')}" for owner in controllers[:2])
        first, second = shown.split(", ")
        detail = (
            f'Only one reference can have Controller set to true. Found "true" in references for {first} and {second}'
        )
        yield invalid_value(path, [_owner(owner) for owner in owners], detail)


def _owner(owner: Object) -> Struct:
    """Return a reference in the order of the original's structure."""
    keys = ("apiVersion", "kind", "name", "uid", "controller", "blockOwnerDeletion")
    return Struct(tuple((key, owner[key]) for key in keys if key in owner))


def standard_finalizers(obj: Object) -> Faults:
    """Check that each finalizer is qualified, or one of those that Kubernetes has itself."""
    for index, finalizer in enumerate(meta(obj).get("finalizers", [])):
        if "/" not in finalizer and finalizer not in _STANDARD_FINALIZERS:
            detail = "name is neither a standard finalizer name nor is it fully qualified"
            yield invalid_value(f"metadata.finalizers[{index}]", finalizer, detail)


def labels(found: Mapping[str, str] | None, path: str) -> Faults:
    """Check keys and values of labels."""
    for key, value in (found or {}).items():
        for fault in names.label_key_faults(key):
            yield invalid_value(path, key, fault)
        for fault in names.label_value_faults(value):
            yield invalid_value(path, value, fault)


def non_negative(obj: Object, key: str, path: str) -> Faults:
    """Check that a number, where given, is zero or more."""
    value = obj.get(key)
    if isinstance(value, int) and value < 0:
        yield invalid_value(f"{path}.{key}", value, "must be greater than or equal to 0")


def one_of(obj: Object, key: str, path: str, allowed: Sequence[str]) -> Faults:
    """Check that a word, where given, is one of a closed set."""
    value = obj.get(key)
    if value and value not in allowed:
        yield unsupported(f"{path}.{key}" if path else key, value, allowed)


def port_number(value: Any, path: str) -> Faults:
    """Check that a number is a TCP or UDP port."""
    if not isinstance(value, int) or not 1 <= value <= PORT_MAX:
        yield invalid_value(path, value, f"must be between 1 and {PORT_MAX}, inclusive")


def port_reference(value: Any, path: str) -> Faults:
    """Check a port given by number or by name."""
    if isinstance(value, str):
        for fault in names.port_name_faults(value):
            yield invalid_value(path, value, fault)
    else:
        yield from port_number(value, path)


def int_or_percent(obj: Object, key: str, path: str, *, at_most_100: bool = False) -> Faults:
    """Check a number that may also be a percentage, such as maxSurge."""
    value = obj.get(key)
    where = f"{path}.{key}"
    if isinstance(value, str):
        if not value.endswith("%") or not value[:-1].isdigit():
            detail = (
                "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', "
                "regex used for validation is '[0-9]+%')"
            )
            yield invalid_value(where, value, detail)
        elif at_most_100 and int(value[:-1]) > _PERCENT_MAX:
            yield invalid_value(where, value, "must not be greater than 100%")
    else:
        yield from non_negative(obj, key, path)


def label_selector(selector: Object, path: str) -> Faults:
    """Check matchLabels and matchExpressions."""
    yield from labels(selector.get("matchLabels"), f"{path}.matchLabels")
    for index, expression in enumerate(selector.get("matchExpressions", [])):
        where = f"{path}.matchExpressions[{index}]"
        operator, values = expression.get("operator"), expression.get("values")
        if operator in ("In", "NotIn"):
            if not values:
                yield required(f"{where}.values", "must be specified when `operator` is 'In' or 'NotIn'")
        elif operator in ("Exists", "DoesNotExist"):
            if values:
                detail = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
                yield FieldFault(f"{where}.values", "FieldValueForbidden", f"Forbidden: {detail}")
        else:
            yield invalid_value(f"{where}.operator", operator, "not a valid selector operator")
        if fault := names.label_key_fault(str(expression.get("key", ""))):
            yield invalid_value(f"{where}.key", expression.get("key"), fault)


def is_empty_selector(selector: Any) -> bool:
    """Tell whether a label selector selects everything."""
    return not dig(selector, "matchLabels") and not dig(selector, "matchExpressions")


def conditions(found: Sequence[Object], path: str) -> Faults:
    """Check conditions as all kinds have them (`metav1.Condition`)."""
    seen: set[str] = set()
    for index, item in enumerate(found):
        where, kind = f"{path}[{index}]", str(item.get("type", ""))
        if kind in seen:
            yield duplicate(f"{where}.type", kind)
        seen.add(kind)
        for fault in names.label_key_faults(kind):
            yield invalid_value(f"{where}.type", kind, fault)
        if item.get("status") not in ("True", "False", "Unknown"):
            yield unsupported(f"{where}.status", item.get("status", ""), ("False", "True", "Unknown"))
        yield from non_negative(item, "observedGeneration", where)
        if not item.get("lastTransitionTime"):
            yield required(f"{where}.lastTransitionTime", "must be set")
        if not item.get("reason"):
            yield required(f"{where}.reason")
