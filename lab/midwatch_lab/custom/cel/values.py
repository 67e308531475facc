"""Values of rules: JSON data, and timestamps, durations and the like made of texts by their format."""

import re
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Any, Final, cast
from urllib.parse import SplitResult

from midwatch_lab import quantity
from midwatch_lab.custom.cel.nodes import EvaluationError
from midwatch_lab.custom.cel.types import escaped
from midwatch_lab.errors import DecodeError
from midwatch_lab.objects import Object

_DURATION: Final = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h)")
_SECONDS: Final = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_INT64: Final = range(-(2**63), 2**63)


@dataclass(frozen=True)
class Quantity:
    """An amount such as `1Gi`, compared by what it comes to."""

    amount: Any


@dataclass(frozen=True)
class Fields:
    """An object with fixed fields, under the names that they have in expressions."""

    found: Mapping[str, Any]


@dataclass(frozen=True)
class Optional:
    """A value that may not be there."""

    there: bool
    value: Any = None


@dataclass(frozen=True)
class TypeName:
    """A type as a value, for `type(x) == int`."""

    name: str


def kind_of(value: Any) -> str:  # noqa: C901, PLR0911, PLR0912 (one case a kind)
    """Return the name of the type of a value."""
    match value:
        case None:
            return "null"
        case bool():
            return "bool"
        case int():
            return "int"
        case float():
            return "double"
        case str():
            return "string"
        case bytes():
            return "bytes"
        case list():
            return "list"
        case dict():
            return "map"
        case Fields():
            return "object"
        case datetime():
            return "timestamp"
        case timedelta():
            return "duration"
        case Quantity():
            return "quantity"
        case Optional():
            return "optional"
        case TypeName():
            return "type"
        case SplitResult():
            return "url"
        case IPv4Address() | IPv6Address():
            return "ip"
        case IPv4Network() | IPv6Network():
            return "cidr"
        case _:
            return "dyn"


def bound(value: Any, schema: Object, *, root: bool = False) -> Any:
    """Return a value as rules see it: by its schema, an object with fields, a timestamp, a duration or plain data."""
    match value:
        case dict():
            return _bound_object(cast("Object", value), schema, root=root)
        case list():
            items = schema.get("items")
            inner = cast("Object", items) if isinstance(items, dict) else {}
            return [bound(item, inner) for item in cast("list[Any]", value)]
        case str() if schema.get("type") == "string":
            return _bound_text(value, str(schema.get("format", "")))
        case int() if schema.get("type") == "number" and not isinstance(value, bool):
            return float(value)
        case _:
            return value


def _bound_object(value: Object, schema: Object, *, root: bool) -> Any:
    extra = schema.get("additionalProperties")
    if isinstance(extra, dict):
        return {key: bound(item, cast("Object", extra)) for key, item in value.items()}
    properties: dict[str, Object] = schema.get("properties", {})
    if not properties and not root and not schema.get("x-kubernetes-embedded-resource"):
        return value if schema.get("x-kubernetes-preserve-unknown-fields") and "type" not in schema else Fields({})
    found: dict[str, Any] = {}
    for key, item in value.items():
        name = escaped(key)
        if key == "metadata" and (root or schema.get("x-kubernetes-embedded-resource")):
            found["metadata"] = Fields(cast("Object", item)) if isinstance(item, dict) else item
        elif name is not None and (key in properties or key in ("apiVersion", "kind")):
            found[name] = bound(item, properties.get(key, {}))
    return Fields(found)


def _bound_text(value: str, form: str) -> Any:
    match form:
        case "date-time" | "date":
            return timestamp(value)
        case "duration":
            return duration(value)
        case "byte":
            return b64decode(value)
        case _:
            return value


def timestamp(text: str) -> datetime:
    """Read an RFC 3339 time, or a date.

    Raises:
        EvaluationError: when the text is neither.
    """
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise EvaluationError(f"invalid timestamp: {text}") from error
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def duration(text: str) -> timedelta:
    """Read a duration in the form of Go.

    Raises:
        EvaluationError: when the text is none.
    """
    bare = text.lstrip("+-")
    parts = _DURATION.findall(bare)
    if bare != "0" and ("".join(number + unit for number, unit in parts) != bare or not parts):
        raise EvaluationError(f'time: invalid duration "{text}"')
    seconds = sum(float(number) * _SECONDS[unit] for number, unit in parts)
    return timedelta(seconds=-seconds if text.startswith("-") else seconds)


def read_quantity(text: str) -> Quantity:
    """Read an amount.

    Raises:
        EvaluationError: when the text is none.
    """
    try:
        return Quantity(quantity.parse(text))
    except (DecodeError, ValueError) as error:
        pattern = r"^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$"
        raise EvaluationError(f"quantities must match the regular expression '{pattern}'") from error


def int64(value: int) -> int:
    """Return a whole number of 64 bits.

    Raises:
        EvaluationError: when it does not fit.
    """
    if value not in _INT64:
        raise EvaluationError("integer overflow")
    return value
