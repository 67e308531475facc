"""Whether an applied configuration has the types of its schema, in the words of structured-merge-diff.

The original finds out before it validates, and answers without a reason, as for a fault of its own.
"""

from typing import Any, Final, cast

from midwatch_lab.custom.typed import DEDUCED
from midwatch_lab.objects import Object
from midwatch_lab.schemas.schema import INT_OR_STRING, QUANTITY, Schema, Schemas
from midwatch_lab.status import go_json, go_map

_FREE: Final = frozenset({DEDUCED, INT_OR_STRING, QUANTITY})


def fault(schemas: Schemas, definition: str, obj: Object, *, metadata: bool) -> str | None:
    """Return what does not fit, with the path of the place; None where all does. `metadata` is looked at if asked."""
    rest = {key: value for key, value in obj.items() if metadata or key != "metadata"}
    return _fault(schemas, {"$ref": definition}, rest, "")


def _fault(schemas: Schemas, schema: Schema, value: Any, path: str) -> str | None:  # noqa: PLR0911 (one case a type)
    if value is None or schema.get("$ref") in _FREE:
        return None
    resolved = schemas.resolve(schema)
    match resolved.get("type"):
        case "object":
            return _object(schemas, resolved, value, path)
        case "array":
            return _list(schemas, resolved, value, path)
        case "integer" | "number":
            if isinstance(value, bool) or not isinstance(value, int | float):
                return f"{path}: expected numeric (int or float), got {_go_type(value)}"
        case "string":
            if not isinstance(value, str):
                return f"{path}: expected string, got &value.valueUnstructured{{Value:{_go_syntax(value)}}}"
        case "boolean":
            if not isinstance(value, bool):
                return f"{path}: expected boolean, got &{{{go_map(value)}}}"
        case _:
            pass
    return None


def _object(schemas: Schemas, schema: Schema, value: Any, path: str) -> str | None:
    if not isinstance(value, dict):
        return f"{path}: expected map, got &{{{go_map(value)}}}"
    known = "properties" in schema or "additionalProperties" in schema
    for key, item in cast("Object", value).items():
        inner = schemas.child(schema, key)
        where = f"{path}.{key}"
        if inner is None and known:
            return f"{where}: field not declared in schema"
        found = None if inner is None else _fault(schemas, inner, item, where)
        if found is not None:
            return found
    return None


def _list(schemas: Schemas, schema: Schema, value: Any, path: str) -> str | None:
    if not isinstance(value, list):
        return f"{path}: expected list, got &{{{go_map(value)}}}"
    found = cast("list[Any]", value)
    items: Schema = schema.get("items", {})
    kind = schema.get("x-kubernetes-list-type")
    seen: list[str] = []
    for index, item in enumerate(found):
        key = _key(schemas, schema, items, item) if kind in ("map", "set") else str(index)
        if key is None:
            names = go_json(schema["x-kubernetes-list-map-keys"]).replace(",", " ")
            return (
                f"{path}: element {index}: associative list with keys has an element that omits all key fields {names} "
                "(and doesn't have default values for any key fields)"
            )
        if key in seen:
            return f"{path}: duplicate entries for key [{key}]"
        seen.append(key)
        inner = _fault(schemas, items, item, f"{path}[{key}]")
        if inner is not None:
            return inner
    return None


def _key(schemas: Schemas, schema: Schema, items: Schema, item: Any) -> str | None:
    if schema["x-kubernetes-list-type"] == "set" or not isinstance(item, dict):
        return f"={go_json(item)}"
    fields = cast("Object", item)
    properties: dict[str, Schema] = schemas.resolve(items).get("properties", {})
    values = {
        key: fields.get(key, properties.get(key, {}).get("default")) for key in schema["x-kubernetes-list-map-keys"]
    }
    given = {key: value for key, value in values.items() if value is not None}
    return ",".join(f"{key}={go_json(given[key])}" for key in sorted(given)) or None


def _go_type(value: Any) -> str:
    match value:
        case bool():
            return "bool"
        case str():
            return "string"
        case list():
            return "[]interface {}"
        case _:
            return "map[string]interface {}"


def _go_syntax(value: Any) -> str:
    """Return a value as Go's `%#v` writes it."""
    match value:
        case dict():
            parts = sorted(cast("Object", value).items())
            return "map[string]interface {}{" + ", ".join(f"{go_json(k)}:{_go_syntax(v)}" for k, v in parts) + "}"
        case list():
            return "[]interface {}{" + ", ".join(map(_go_syntax, cast("list[Any]", value))) + "}"
        case None:
            return "interface {}(nil)"
        case _:
            return go_json(value)
