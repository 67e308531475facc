"""Who owns which field: `metadata.managedFields`, in the FieldsV1 form of the original (KEP-555).

A field set is a mapping from paths to the values there. A path is a tuple of FieldsV1 elements: `f:spec` a field,
`k:{"name":"engine"}` an element of a keyed list, `v:"a"` an element of a set; an atomic list or map is one field.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final, TypeAlias, cast

import orjson

from midwatch_contracts.times import rfc3339
from midwatch_lab.objects import Object, meta
from midwatch_lab.schemas.schema import INT_OR_STRING, QUANTITY, Schema, Schemas
from midwatch_lab.store.audit import Origin

Path: TypeAlias = tuple[str, ...]

_OWNERLESS: Final = frozenset({
    "name", "namespace", "uid", "resourceVersion", "creationTimestamp", "generation", "managedFields", "selfLink",
    "deletionTimestamp", "deletionGracePeriodSeconds",
})  # fmt: skip


def json_text(value: Any) -> str:
    """Return compact JSON with sorted keys, as path elements have it."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()


def field_set(schemas: Schemas, definition: str, obj: Object) -> dict[Path, Any]:
    """Return every field of an object that somebody can own."""
    found: dict[Path, Any] = {}
    bare = {key: value for key, value in obj.items() if key not in ("apiVersion", "kind", "metadata")}
    metadata = {key: value for key, value in meta(obj).items() if key not in _OWNERLESS}
    if metadata:
        bare["metadata"] = metadata
    _walk(schemas, {"$ref": definition}, bare, (), found)
    return found


def element_key(item: Object, keys: Iterable[str], schema: Schema) -> str:
    """Return the path element of an object in a keyed list; a key that is left out has its default."""
    properties: dict[str, Schema] = schema.get("properties", {})
    values = {key: item.get(key, properties.get(key, {}).get("default")) for key in keys}
    return "k:" + json_text({key: value for key, value in values.items() if value is not None})


def _walk(schemas: Schemas, schema: Schema | None, value: Any, path: Path, found: dict[Path, Any]) -> None:
    resolved = schemas.resolve(schema or {})
    granular = (schema or resolved).get("x-kubernetes-map-type", resolved.get("x-kubernetes-map-type")) != "atomic"
    if isinstance(value, dict) and value and granular and _is_open(schema, resolved):
        if path and "properties" not in resolved:
            found[path] = None
        for key, item in cast("Object", value).items():
            _walk(schemas, schemas.child(schema, key), item, (*path, f"f:{key}"), found)
    elif isinstance(value, list) and value and (schema or {}).get("x-kubernetes-list-type") in ("map", "set"):
        found[path] = None
        _walk_list(schemas, cast("Schema", schema), cast("list[Any]", value), path, found)
    elif path:
        found[path] = value


def _is_open(schema: Schema | None, resolved: Schema) -> bool:
    if (schema or {}).get("$ref") in (QUANTITY, INT_OR_STRING):
        return False
    return "properties" in resolved or "additionalProperties" in resolved


def _walk_list(schemas: Schemas, schema: Schema, value: list[Any], path: Path, found: dict[Path, Any]) -> None:
    items = schemas.items(schema)
    for item in value:
        if schema["x-kubernetes-list-type"] == "set" or not isinstance(item, dict):
            found[(*path, "v:" + json_text(item))] = item
            continue
        element = element_key(cast("Object", item), schema["x-kubernetes-list-map-keys"], schemas.resolve(items or {}))
        here = (*path, element)
        found[here] = None
        for key, inner in cast("Object", item).items():
            _walk(schemas, schemas.child(items, key), inner, (*here, f"f:{key}"), found)


def encode(paths: Iterable[Path]) -> Object:
    """Return paths as FieldsV1."""
    wanted = set(paths)
    root: Object = {}
    for path in sorted(wanted):
        node = root
        for step in path:
            node = node.setdefault(step, {})
    for path in wanted:
        node = root
        for step in path:
            node = node[step]
        if node:
            node["."] = {}
    return root


def decode(fields: Object) -> set[Path]:
    """Return the paths of a FieldsV1 object."""
    found: set[Path] = set()

    def walk(node: Object, path: Path) -> None:
        if path and (not node or "." in node):
            found.add(path)
        for step, inner in node.items():
            if step != ".":
                walk(inner, (*path, step))

    walk(fields, ())
    return found


def after_update(  # noqa: PLR0917 (a write, spelt out)
    entries: list[Object],
    old: Mapping[Path, Any],
    new: Mapping[Path, Any],
    origin: Origin,
    api_version: str,
    now: float,
) -> list[Object]:
    """Return the managedFields after a write that is no apply: whoever changes a field owns it alone."""
    missing = object()
    changed = {path for path, value in new.items() if old.get(path, missing) != value}
    removed = old.keys() - new.keys()
    result: list[Object] = []
    known = False
    for entry in entries:
        owned = decode(entry.get("fieldsV1", {}))
        if is_of(entry, origin, "Update"):
            known = True
            rest = (owned | changed) - removed
            fresh = new_entry(origin, "Update", api_version, now, rest)
        else:
            rest = owned - removed - changed
            fresh = {**entry, "fieldsV1": encode(rest)}
        if rest:
            result.append(entry if rest == owned else fresh)
    if changed and not known:
        result.append(new_entry(origin, "Update", api_version, now, changed))
    return result


def is_of(entry: Object, origin: Origin, operation: str) -> bool:
    """Tell whether a managedFields entry is that of the writer."""
    return (
        entry.get("manager") == origin.manager
        and entry.get("operation") == operation
        and entry.get("subresource", "") == origin.subresource
    )


def new_entry(origin: Origin, operation: str, api_version: str, now: float, paths: Iterable[Path]) -> Object:
    """Return a managedFields entry."""
    return {
        "manager": origin.manager,
        "operation": operation,
        "apiVersion": api_version,
        "time": rfc3339(now).partition(".")[0] + "Z",
        "fieldsType": "FieldsV1",
        "fieldsV1": encode(paths),
        **({"subresource": origin.subresource} if origin.subresource else {}),
    }
