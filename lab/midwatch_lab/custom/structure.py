"""What a structural schema does to an object before it is validated: defaults, and the loss of unknown fields.

The order is that of the original's decoder: defaults and nulls, then metadata, then unknown fields
(k8s.io/apiextensions-apiserver, pkg/apiserver/schema/{defaulting,pruning,objectmeta}).
"""

import copy
import re
from collections.abc import Callable, Iterator
from typing import Any, Final, TypeAlias, cast

from midwatch_lab.errors import DecodeError
from midwatch_lab.objects import Object
from midwatch_lab.status import go_json

CoerceMeta: TypeAlias = Callable[[Any], tuple[Object, list[str]]]
"""Decodes an ObjectMeta; returns it with the unknown fields it had, or raises DecodeError."""

_META: Final = ("apiVersion", "kind", "metadata")
_DEPTH: Final = 150
"""How deep an object may nest: less than a Python stack holds beneath a server, far more than anybody writes."""
_INT64: Final = range(-(2**63), 2**63)


def decode(
    structure: Object, obj: Object, coerce_meta: CoerceMeta, *, drop_nulls: bool = True
) -> tuple[Object, list[str]]:
    """Return a copy of an object with defaults and without unknown fields, and the paths of those.

    Raises:
        DecodeError: when metadata, or apiVersion or kind of an embedded object, has a wrong type.
    """
    if _is_deeper(obj, _DEPTH):
        raise DecodeError("json: exceeded max depth")
    value = cast("Object", numbers(obj))
    apply_defaults(value, structure, drop_nulls=drop_nulls)
    unknown = sorted([*_coerced(value, structure, "", coerce_meta, root=True), *prune(value, structure)])
    return value, unknown


def _is_deeper(value: Any, depth: int) -> bool:
    level = [value]
    for _ in range(depth):
        inner: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                inner.extend(cast("Object", item).values())
            elif isinstance(item, list):
                inner.extend(cast("list[Any]", item))
        if not inner:
            return False
        level = inner
    return True


def numbers(value: Any) -> Any:
    """Return a deep copy with numbers as the original holds them: whole ones as int64, all others as doubles."""
    match value:
        case dict():
            return {key: numbers(item) for key, item in cast("Object", value).items()}
        case list():
            return [numbers(item) for item in cast("list[Any]", value)]
        case float() if value.is_integer() and int(value) in _INT64:
            return int(value)
        case bool():
            return value
        case int() if value not in _INT64:
            return float(value)
        case _:
            return value


def extra_schema(schema: Object) -> Object | None:
    """Return the schema of values under unnamed keys: an empty one where only `true` allows them, else None."""
    extra = schema.get("additionalProperties")
    if isinstance(extra, dict):
        return cast("Object", extra)
    return None if extra is None else {}


def apply_defaults(value: Any, schema: Object, *, drop_nulls: bool = True) -> None:
    """Fill in defaults, also for nulls that may not be, and drop such nulls where there is none (in place)."""
    if isinstance(value, dict):
        _default_object(cast("Object", value), schema, drop_nulls=drop_nulls)
    elif isinstance(value, list) and isinstance(schema.get("items"), dict):
        items: Object = schema["items"]
        found = cast("list[Any]", value)
        for index, item in enumerate(found):
            if item is None and not items.get("nullable") and "default" in items:
                found[index] = copy.deepcopy(items["default"])
            apply_defaults(found[index], items, drop_nulls=drop_nulls)


def _default_object(value: Object, schema: Object, *, drop_nulls: bool) -> None:
    properties: dict[str, Object] = schema.get("properties", {})
    for key, inner in properties.items():
        if "default" in inner and (key not in value or (value[key] is None and not inner.get("nullable"))):
            value[key] = copy.deepcopy(inner["default"])
    extra = schema.get("additionalProperties")
    for key in list(value):
        inner = properties.get(key, cast("Object", extra) if isinstance(extra, dict) else None)
        if inner is None:
            continue
        if value[key] is None and not inner.get("nullable"):
            if "default" not in inner:
                if drop_nulls:
                    del value[key]
                continue
            value[key] = copy.deepcopy(inner["default"])
        apply_defaults(value[key], inner, drop_nulls=drop_nulls)


