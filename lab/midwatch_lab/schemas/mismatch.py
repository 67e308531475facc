"""How the original says that a value does not fit its field: it has two decoders, with two wordings.

Bodies, merge patches and JSON patches are decoded from JSON (`sigs.k8s.io/json`); a strategic merge patch is converted
from maps (`runtime.DefaultUnstructuredConverter`).
"""

import re
from collections.abc import Callable
from typing import Any, TypeAlias

from midwatch_lab.errors import DecodeError

Wording: TypeAlias = Callable[[Any, str, str, str], DecodeError]
"""From the value, its path, the Go struct around it, and the Go type that its field has."""


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


def from_maps(value: Any, path: str, struct: str, wanted: str) -> DecodeError:
    """Return the error of the converter, which names no field."""
    if wanted == "resource.Quantity":
        return from_json(value, path, struct, wanted)
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
