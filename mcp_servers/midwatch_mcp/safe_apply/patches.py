"""Patches as an API server applies them to an object: strategic, merge (RFC 7396) and JSON (RFC 6902).

The code shares nothing with what the operations say of themselves, so that the two can be held against each other.
"""

import copy
from collections.abc import Mapping
from typing import Any, cast

from midwatch_mcp.safe_apply.errors import RejectedError

LIST_KEYS: dict[str, str] = {
    "containers": "name",
    "initContainers": "name",
    "env": "name",
    "volumes": "name",
    "volumeMounts": "mountPath",
    "imagePullSecrets": "name",
}
"""Lists that a strategic patch merges, with the field that tells their elements apart; others are replaced whole."""


def patched(form: str, value: Mapping[str, Any], body: Any) -> dict[str, Any]:
    """Return `value` under a patch of one of the three forms.

    Raises:
        RejectedError: it does not fit the value.
    """
    if form == "json":
        found: Any = copy.deepcopy(dict(value))
        for operation in cast("list[dict[str, Any]]", body):
            try:
                _json_patch(found, operation)
            except (KeyError, IndexError, ValueError, TypeError) as error:
                raise RejectedError(f"the JSON patch does not fit: there is no {operation.get('path')!r}") from error
        return found
    return cast("dict[str, Any]", _merged(copy.deepcopy(dict(value)), body, strategic=form == "strategic"))


def _merged(value: Any, patch: Any, *, strategic: bool, key: str = "") -> Any:
    if isinstance(patch, dict):
        result: dict[str, Any] = dict(cast("dict[str, Any]", value)) if isinstance(value, dict) else {}
        for name, part in cast("dict[str, Any]", patch).items():
            if part is None:
                result.pop(name, None)
            else:
                result[name] = _merged(result.get(name), part, strategic=strategic, key=name)
        return result
    if strategic and isinstance(patch, list) and key in LIST_KEYS and isinstance(value, list):
        return _merged_list(cast("list[dict[str, Any]]", value), cast("list[dict[str, Any]]", patch), LIST_KEYS[key])
    return copy.deepcopy(cast("Any", patch))


def _merged_list(old: list[dict[str, Any]], patch: list[dict[str, Any]], key: str) -> list[dict[str, Any]]:
    found = list(old)
    for part in patch:
        same = [index for index, item in enumerate(found) if item.get(key) == part.get(key)]
        if part.get("$patch") == "delete":
            found = [item for item in found if item.get(key) != part.get(key)]
        elif same:
            found[same[0]] = _merged(found[same[0]], part, strategic=True)
        else:
            found.append(copy.deepcopy(part))
    return found


def _json_patch(value: Any, operation: Mapping[str, Any]) -> None:
    *above, last = [part.replace("~1", "/").replace("~0", "~") for part in str(operation["path"]).split("/")[1:]]
    for part in above:
        value = value[int(part) if isinstance(value, list) else part]
    name, new = operation["op"], copy.deepcopy(operation.get("value"))
    if isinstance(value, list):
        items = cast("list[Any]", value)
        index = len(items) if last == "-" else int(last)
        if name == "add":
            items.insert(index, new)
        elif name == "remove":
            del items[index]
        elif name == "replace":
            items[index] = new
        elif items[index] != new:
            raise RejectedError(f"the test of {operation['path']} failed")
        return
    fields = cast("dict[str, Any]", value)
    if name == "remove":
        del fields[last]
    elif name != "test":
        fields[last] = new
    elif fields.get(last) != new:
        raise RejectedError(f"the test of {operation['path']} failed")
