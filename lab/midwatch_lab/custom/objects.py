"""A custom resource before it is stored: by its metadata, its schema, the objects embedded in it and its rules."""

from dataclasses import replace
from typing import Any, Final, cast

from midwatch_lab import names
from midwatch_lab.custom import cel_rules, values
from midwatch_lab.custom.resource import CustomResource
from midwatch_lab.custom.structure import simple_path
from midwatch_lab.kinds import rules
from midwatch_lab.kinds.rules import Faults
from midwatch_lab.objects import Object, dig, meta
from midwatch_lab.status import FieldFault, go_json, invalid, invalid_value, required

_BLOCKING: Final = frozenset({
    "FieldValueNotSupported", "FieldValueRequired", "FieldValueTooLong", "FieldValueTooMany", "FieldValueTypeInvalid",
})  # fmt: skip
_FINALIZERS: Final = ("foregroundDeletion", "orphan")
_GROUP_VERSION_PARTS: Final = 2


def check_type(resource: CustomResource, obj: Object) -> None:
    """Refuse an object that says it is of another kind or version.

    Raises:
        ApiError: 422.
    """
    kind, version = str(obj.get("kind", resource.kind)), str(obj.get("apiVersion", resource.api_version))
    faults: list[FieldFault] = []
    if kind != resource.kind:
        faults.append(invalid_value("kind", kind, f"must be {resource.kind}"))
    if version != resource.api_version:
        faults.append(invalid_value("apiVersion", version, f"must be {resource.api_version}"))
    if faults:
        raise invalid(kind, version.rpartition("/")[0], str(dig(obj, "metadata", "name", default="")), faults)


def warnings(resource: CustomResource, obj: Object, old: Object | None = None) -> tuple[str, ...]:
    """Return what a writer is told of: finalizers that the object gets, rules that it broke before and still does."""
    known: list[str] = [*_FINALIZERS, *meta(old or {}).get("finalizers", [])]
    why = "prefer a domain-qualified finalizer name to avoid accidental conflicts with other finalizer writers"
    lasting: Faults = iter(())
    if old is not None and resource.has_rules:
        lasting = cel_rules.evaluate(resource.structure, obj)
    return (*_finalizer_warnings(obj, known, why), *(fault.text for fault in lasting))


def _finalizer_warnings(obj: Object, known: list[str], why: str) -> tuple[str, ...]:
    return tuple(
        f"metadata.finalizers: {go_json(name)}: {why}"
        for name in meta(obj).get("finalizers", [])
        if "/" not in name and name not in known
    )


def check(resource: CustomResource, obj: Object, old: Object | None, subresource: str) -> Faults:
    """Yield what is wrong with a custom resource; with `old`, what was wrong before and is unchanged may stay."""
    yield from rules.metadata(obj, names.dns_subdomain_fault)
    found = list(_status(resource, obj, old) if subresource == "status" else _structure(resource, obj, old))
    yield from found
    if not resource.has_rules:
        return
    if any(fault.reason in _BLOCKING for fault in found):
        detail = (
            "some validation rules were not checked because the object was invalid; correct the existing errors to "
            "complete validation"
        )
        yield FieldFault("<nil>", "FieldValueInvalid", f"Invalid value: null: {detail}")
    else:
        yield from cel_rules.evaluate(resource.structure, obj, values.ABSENT if old is None else old)


def _status(resource: CustomResource, obj: Object, old: Object | None) -> Faults:
    """Check the status alone, whose messages name fields from there."""
    schema: Object = dig(resource.structure, "properties", "status", default={})
    before = (old or {}).get("status", values.ABSENT)
    for fault in values.validate(obj.get("status", {}), schema, "", before):
        yield fault if fault.field == "<nil>" else replace(fault, field=f"status.{fault.field}".rstrip("."))
    yield from values.list_types(obj, resource.structure, "")


def _structure(resource: CustomResource, obj: Object, old: Object | None) -> Faults:
    before = values.ABSENT if old is None else old
    yield from values.validate(obj, resource.structure, "", before)
    if resource.scale is not None:
        yield from _scale(resource.scale, obj)
    yield from _embedded(obj, resource.structure, "", root=True)
    yield from values.list_types(obj, resource.structure, "")


def _scale(scale: Object, obj: Object) -> Faults:
    for key, what in (("specReplicasPath", "spec"), ("statusReplicasPath", "status")):
        path = str(scale[key])
        replicas = dig(obj, *simple_path(path))
        if replicas is None:
            continue
        if isinstance(replicas, bool) or not isinstance(replicas, int):
            yield invalid_value(path, replicas, f"{what}.replicas must be an integer")
        elif replicas < 0:
            yield invalid_value(path, replicas, "should be a non-negative integer")
        elif replicas > 2**31 - 1:
            yield invalid_value(path, replicas, f"should be less than or equal to {2**31 - 1}")


def _embedded(value: Any, schema: Object, path: str, *, root: bool = False) -> Faults:
    """Check the objects embedded in the object."""
    if isinstance(value, list):
        if isinstance(schema.get("items"), dict):
            for index, item in enumerate(cast("list[Any]", value)):
                yield from _embedded(item, schema["items"], f"{path}[{index}]")
        return
    if not isinstance(value, dict):
        return
    fields = cast("Object", value)
    if schema.get("x-kubernetes-embedded-resource") and not root:
        yield from _embedded_object(fields, path)
    properties: dict[str, Object] = schema.get("properties", {})
    extra = schema.get("additionalProperties")
    for key, item in fields.items():
        inner = properties.get(key, cast("Object", extra) if isinstance(extra, dict) else None)
        if inner is not None:
            yield from _embedded(item, inner, f"{path}.{key}" if path else key)


def _embedded_object(fields: Object, path: str) -> Faults:
    version, kind = fields.get("apiVersion"), fields.get("kind")
    if not version:
        yield required(f"{path}.apiVersion")
    elif version.count("/") >= _GROUP_VERSION_PARTS:
        yield invalid_value(f"{path}.apiVersion", version, f"unexpected GroupVersion string: {version}")
    if not kind:
        yield required(f"{path}.kind")
    elif fault := names.kind_fault(kind):
        yield invalid_value(f"{path}.kind", kind, fault)
    named = {"metadata": {**meta(fields), "name": "x"}}
    yield from rules.metadata(named, names.dns_subdomain_fault, path=f"{path}.metadata")
