"""Values in expressions, and the one that stands for no reading."""

import math
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any, Final, TypeAlias, cast

from midwatch_contracts.errors import CelError

MAX_ITEMS = 10_000
"""Longest list that an expression may walk over."""
_SPECIAL = {"NaN": math.nan, "+Inf": math.inf, "-Inf": -math.inf}


class NoData(Enum):
    """The type of `NO_DATA`, an enumeration of one so that type checkers narrow on `is NO_DATA`."""

    NO_DATA = "no data"

    def __bool__(self) -> bool:
        """Refuse: whoever writes `if result:` would read no data as true."""
        raise TypeError("no data is neither true nor false: compare with `is NO_DATA` first")

    def __repr__(self) -> str:
        return "NO_DATA"

    def __str__(self) -> str:
        return "no data"


NO_DATA: Final = NoData.NO_DATA
"""No reading: neither zero, nor false, nor `else` (CONTRACTS §4)."""

Value: TypeAlias = bool | float | str | list[Any] | dict[str, Any] | None
"""What an expression calculates with."""


class Missing(Exception):  # noqa: N818 (control flow, not an error: it never leaves the package)
    """Raised where an expression reads what is not there; ends the evaluation as NO_DATA."""


def bound(value: Any) -> Any:
    """Return JSON data as expressions see it: numbers as doubles, `"NaN"` and the infinities as the numbers they name.

    Raises:
        CelError: for a value that JSON has no form for.
    """
    match value:
        case None | bool() | float() | NoData.NO_DATA:
            return value
        case int():
            return float(value)
        case str():
            return _SPECIAL.get(value, value)
        case Mapping():
            return {str(key): bound(item) for key, item in cast("Mapping[Any, Any]", value).items()}
        case Sequence():
            return [bound(item) for item in cast("Sequence[Any]", value)]
        case _:
            raise CelError(
                f"{type(value).__name__} is no value of an expression: give text, a number, a list, an object"
            )


def read(value: Any) -> Value:
    """Return a value that was read, or raise Missing when it is no reading."""
    if value is NO_DATA or (isinstance(value, float) and math.isnan(value)):
        raise Missing
    return value


def kind_of(value: Any) -> str:
    """Name the kind of a value, for messages."""
    match value:
        case None:
            return "null"
        case bool():
            return "bool"
        case float():
            return "number"
        case str():
            return "string"
        case list():
            return "list"
        case _:
            return "object"


def number_text(value: float) -> str:
    """Return a number as text: whole ones without a fraction."""
    return str(int(value)) if value.is_integer() and abs(value) < 2**53 else repr(value)
