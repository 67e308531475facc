"""JSON Patch (RFC 6902), with pointers by RFC 6901; as lenient as the original's library (evanphx/json-patch v4).

A value that is left out is null, what comes before a pointer's first slash is not read, a copy of nothing is null, and
a test for null holds where nothing is.
"""

import copy
from typing import Any, cast

from midwatch_lab.errors import PatchError


def apply(document: Any, operations: Any) -> Any:
    """Return the patched copy of a document.

    Raises:
        PatchError: for a malformed patch, or an operation that does not fit the document.
    """
    if not isinstance(operations, list | None):
        raise PatchError("a JSON patch is a list of operations")
    result = copy.deepcopy(document)
    for operation in cast("list[Any]", operations or []):
        if not isinstance(operation, dict):
            raise PatchError("an operation of a JSON patch is an object")
        result = _operate(result, cast("dict[str, Any]", operation))
    return result


def _operate(document: Any, operation: dict[str, Any]) -> Any:
    path = _pointer(operation, "path")
    match operation.get("op"):
        case "add":
            return _add(document, path, copy.deepcopy(_value(operation)))
        case "remove":
            return _remove(document, path)[0]
        case "replace":
            # The original's library lets a field of an object be replaced that is not there (evanphx/json-patch).
            return _put(document, path, copy.deepcopy(_value(operation)))
        case "move":
            origin = _pointer(operation, "from")
            if path[: len(origin)] == origin and len(path) > len(origin):
                raise PatchError("move: a value cannot be moved into itself")
            document, value = _remove(document, origin)
            return _add(document, path, value)
        case "copy":
            return _add(document, path, copy.deepcopy(_get_or_null(document, _pointer(operation, "from"))))
        case "test":
            if not _equal(_get_or_null(document, path), _value(operation)):
                raise PatchError(f"test: the value at /{'/'.join(path)} is another")
            return document
        case other:
            raise PatchError(f"{other!r} is no operation of RFC 6902")


def _value(operation: dict[str, Any]) -> Any:
    return operation.get("value")


def _pointer(operation: dict[str, Any], name: str) -> list[str]:
    text = operation.get(name)
    if not isinstance(text, str) or (text and "/" not in text):
        raise PatchError(f"{name}: {text!r} is no JSON pointer")
    return [part.replace("~1", "/").replace("~0", "~") for part in text.split("/")[1:]]


def _get_or_null(document: Any, path: list[str]) -> Any:
    """Return what is there, or null where its parent lacks it."""
    parent = _get(document, path[:-1])
    if path and isinstance(parent, dict):
        return cast("dict[str, Any]", parent).get(path[-1])
    return _get(document, path)


def _index(items: list[Any], step: str, *, upto: int) -> int:
    if not step.isdigit() or (len(step) > 1 and step[0] == "0") or int(step) > upto:
        raise PatchError(f"{step!r} is no index into a list of {len(items)}")
    return int(step)


def _get(document: Any, path: list[str]) -> Any:
    for step in path:
        if isinstance(document, dict):
            here = cast("dict[str, Any]", document)
            if step not in here:
                raise PatchError(f"there is no {step!r} to go through")
            document = here[step]
        elif isinstance(document, list):
            items = cast("list[Any]", document)
            document = items[_index(items, step, upto=len(items) - 1)]
        else:
            raise PatchError(f"there is nothing below {step!r}")
    return document


def _add(document: Any, path: list[str], value: Any) -> Any:
    if path:
        parent = _get(document, path[:-1])
        if isinstance(parent, list):
            items = cast("list[Any]", parent)
            items.insert(len(items) if path[-1] == "-" else _index(items, path[-1], upto=len(items)), value)
            return document
    return _put(document, path, value)


def _put(document: Any, path: list[str], value: Any) -> Any:
    if not path:
        return value
    parent = _get(document, path[:-1])
    if isinstance(parent, dict):
        parent[path[-1]] = value
    elif isinstance(parent, list):
        items = cast("list[Any]", parent)
        items[_index(items, path[-1], upto=len(items) - 1)] = value
    else:
        raise PatchError(f"nothing can be put below {path[-1]!r}")
    return document


def _remove(document: Any, path: list[str]) -> tuple[Any, Any]:
    value = _get(document, path)
    if not path:
        return None, value
    parent = _get(document, path[:-1])
    if isinstance(parent, list):
        items = cast("list[Any]", parent)
        del items[_index(items, path[-1], upto=len(items) - 1)]
    else:
        del parent[path[-1]]
    return document, value


def _equal(left: Any, right: Any) -> bool:
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, dict) and isinstance(right, dict):
        one, two = cast("dict[str, Any]", left), cast("dict[str, Any]", right)
        return one.keys() == two.keys() and all(_equal(one[key], two[key]) for key in one)
    if isinstance(left, list) and isinstance(right, list):
        ones, twos = cast("list[Any]", left), cast("list[Any]", right)
        return len(ones) == len(twos) and all(_equal(a, b) for a, b in zip(ones, twos, strict=True))
    return bool(left == right)
