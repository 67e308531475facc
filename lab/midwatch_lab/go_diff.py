"""How the original shows a forbidden change in a message: a unified diff of indented JSON."""

from difflib import unified_diff
from typing import Any, cast

from midwatch_lab.objects import Object
from midwatch_lab.status import Struct, go_json


def difference(old: Any, new: Any) -> str:
    """Return the diff of two values, with three lines around each change and no file names."""
    lines = list(unified_diff(indented(old).split("\n"), indented(new).split("\n"), lineterm=""))
    return "".join(f"{line}\n" for line in lines[2:])


def indented(value: Any, depth: int = 0) -> str:
    """Return a value as JSON with one space a level."""
    inner, outer = " " * (depth + 1), " " * depth
    if isinstance(value, Struct):
        parts = [f"{inner}{go_json(name)}: {indented(item, depth + 1)}" for name, item in value.fields]
    elif isinstance(value, dict):
        given = cast("Object", value)
        parts = [f"{inner}{go_json(name)}: {indented(item, depth + 1)}" for name, item in sorted(given.items())]
    elif isinstance(value, list):
        parts = [inner + indented(item, depth + 1) for item in cast("list[Any]", value)]
    else:
        return go_json(value)
    opening, closing = "[]" if isinstance(value, list) else "{}"
    return f"{opening}\n" + ",\n".join(parts) + f"\n{outer}{closing}" if parts else opening + closing
