"""Resource quantities (`250m`, `4Gi`): reading, comparing, and the canonical form that the API server writes back."""

import re
from decimal import Decimal
from typing import Final

from midwatch_lab.errors import DecodeError

PATTERN: Final = "^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$"
_QUANTITY: Final = re.compile(r"^([+-]?(?:\d+\.?\d*|\.\d+))(?:([eE][+-]?\d+)|([numkMGTPE]|[KMGTPE]i)?)$")
_BINARY: Final = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "Pi": 2**50, "Ei": 2**60}
_EXPONENT_MAX: Final = 30
_LENGTH_MAX: Final = 60
_DECIMAL: Final = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}


def _split(text: str) -> tuple[Decimal, str]:
    found = _QUANTITY.match(text)
    if found is None or len(text) > _LENGTH_MAX or abs(int((found[2] or "e0")[1:])) > _EXPONENT_MAX:
        raise DecodeError(f"quantities must match the regular expression '{PATTERN}'")
    exponent = found[2]
    return Decimal(found[1] + (exponent or "")), found[3] or ""


def parse(value: str | float) -> Decimal:
    """Return the quantity in base units (cores, bytes).

    Raises:
        DecodeError: when the text is no quantity.
    """
    number, suffix = _split(str(value))
    if suffix in _BINARY:
        return number * _BINARY[suffix]
    return number.scaleb(_DECIMAL[suffix])


def canonical(value: str | float) -> str:
    """Return the quantity as the API server writes it: no fraction, the largest suffix of the same family."""
    number, suffix = _split(str(value))
    if suffix in _BINARY:
        return _binary(number * _BINARY[suffix])
    return _decimal(number.scaleb(_DECIMAL[suffix]))


def added(one: str, two: str) -> str:
    """Return a sum, in the family of suffixes of the first that is not zero."""
    return _in_family_of(one if parse(one) else two, parse(one) + parse(two))


def subtracted(one: str, two: str) -> str:
    """Return a difference, in the family of suffixes of the first that is not zero."""
    return _in_family_of(one if parse(one) else two, parse(one) - parse(two))


def _in_family_of(text: str, amount: Decimal) -> str:
    # Below 1024 either way the original writes plain numbers, which keep no family.
    return _binary(amount) if _split(text)[1] in _BINARY else _decimal(amount)


def _binary(amount: Decimal) -> str:
    if amount == 0 or amount != amount.to_integral_value():
        return _decimal(amount)
    whole = int(amount)
    for name, size in reversed(_BINARY.items()):
        if whole % size == 0:
            return f"{whole // size}{name}"
    return str(whole)


def _decimal(amount: Decimal) -> str:
    if amount == 0:
        return "0"
    if amount.scaleb(9) != amount.scaleb(9).to_integral_value():
        # The finest step is a nano; what is finer is rounded up, as the original does.
        amount = amount.scaleb(9).to_integral_value(rounding="ROUND_CEILING").scaleb(-9)
    for name, power in reversed(_DECIMAL.items()):
        scaled = amount.scaleb(-power)
        if scaled == scaled.to_integral_value():
            return f"{scaled.to_integral_value():f}{name}"
    return f"{amount:f}"
