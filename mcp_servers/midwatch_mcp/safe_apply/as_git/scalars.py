"""YAML scalars as Kubernetes tools read them, and as they are written so that every reader reads the same.

Reading follows sigs.k8s.io/yaml: the core types, no dates and no base-60 numbers. Writing is shyer: what any reader, of
YAML 1.1 or 1.2, could take for something else is quoted.
"""

import json
import math
import re
from typing import Any, Literal

Style = Literal["plain", "single", "double", "block"]
MARKS: dict[str | None, Style] = {None: "plain", "": "plain", "'": "single", '"': "double", "|": "block", ">": "block"}

_NULL = re.compile(r"~|null|Null|NULL|")
_TRUE = re.compile(r"yes|Yes|YES|true|True|TRUE|on|On|ON")
_FALSE = re.compile(r"no|No|NO|false|False|FALSE|off|Off|OFF")
_INT = re.compile(r"[-+]?(0b[01_]+|0o[0-7_]+|0x[0-9a-fA-F_]+|0[0-7_]*|[1-9][0-9_]*)")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9][0-9_]*(\.[0-9_]*)?)([eE][-+]?[0-9]+)?")
_ENDLESS = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_DOUBTFUL = re.compile(
    r"[yYnN]|<<|=|[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?|[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}([Tt ].*)?|0[0-9_]+"
)
"""Words that some reader takes for a truth value, a merge, a base-60 number or a date."""
_PLAIN = re.compile(r"(?:[A-Za-z0-9_./$+^(;~]|[-?:](?=[^\s,\[\]{}]))(?:[^\s#:]|:(?=\S)|(?<=\S)#| (?=[^\s#]))*")
_INDICATORS = frozenset(",[]{}")


def resolved(text: str) -> Any:
    """Return the value of a plain scalar.

    Raises:
        ValueError: it is a number that JSON does not have.
    """
    if _NULL.fullmatch(text):
        return None
    if _TRUE.fullmatch(text) or _FALSE.fullmatch(text):
        return _TRUE.fullmatch(text) is not None
    if _INT.fullmatch(text):
        return _whole(text.replace("_", ""))
    if _ENDLESS.fullmatch(text):
        raise ValueError(f"{text} is no number that JSON has")
    if _FLOAT.fullmatch(text):
        number = float(text.replace("_", ""))
        if not math.isfinite(number):
            raise ValueError(f"{text} is beyond the numbers that JSON has")
        return number
    return text


def _whole(text: str) -> int:
    sign, digits = (-1 if text[0] == "-" else 1), text.lstrip("+-")
    base = {"0b": 2, "0o": 8, "0x": 16}.get(digits[:2])
    if base is None and len(digits) > 1 and digits[0] == "0":
        base = 8
    return sign * (int(digits, base) if base is not None else int(digits))


def plain_is_safe(text: str, *, flow: bool) -> bool:
    """Say whether a text stays the same text for every reader when it is written without quotes."""
    if (
        not (text.isascii() and text.isprintable())
        or not _PLAIN.fullmatch(text)
        or text.endswith(":")
        or text.startswith("---")
    ):
        return False
    if flow and (_INDICATORS & set(text) or text[0] in "?:" or ":" in text):
        return False
    try:
        return resolved(text) == text and not _DOUBTFUL.fullmatch(text)
    except ValueError:
        return False


def written(value: Any, style: Style = "plain", *, flow: bool = False) -> str:
    """Return a scalar on one line, in a style if it can carry the value, else in double quotes."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case int() | float():
            return json.dumps(value)
        case _:
            text = str(value)
    if style == "single" and text.isprintable():
        return "'" + text.replace("'", "''") + "'"
    if style == "plain" and plain_is_safe(text, flow=flow):
        return text
    return quoted(text)


def quoted(text: str) -> str:
    r"""Return a text in double quotes, as JSON and YAML both read it."""
    return '"' + "".join(_escaped(char) for char in text) + '"'


def _escaped(char: str) -> str:
    if char in '"\\':
        return "\\" + char
    short = {"\n": "\\n", "\t": "\\t", "\r": "\\r"}.get(char)
    if short is not None:
        return short
    if char.isprintable():
        return char
    code = ord(char)
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"  # noqa: PLR2004 (the last of four digits)
