"""How the original says that a value does not fit its field: it has two decoders, with two wordings.

Bodies, merge patches and JSON patches are decoded from JSON (`sigs.k8s.io/json`); a strategic merge patch is converted
from maps (`runtime.DefaultUnstructuredConverter`).
"""

import re
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias

from midwatch_lab.errors import DecodeError

Wording: TypeAlias = Callable[[Any, str, str, str], DecodeError]
"""From the value, its path, the Go struct around it, and the Go type that its field has."""


_LAYOUT: Final = (
    ("2006", r"\d{4}"), ("-", "-"), ("01", r"\d\d"), ("-", "-"), ("02", r"\d\d"), ("T", "T"), ("15", r"\d\d"),
    (":", ":"), ("04", r"\d\d"), (":", ":"), ("05", r"\d\d(\.\d+)?"), ("Z07:00", r"Z|[+-]\d\d:\d\d"),
)  # fmt: skip
_MICRO_LAYOUT: Final = (*_LAYOUT[:10], ("05", r"\d\d"), (".000000", r"\.\d{6}"), _LAYOUT[-1])
_MICRO: Final = re.compile("".join(f"(?:{pattern})" for _, pattern in _MICRO_LAYOUT))
_BASE64: Final = re.compile(r"[A-Za-z0-9+/\r\n]*")


def bad_time(text: str) -> DecodeError:
    """Return the error of a text that is no time of RFC 3339, in the words of Go's `time.Parse`."""
    return _bad_time(text, _LAYOUT, "2006-01-02T15:04:05Z07:00")


def bad_micro_time(text: str) -> DecodeError | None:
    """Return the error of a text that is no time with six digits after the second, or None where it is one."""
    if _MICRO.fullmatch(text):
        return None
    return _bad_time(text, _MICRO_LAYOUT, "2006-01-02T15:04:05.000000Z07:00")


def _bad_time(text: str, layout: Sequence[tuple[str, str]], shown: str) -> DecodeError:
    rest, said = text, f'extra text: "{text}"'
    for name, pattern in layout:
        found = re.match(pattern, rest)
        if found is None:
            said = f'cannot parse "{rest}" as "{name}"'
            break
        rest = rest[found.end() :]
        said = f'extra text: "{rest}"'
    return DecodeError(f'parsing time "{text}" as "{shown}": {said}')


def bad_base64(text: str) -> DecodeError | None:
    """Return the error of a text that is no standard base64 with padding (RFC 4648 §4), or None where it is one."""
    found = _BASE64.match(text)
    end = found.end() if found is not None else 0
    letters = end - text.count("\r", 0, end) - text.count("\n", 0, end)
    padding = text[end:].rstrip("\r\n")
    if padding == "=" * (-letters % 4) and letters % 4 != 1:
        return None
    return DecodeError(f"illegal base64 data at input byte {end}")


def from_json(value: Any, path: str, struct: str, wanted: str) -> DecodeError:
    """Return the error of the JSON decoder."""
    match value:
        case bool():
            given = "bool"
        case str():
            given = "string"
        case int() | float():
            given = "number" if wanted in ("string", "bool") or wanted[0] in "[m" else f"number {value}"
        case list():
            given = "array"
        case _:
            given = "object"
    bare = re.sub(r"\[\d+\]", "", path)
    return DecodeError(f"json: cannot unmarshal {given} into Go struct field {struct}.{bare} of type {wanted}")


def from_maps(value: Any, path: str, struct: str, wanted: str) -> DecodeError:  # noqa: ARG001 (a `Wording`)
    """Return the error of the converter, which names no field."""
    match value:
        case bool():
            given = "bool"
        case str():
            given = "string"
        case int():
            given = "int64"
        case float():
            given = "float64"
        case list():
            given = "slice"
        case _:
            given = "map"
    if wanted.startswith("map["):
        return DecodeError(f"cannot restore map from {given}")
    if wanted.startswith("[]"):
        return DecodeError(f"cannot restore slice from {given}")
    if "." in wanted:
        return DecodeError(f"cannot restore struct from: {given}")
    converts = (given == "int64" and wanted == "string") or (given.endswith("64") and wanted[:3] in ("int", "flo"))
    return DecodeError(f"cannot convert {given} to {wanted}" if converts else f"unrecognized type: {wanted}")
