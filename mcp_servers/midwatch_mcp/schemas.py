"""JSON Schemas as hosts take them: what pydantic writes, less what says nothing, and no schema without a keyword."""

from typing import Any, cast

_NO_KEYWORDS = frozenset({"title", "description", "default", "x-untrusted"})
_ANY_JSON = tuple({"type": kind} for kind in ("object", "array", "string", "number", "boolean", "null"))
_MAPS = ("properties", "$defs")
_LISTS = ("anyOf", "prefixItems")
_SINGLE = ("items", "additionalProperties")


def untitled(schema: Any) -> Any:
    """Return a schema without the titles that pydantic derives from names: they cost tokens and say nothing."""
    if isinstance(schema, list):
        return [untitled(item) for item in cast("list[Any]", schema)]
    if not isinstance(schema, dict):
        return schema
    fields = cast("dict[str, Any]", schema)
    return {
        key: {name: untitled(entry) for name, entry in value.items()} if key == "properties" else untitled(value)
        for key, value in fields.items()
        if key != "title" or not isinstance(value, str)
    }


def spelled_out(schema: Any) -> Any:
    """Return a schema in which a value of any type is said to be one.

    A schema with no keyword means the same, but hosts that map schemas onto types refuse it or drop it.
    """
    if not isinstance(schema, dict):
        return schema
    fields = dict(cast("dict[str, Any]", schema))
    if fields.keys() <= _NO_KEYWORDS:
        return {**fields, "anyOf": [dict(kind) for kind in _ANY_JSON]}
    for key in _MAPS:
        if key in fields:
            fields[key] = {name: spelled_out(entry) for name, entry in fields[key].items()}
    for key in _LISTS:
        if key in fields:
            fields[key] = [spelled_out(entry) for entry in fields[key]]
    for key in _SINGLE:
        if key in fields:
            fields[key] = spelled_out(fields[key])
    return fields
