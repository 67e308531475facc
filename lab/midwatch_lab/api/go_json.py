"""JSON read as the original reads it: its words for what does not parse, doubled keys, bytes that are no UTF-8."""

import json
from dataclasses import dataclass, field
from typing import Any, Final, cast

from midwatch_lab.objects import Object

_REPLACEMENT: Final = "\ufffd"
_SPACE: Final = " \t\r\n"


class GoJSONError(ValueError):
    """A text is no JSON; the message is that of Go's decoder."""


@dataclass
class Doubled:
    """The objects in which a key stands twice, by identity: their places are known once all is read."""

    keys: dict[int, list[str]] = field(default_factory=dict[int, list[str]])

    def object_of(self, pairs: list[tuple[str, Any]]) -> Object:
        """Return an object from its pairs. A key's later object is laid into the earlier one, else it takes over."""
        found = dict(pairs)
        if len(found) == len(pairs):
            return found
        found.clear()
        twice: list[str] = []
        for key, value in pairs:
            if key in found:
                twice.append(key)
            old = found.get(key)
            if isinstance(old, dict) and isinstance(value, dict):
                cast("Object", old).update(cast("Object", value))
            else:
                found[key] = value
        self.keys[id(found)] = list(dict.fromkeys(twice))
        return found

    def paths(self, value: Any, path: str = "") -> list[str]:
        """Return where keys are doubled."""
        if not self.keys:
            return []
        found: list[str] = []
        if isinstance(value, dict):
            obj = cast("Object", value)
            prefix = f"{path}." if path else ""
            found = [f"{prefix}{key}" for key in self.keys.get(id(obj), ())]
            for key, item in obj.items():
                found += self.paths(item, f"{prefix}{key}")
        elif isinstance(value, list):
            for index, item in enumerate(cast("list[Any]", value)):
                found += self.paths(item, f"{path}[{index}]")
        return found


def read(body: bytes) -> tuple[Any, list[str]]:
    """Return the value, and the paths of keys that stand twice in their object.

    Raises:
        GoJSONError: when it does not parse.
    """
    text = body.decode("utf-8", "replace")
    doubled = Doubled()
    try:
        value = json.loads(text, object_pairs_hook=doubled.object_of, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        raise GoJSONError(_words(error.msg, text, error.pos, body)) from error
    except RecursionError as error:
        opening = text[_first_deep(text)]
        raise GoJSONError(f"invalid character '{opening}' exceeded max depth") from error
    if "\\u" in text:
        value = _without_surrogates(value)
    return value, doubled.paths(value)


def _no_constant(name: str) -> Any:
    raise GoJSONError(f"invalid character '{name[0]}' looking for beginning of value")


def _without_surrogates(value: Any) -> Any:
    match value:
        case str():
            return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        case list():
            return [_without_surrogates(item) for item in cast("list[Any]", value)]
        case dict():
            found = cast("Object", value)
            for key in list(found):
                found[_without_surrogates(key)] = _without_surrogates(found.pop(key))
            return found
        case _:
            return value


def _words(said: str, text: str, place: int, body: bytes) -> str:
    if body.startswith(b"\xef\xbb\xbf"):
        return "invalid character 'ï' looking for beginning of value"
    while place < len(text) and text[place] in _SPACE:
        place += 1
    if place >= len(text) or said.startswith("Unterminated string"):
        return "unexpected end of JSON input"
    char = {"\n": "\\n", "\t": "\\t", "'": "\\'", '"': '"'}.get(text[place], text[place])
    match said:
        case "Extra data":
            where = "after top-level value"
        case "Expecting property name enclosed in double quotes" | "Illegal trailing comma before end of object":
            where = "looking for beginning of object key string"
        case "Expecting ':' delimiter":
            where = "after object key"
        case "Expecting ',' delimiter":
            where = "after object key:value pair" if _enclosing(text, place) == "{" else "after array element"
        case _ if said.startswith("Invalid control character"):
            where = "in string literal"
        case _ if said.startswith("Invalid \\"):
            char, where = text[place + 1 : place + 2], "in string escape code"
        case _:
            where = "looking for beginning of value"
    return f"invalid character '{char}' {where}"


def _enclosing(text: str, place: int) -> str:
    """Return the bracket that is open at a place."""
    opened: list[str] = []
    in_string = escaped = False
    for char in text[:place]:
        if in_string:
            in_string = escaped or char != '"'
            escaped = char == "\\" and not escaped
        elif char == '"':
            in_string = True
        elif char in "{[":
            opened.append(char)
        elif char in "}]":
            opened.pop()
    return opened[-1] if opened else ""


def _first_deep(text: str) -> int:
    """Return the place of the last bracket that opens: where too deep a nesting ends."""
    return max(text.rfind("["), text.rfind("{"))
