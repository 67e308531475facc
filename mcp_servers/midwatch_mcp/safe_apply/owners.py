"""Who owns a field: `metadata.managedFields` in the form FieldsV1, as server-side apply keeps it."""

import json
from collections.abc import Mapping
from typing import Any, cast

from midwatch_mcp.safe_apply.values import tokens


def managers(value: Mapping[str, Any], pointer: str) -> list[str]:
    """Return the managers that own the field at `pointer` of an object, sorted; empty where none is recorded."""
    entries = cast("list[dict[str, Any]]", value.get("metadata", {}).get("managedFields") or [])
    owners = {
        str(entry.get("manager", "unknown"))
        for entry in entries
        if not entry.get("subresource") and _owns(entry.get("fieldsV1") or {}, value, tokens(pointer))
    }
    return sorted(owners)


def _owns(fields: Any, value: Any, path: list[str]) -> bool:
    """Walk the field set and the object side by side; a set that ends before the path owns all below it."""
    for depth, token in enumerate(path):
        if not isinstance(fields, dict):
            return False
        node = cast("dict[str, Any]", fields)
        if depth and not [key for key in node if key != "."]:
            return True
        if isinstance(value, list):
            items = cast("list[Any]", value)
            value = items[int(token)] if token.isdecimal() and int(token) < len(items) else None
            following = _element(node, value)
        else:
            value = cast("dict[str, Any]", value).get(token) if isinstance(value, dict) else None
            following = node.get(f"f:{token}")
        if following is None:
            return False
        fields = following
    return True


def _element(node: Mapping[str, Any], element: Any) -> Any:
    """Return the field set of a list's element: `k:` names it by its keys, `v:` by its value."""
    for key, fields in node.items():
        if key.startswith("k:") and isinstance(element, dict):
            wanted = cast("dict[str, Any]", json.loads(key[2:]))
            if all(cast("dict[str, Any]", element).get(name) == part for name, part in wanted.items()):
                return fields
        elif key.startswith("v:") and json.loads(key[2:]) == element:
            return fields
    return None