def _coerced(value: Any, schema: Object, path: str, coerce_meta: CoerceMeta, *, root: bool = False) -> Iterator[str]:
    """Decode the metadata of the object and of those embedded in it (in place); yields unknown fields."""
    if isinstance(value, list):
        if isinstance(schema.get("items"), dict):
            for index, item in enumerate(cast("list[Any]", value)):
                yield from _coerced(item, schema["items"], f"{path}[{index}]", coerce_meta)
        return
    if not isinstance(value, dict):
        return
    fields = cast("Object", value)
    if root or schema.get("x-kubernetes-embedded-resource"):
        yield from _coerced_meta(fields, path, coerce_meta, root=root)
    properties: dict[str, Object] = schema.get("properties", {})
    extra = schema.get("additionalProperties")
    for key, item in fields.items():
        inner = properties.get(key, cast("Object", extra) if isinstance(extra, dict) else None)
        if inner is not None and not (root and key in _META):
            yield from _coerced(item, inner, f"{path}.{key}" if path else key, coerce_meta)


def _coerced_meta(fields: Object, path: str, coerce_meta: CoerceMeta, *, root: bool) -> Iterator[str]:
    where = f"{path}." if path else ""
    if not root:
        for key in ("apiVersion", "kind"):
            if key in fields and not isinstance(fields[key], str):
                raise DecodeError(f"{where}{key}: Invalid value: {go_json(fields[key])}: must be a string")
    if "metadata" not in fields:
        return
    try:
        found, unknown = coerce_meta(fields["metadata"])
    except DecodeError as error:
        if root:
            raise
        raise DecodeError(f"{where}metadata: Invalid value: {go_json(fields['metadata'])}: {error}") from error
    fields["metadata"] = found
    yield from (f"{where}metadata.{name}" for name in unknown)


def prune(value: Any, schema: Object) -> list[str]:
    """Drop the fields of an object that its schema does not know (in place); returns their paths."""
    unknown: list[str] = []
    _prune(value, schema, "", unknown, root=True)
    return unknown


def _prune(value: Any, schema: Object, path: str, unknown: list[str], *, root: bool = False) -> None:
    if isinstance(value, list):
        items = schema.get("items")
        for index, item in enumerate(cast("list[Any]", value)):
            inner = cast("Object", items) if isinstance(items, dict) else _unspecified(schema)
            _prune(item, inner, f"{path}[{index}]", unknown)
    elif isinstance(value, dict):
        _prune_object(cast("Object", value), schema, path, unknown, root=root)


def _unspecified(schema: Object) -> Object:
    """Return the schema of what a schema says nothing of: everything is kept below a part that keeps everything."""
    keep = "x-kubernetes-preserve-unknown-fields"
    return {keep: True} if schema.get(keep) else {}


def _prune_object(fields: Object, schema: Object, path: str, unknown: list[str], *, root: bool) -> None:
    properties: dict[str, Object] = schema.get("properties", {})
    extra = extra_schema(schema)
    keep = bool(schema.get("x-kubernetes-preserve-unknown-fields"))
    is_object = root or schema.get("x-kubernetes-embedded-resource")
    for key in list(fields):
        if is_object and key in _META:
            continue
        where = f"{path}.{key}" if path else key
        if key in properties:
            _prune(fields[key], properties[key], where, unknown)
        elif extra is not None:
            _prune(fields[key], extra, where, unknown)
        elif keep:
            continue
        else:
            unknown.append(where)
            del fields[key]


def simple_path(path: str) -> tuple[str, ...]:
    """Return the keys of a simple JSON path such as `.spec.replicas`, or `.spec["a.b"]`."""
    return tuple(name or quoted for name, quoted in re.findall(r"\.([^.\[\]]+)|\[['\"]([^'\"]+)['\"]\]", path))
