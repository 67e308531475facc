"""The hash of an object for the audit: SHA-256 over its RFC 8785 form, mostly in a hundredth of that form's time.

orjson with sorted keys writes the canonical form of data without numbers that RFC 8785 writes its own way. Those, and
text beyond ASCII, where keys sort otherwise, are left to the canonical writer.
"""

import hashlib
import math
import re
from typing import Any, Final, cast

import orjson

from midwatch_contracts.canonical import sha256_hex
from midwatch_lab.objects import Object

_OTHERWISE: Final = re.compile(rb'(?:":|[\[,])-?[0-9]+(?:[.eE]|(?<=[0-9]{16}))')
"""Fractions, exponents and integers of sixteen digits as values; also within text, which costs time only."""
_PLAIN: Final = orjson.OPT_SORT_KEYS | orjson.OPT_PASSTHROUGH_SUBCLASS | orjson.OPT_PASSTHROUGH_DATACLASS


def object_sha256(obj: Object) -> str:
    """Return what `sha256_hex` returns."""
    try:
        encoded = orjson.dumps(obj, option=_PLAIN)
    except orjson.JSONEncodeError:
        return sha256_hex(obj)
    # orjson writes null for NaN and the infinities.
    if not encoded.isascii() or _OTHERWISE.search(encoded) or (b"null" in encoded and _is_beyond(obj)):
        return sha256_hex(obj)
    return hashlib.sha256(encoded).hexdigest()


def _is_beyond(value: Any) -> bool:
    """Tell whether a number that is not finite is anywhere in a value."""
    match value:
        case dict():
            return any(_is_beyond(item) for item in cast("Object", value).values())
        case list():
            return any(_is_beyond(item) for item in cast("list[Any]", value))
        case float():
            return not math.isfinite(value)
        case _:
            return False
