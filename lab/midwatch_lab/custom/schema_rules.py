"""What a schema may say in a CustomResourceDefinition: the parts of OpenAPI v3 that are allowed, list and map types.

The wording and the split from `structural_rules` are the original's (k8s.io/apiextensions-apiserver,
pkg/apis/apiextensions/validation), which reports both kinds of fault side by side.
"""

from collections.abc import Iterator
from typing import Final

from midwatch_lab.errors import PatternError
from midwatch_lab.expressions import compiled
from midwatch_lab.kinds.rules import Faults
from midwatch_lab.objects import Object
from midwatch_lab.status import forbidden_field, invalid_value, required, unsupported

_TYPES: Final = ("array", "boolean", "integer", "number", "object", "string")
_UNSUPPORTED: Final = ("$ref", "additionalItems", "definitions", "dependencies", "id", "patternProperties", "$schema")
_SCALAR_FAULT: Final = "must be a scalar type if parent array's x-kubernetes-list-type is map"


def check(schema: Object, path: str, *, root: bool = True, no_defaults: str = "") -> Faults:
    """Yield what a schema may not say; `no_defaults` says why none may be set here."""
    yield from _unsupported(schema, path, no_defaults)
    if schema.get("uniqueItems"):
        detail = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic"
        yield forbidden_field(f"{path}.uniqueItems", detail)
    if "additionalProperties" in schema and schema.get("properties"):
        yield forbidden_field(
            f"{path}.additionalProperties", "additionalProperties and properties are mutual exclusive"
        )
    for where, inner in parts(schema, path):
        is_meta = root and where == f"{path}.properties[metadata]"
        yield from check(inner, where, root=False, no_defaults="in top-level metadata" if is_meta else no_defaults)
    if schema.get("x-kubernetes-preserve-unknown-fields") is False:
        yield invalid_value(f"{path}.x-kubernetes-preserve-unknown-fields", False, "must be true or undefined")
    yield from _map_type(schema, path)
    yield from _list_type(schema, path)
    if schema.get("x-kubernetes-list-type") == "map":
        yield from _keyed(schema, path)
    if schema.get("type") and schema["type"] not in _TYPES:
        yield unsupported(f"{path}.type", schema["type"], _TYPES)
    if schema.get("pattern"):
        yield from _pattern(str(schema["pattern"]), path)


def parts(schema: Object, path: str) -> Iterator[tuple[str, Object]]:
    """Yield the schemas directly inside a schema, with their paths."""
    for key in ("items", "additionalProperties", "not"):
        if isinstance(schema.get(key), dict):
            yield f"{path}.{key}", schema[key]
    for key, inner in schema.get("properties", {}).items():
        yield f"{path}.properties[{key}]", inner
    for key in ("allOf", "oneOf", "anyOf"):
        for index, inner in enumerate(schema.get(key, ())):
            yield f"{path}.{key}[{index}]", inner


def _unsupported(schema: Object, path: str, no_defaults: str) -> Faults:
    if no_defaults and "default" in schema:
        yield forbidden_field(f"{path}.default", f"must not be set {no_defaults}")
    for key in _UNSUPPORTED:
        if key in schema:
            yield forbidden_field(f"{path}.{key}", f"{key} is not supported")
    if schema.get("type") == "null":
        yield forbidden_field(f"{path}.type", "type cannot be set to null, use nullable as an alternative")
    if isinstance(schema.get("items"), list):
        yield forbidden_field(f"{path}.items", "items must be a schema object and not an array")


def _map_type(schema: Object, path: str) -> Faults:
    kind = schema.get("x-kubernetes-map-type")
    if kind is None:
        return
    yield from _must_be(schema, path, "object", "x-kubernetes-map-type is specified")
    if kind not in ("atomic", "granular"):
        yield unsupported(f"{path}.x-kubernetes-map-type", kind, ("atomic", "granular"))


def _must_be(schema: Object, path: str, wanted: str, when: str) -> Faults:
    detail = f"must be {wanted} if {when}"
    if not schema.get("type"):
        yield required(f"{path}.type", detail)
    elif schema["type"] != wanted:
        yield invalid_value(f"{path}.type", schema["type"], detail)


def _list_type(schema: Object, path: str) -> Faults:
    kind, keys = schema.get("x-kubernetes-list-type"), schema.get("x-kubernetes-list-map-keys")
    where = f"{path}.x-kubernetes-list-type"
    if kind is not None:
        yield from _must_be(schema, path, "array", "x-kubernetes-list-type is specified")
        if kind not in ("atomic", "set", "map"):
            yield unsupported(where, kind, ("atomic", "set", "map"))
        if kind == "set" and isinstance(schema.get("items"), dict):
            yield from _set_items(schema["items"], f"{path}.items")
    if keys and kind != "map":
        detail = "must be map if x-kubernetes-list-map-keys is non-empty"
        yield required(where, detail) if kind is None else invalid_value(where, kind, detail)


def _set_items(items: Object, path: str) -> Faults:
    detail = "must be atomic as item of a list with x-kubernetes-list-type=set"
    if items.get("nullable"):
        yield forbidden_field(f"{path}.nullable", "cannot be nullable when x-kubernetes-list-type is set")
    if items.get("type") == "object" and items.get("x-kubernetes-map-type") != "atomic":
        yield invalid_value(f"{path}.x-kubernetes-map-type", items.get("x-kubernetes-map-type"), detail)
    if items.get("type") == "array" and items.get("x-kubernetes-list-type") not in (None, "atomic"):
        yield invalid_value(f"{path}.x-kubernetes-list-type", items.get("x-kubernetes-list-type"), detail)


def _keyed(schema: Object, path: str) -> Faults:
    keys: list[str] = schema.get("x-kubernetes-list-map-keys", [])
    where = f"{path}.x-kubernetes-list-map-keys"
    if not keys:
        yield required(where, "must not be empty if x-kubernetes-list-type is map")
    if not isinstance(schema.get("items"), dict):
        if schema.get("items") is None:
            yield required(f"{path}.items", "must have a schema if x-kubernetes-list-type is map")
        return
    items: Object = schema["items"]
    if items.get("type") != "object":
        detail = "must be object if parent array's x-kubernetes-list-type is map"
        yield invalid_value(f"{path}.items.type", items.get("type", ""), detail)
        return
    yield from _key_fields(items, keys, path, where)


def _key_fields(items: Object, keys: list[str], path: str, where: str) -> Faults:
    properties: dict[str, Object] = items.get("properties", {})
    for key in keys:
        if key not in properties:
            yield invalid_value(where, keys, "entries must all be names of item properties")
        elif properties[key].get("type") in ("array", "object"):
            yield invalid_value(f"{path}.items.properties[{key}].type", properties[key]["type"], _SCALAR_FAULT)
    if len(set(keys)) < len(keys):
        yield invalid_value(where, keys, "must not contain duplicate entries")
    for key in dict.fromkeys(keys):
        field: Object = properties.get(key, {})
        place = f"{path}.items.properties[{key}]"
        inside = "this property is in x-kubernetes-list-map-keys, so it"
        if field.get("nullable"):
            yield forbidden_field(f"{place}.nullable", f"{inside} cannot be nullable")
        if key in properties and "default" not in field and key not in items.get("required", ()):
            yield required(f"{place}.default", f"{inside} must have a default or be a required property")


def _pattern(text: str, path: str) -> Faults:
    try:
        compiled(text)
    except PatternError as error:
        yield invalid_value(f"{path}.pattern", text, f"must be a valid regular expression, but isn't: {error}")
