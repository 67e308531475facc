"""Whether a schema is structural: every field has a type, and the logic of `allOf` and the like adds none.

k8s.io/apiextensions-apiserver, pkg/apiserver/schema/validation.go.
"""

from typing import Any, Final

from midwatch_lab.kinds.rules import Faults
from midwatch_lab.objects import Object, dig
from midwatch_lab.status import forbidden_field, invalid_value, required

_PRESERVE: Final = "x-kubernetes-preserve-unknown-fields"
_INT_OR_STRING: Final = "x-kubernetes-int-or-string"
_EMBEDDED: Final = "x-kubernetes-embedded-resource"
_LEVELS: Final = {
    "root": "must not be empty at the root",
    "item": "must not be empty for specified array items",
    "field": "must not be empty for specified object fields",
}
_NESTED: Final = (
    ("additionalProperties", "undefined"), ("default", "undefined"), ("description", "empty"), ("nullable", "false"),
    ("title", "empty"), ("type", "empty"), (_EMBEDDED, "false"), (_INT_OR_STRING, "false"),
    ("x-kubernetes-list-map-keys", "empty"), ("x-kubernetes-list-type", "undefined"),
    ("x-kubernetes-map-type", "undefined"), (_PRESERVE, "false"), ("x-kubernetes-validations", "empty"),
)  # fmt: skip
_INT_AND_STRING: Final = [{"type": "integer"}, {"type": "string"}]


def check(schema: Object, path: str, level: str = "root") -> Faults:
    """Yield what keeps a schema from being structural; `level` is root, field or item."""
    if isinstance(schema.get("items"), dict):
        yield from check(schema["items"], f"{path}.items", "item")
    for key, inner in schema.get("properties", {}).items():
        yield from check(inner, f"{path}.properties[{key}]", "field")
    if isinstance(schema.get("additionalProperties"), dict):
        yield from check(schema["additionalProperties"], f"{path}.additionalProperties", "field")
    if level == "root" and schema.get("nullable"):
        yield forbidden_field(f"{path}.nullable", "nullable cannot be true at the root")
    yield from _logic(schema, path, whole=True)
    yield from _embedded(schema, path)
    yield from _own_type(schema, path, level)
    if level == "root" or schema.get(_EMBEDDED):
        yield from _object_fields(schema, path)


def incomplete(schema: Object, path: str) -> Faults:
    """Yield the fields that the conditions of a root mention and that the root itself does not have."""
    for key in ("allOf", "anyOf", "oneOf"):
        for index, inner in enumerate(schema.get(key, ())):
            yield from _missing(inner, schema, f"{path}.{key}[{index}]", path)
    if isinstance(schema.get("not"), dict):
        yield from _missing(schema["not"], schema, f"{path}.not", path)


def _missing(condition: Object, schema: Object, where: str, path: str) -> Faults:
    if isinstance(condition.get("items"), dict):
        if isinstance(schema.get("items"), dict):
            yield from _missing(condition["items"], schema["items"], f"{where}.items", f"{path}.items")
        else:
            yield required(f"{path}.items", f"because it is defined in {where}.items")
    for key, inner in condition.get("properties", {}).items():
        step = f".properties[{key}]"
        if key in schema.get("properties", {}):
            yield from _missing(inner, schema["properties"][key], where + step, path + step)
        else:
            yield required(path + step, f"because it is defined in {where}{step}")
    for key in ("allOf", "anyOf", "oneOf"):
        for index, inner in enumerate(condition.get(key, ())):
            yield from _missing(inner, schema, f"{where}.{key}[{index}]", path)
    if isinstance(condition.get("not"), dict):
        yield from _missing(condition["not"], schema, f"{where}.not", path)


def _own_type(schema: Object, path: str, level: str) -> Faults:
    kind = schema.get("type", "")
    if schema.get(_EMBEDDED) and kind != "object":
        detail = f"must be object if {_EMBEDDED} is true"
        yield invalid_value(f"{path}.type", kind, detail) if kind else required(f"{path}.type", detail)
    elif not kind and not schema.get(_INT_OR_STRING) and not schema.get(_PRESERVE):
        yield required(f"{path}.type", _LEVELS[level])
    if level == "root" and kind and kind != "object":
        yield invalid_value(f"{path}.type", kind, "must be object at the root")
    if kind == "array" and schema.get("items") is None:
        yield required(f"{path}.items", "must be specified")


def _embedded(schema: Object, path: str) -> Faults:
    if not schema.get(_EMBEDDED):
        return
    if "additionalProperties" in schema:
        yield forbidden_field(f"{path}.additionalProperties", f"must not be used if {_EMBEDDED} is set")
    if not schema.get(_PRESERVE) and not schema.get("properties"):
        detail = f"must not be empty if {_EMBEDDED} is true without {_PRESERVE}"
        yield required(f"{path}.properties", detail)


def _object_fields(schema: Object, path: str) -> Faults:
    properties: dict[str, Object] = schema.get("properties", {})
    for key, kind in (("apiVersion", "string"), ("kind", "string"), ("metadata", "object")):
        if key in properties and properties[key].get("type", "") != kind:
            where = f"{path}.properties[{key}].type"
            yield invalid_value(where, properties[key].get("type", ""), f"must be {kind}")
    if "metadata" in properties and not _is_bare_metadata(properties["metadata"]):
        detail = "must not specify anything other than name and generateName, but metadata is implicitly specified"
        yield forbidden_field(f"{path}.properties[metadata]", detail)


def _is_bare_metadata(schema: Object) -> bool:
    other = set(schema) - {"type", "properties", "description", "title", "required", "default"}
    inside = set(dig(schema, "properties", default={})) - {"name", "generateName"}
    return schema.get("type") != "object" or not (other or inside)


def _logic(schema: Object, path: str, *, whole: bool = False) -> Faults:
    """Check the parts of a schema that only add conditions; `whole` says that its own type may stand beside them."""
    for key in ("allOf", "anyOf", "oneOf"):
        for index, inner in enumerate(schema.get(key, ())):
            if not (whole and schema.get(_INT_OR_STRING) and _is_int_or_string(schema, key, index)):
                yield from _condition(inner, f"{path}.{key}[{index}]")
    if isinstance(schema.get("not"), dict):
        yield from _condition(schema["not"], f"{path}.not")


def _is_int_or_string(schema: Object, key: str, index: int) -> bool:
    if key == "anyOf":
        return schema["anyOf"] == _INT_AND_STRING
    return key == "allOf" and index == 0 and schema["allOf"][0] == {"anyOf": _INT_AND_STRING}


def _condition(schema: Object, path: str) -> Faults:
    yield from _logic(schema, path)
    if isinstance(schema.get("items"), dict):
        yield from _condition(schema["items"], f"{path}.items")
    for key, inner in schema.get("properties", {}).items():
        yield from _condition(inner, f"{path}.properties[{key}]")
    for key, wanted in _NESTED:
        if _is_set(schema.get(key)):
            yield forbidden_field(f"{path}.{key}", f"must be {wanted} to be structural")
    if "metadata" in schema.get("properties", {}):
        yield forbidden_field(f"{path}.properties[metadata]", "must not be specified in a nested context")


def _is_set(value: Any) -> bool:
    return value is not None and value is not False and value not in ("", [])
