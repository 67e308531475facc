"""Numbers as Go writes them, where Prometheus's answers and labels show them."""

import math
from decimal import Decimal

_SMALL, _LARGE = 1e-6, 1e21
_LEAST_EXPONENT, _PRECISION = -4, 6


def special(value: float) -> str | None:
    """Return the text of NaN and the infinities, None for other numbers."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return None


def sample_text(value: float) -> str:
    """Return a sample's value as the HTTP API writes it: `1`, `0.5`, `1e+21`, `NaN`."""
    text = repr(value)
    if text.endswith(".0"):
        return text[:-2]
    if "e" not in text and text[-1] not in "nf":
        return text
    found = special(value)
    if found is not None:
        return found
    if _SMALL <= abs(value) < _LARGE:
        return format(Decimal(text), "f").removesuffix(".0")
    mantissa, _, exponent = text.partition("e")
    return f"{mantissa}e{exponent[0]}{exponent[1:].lstrip('0')}"


def shortest_text(value: float) -> str:
    """Return a number as Go's `%g` and `%v`: `0.25`, `123456`, and from a million on `1e+06`."""
    found = special(value)
    if found is not None:
        return found
    sign, digits, exponent = Decimal(repr(value)).normalize().as_tuple()
    assert isinstance(exponent, int)  # noqa: S101 (only NaN and infinities have letters)
    if not any(digits):
        return "-0" if sign else "0"
    scientific = len(digits) + exponent - 1
    if scientific < _LEAST_EXPONENT or scientific >= _PRECISION:
        return exponent_text(value)
    return format(Decimal(repr(value)), "f").removesuffix(".0")


def exponent_text(value: float) -> str:
    """Return a number as the HTTP API writes an alert's value: `1e+00`, `1.25e+03`, `NaN`."""
    found = special(value)
    if found is not None:
        return found
    sign, digits, exponent = Decimal(repr(value)).normalize().as_tuple()
    assert isinstance(exponent, int)  # noqa: S101 (only NaN and infinities have letters)
    text = "".join(map(str, digits))
    scientific = len(digits) + exponent - 1 if any(digits) else 0
    mantissa = text[0] + ("." + text[1:] if len(text) > 1 else "")
    return f"{'-' * sign}{mantissa}e{'+' if scientific >= 0 else '-'}{abs(scientific):02d}"


def bound_text(value: float) -> str:
    """Return an `le` or `quantile` as it is written once scraped: `1.0`, `0.25`, `1e+06`, `+Inf`."""
    text = shortest_text(value)
    return text if any(c in text for c in ".eNI") else text + ".0"
