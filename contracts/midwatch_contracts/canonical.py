"""Canonical JSON (RFC 8785) and the hashes over it: the one place where numbers become text (CONTRACTS §2)."""

import hashlib
import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, cast

import orjson
import rfc8785
from pydantic import BaseModel

from midwatch_contracts.errors import CanonicalError

_MAX_INT = 2**53 - 1
"""The largest integer that every JSON reader keeps exactly (RFC 8785 §3.2.2.3, I-JSON)."""

_FIRST_WITH_EXPONENT = 1e21
"""The smallest double that RFC 8785 (ECMAScript) writes with an exponent."""

_SMALL, _LARGE = 1e-4, 1e15
"""Between these every writer writes the shortest digits of a double without an exponent."""

_PLAIN = frozenset({str, bool, type(None)})


def float_text(value: float) -> str:
    """Return the text by which Prometheus writes NaN and the infinities; other numbers as their shortest repr."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return repr(value)


def to_jsonable(value: Any) -> Any:
    """Return `value` as plain JSON data that has a canonical form.

    NaN and infinities become `"NaN"`, `"+Inf"`, `"-Inf"`; integers of 2^53 and more become decimal strings; bytes that
    are not UTF-8 become U+FFFD. Models become objects under their wire names.

    Raises:
        CanonicalError: for a value that JSON has no form for, or a key that is not text.
    """
    return value if _written_alike(value) else _jsonable(value)


def _jsonable(value: Any) -> Any:
    match value:
        case None | bool() | str():
            plain: Any = value
        case int():
            plain = value if -_MAX_INT <= value <= _MAX_INT else str(value)
        case float():
            plain = _float(value)
        case bytes():
            plain = value.decode("utf-8", errors="replace")
        case BaseModel():
            plain = to_jsonable(value.model_dump(by_alias=True))
        case Mapping():
            plain = _object(cast("Mapping[Any, Any]", value))
        case Sequence():
            plain = [_jsonable(item) for item in cast("Sequence[Any]", value)]
        case _:
            raise CanonicalError(f"{type(value).__name__} has no JSON form: give text, a number, a list or an object")
    return plain


def _float(value: float) -> float | str:
    if not math.isfinite(value):
        return float_text(value)
    # RFC 8785 writes these doubles without a point, so a reader takes them for integers, which have another form here.
    return str(int(value)) if value.is_integer() and _MAX_INT < abs(value) < _FIRST_WITH_EXPONENT else value


def _object(value: Mapping[Any, Any]) -> dict[str, Any]:
    for key in value:
        if not isinstance(key, str):
            raise CanonicalError(f"the key {key!r} is not text: JSON objects have text keys only")
    return {key: _jsonable(item) for key, item in value.items()}


def _written_alike(value: Any) -> bool:
    """Say whether a value is JSON already, which every writer of JSON writes alike but for spaces and order of keys.

    Integers as doubles, and very small or large ones, are written in several ways; keys beyond ASCII are sorted by
    UTF-16 (RFC 8785 §3.2.3). Types are compared and not matched: this passes over every cell of a table.
    """
    kind = cast("object", type(value))
    if kind is str or kind is bool or value is None:
        return True
    if kind is int:
        return -_MAX_INT <= value <= _MAX_INT
    if kind is float:
        return _SMALL < abs(value) < _LARGE and not value.is_integer()
    if kind is list:
        return _PLAIN.issuperset(map(type, value)) or all(map(_written_alike, value))
    return kind is dict and _fields_written_alike(value)


def _fields_written_alike(value: dict[Any, Any]) -> bool:
    for key, item in value.items():
        if type(key) is not str or not key.isascii() or not (type(item) in _PLAIN or _written_alike(item)):
            return False
    return True


def canonical_bytes(value: Any) -> bytes:
    """Return the RFC 8785 canonical JSON of `value` as UTF-8."""
    if _written_alike(value):
        with suppress(orjson.JSONEncodeError):  # what is nested too deep for it
            return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    try:
        return rfc8785.dumps(to_jsonable(value))
    except rfc8785.CanonicalizationError as error:
        raise CanonicalError(f"no canonical form: {error}") from error


def sha256_hex(value: Any) -> str:
    """Return the lower-case hex SHA-256 over the canonical JSON of `value`."""
    return hashlib.sha256(canonical_bytes(value)).hexdigest()
