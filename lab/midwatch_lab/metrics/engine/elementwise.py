"""Functions and operators that work on each sample by itself."""

from collections.abc import Callable

import numpy as np

from midwatch_lab.metrics.engine.values import Bools, Floats

Unary = Callable[[Floats], Floats]


def sign(values: Floats) -> Floats:
    """Return -1, 0 or 1, and zeros and NaN as they are."""
    return np.where(values > 0, 1.0, np.where(values < 0, -1.0, values))


def nearest(values: Floats, step: Floats | float = 1.0) -> Floats:
    """Round to multiples of `step`, halves up."""
    inverse = 1.0 / step
    return np.floor(values * inverse + 0.5) / inverse


def smaller(a: Floats, b: Floats) -> Floats:
    """Return the minimum; NaN wins over all but -Inf, as in Go."""
    return np.where(np.isneginf(a) | np.isneginf(b), -np.inf, np.minimum(a, b))


def larger(a: Floats, b: Floats) -> Floats:
    """Return the maximum; NaN wins over all but +Inf, as in Go."""
    return np.where(np.isposinf(a) | np.isposinf(b), np.inf, np.maximum(a, b))


MATHEMATICS: dict[str, Unary] = {
    "abs": np.abs,
    "acos": np.arccos,
    "acosh": np.arccosh,
    "asin": np.arcsin,
    "asinh": np.arcsinh,
    "atan": np.arctan,
    "atanh": np.arctanh,
    "ceil": np.ceil,
    "cos": np.cos,
    "cosh": np.cosh,
    "deg": lambda values: values * (180 / np.pi),
    "exp": np.exp,
    "floor": np.floor,
    "ln": np.log,
    "log10": np.log10,
    "log2": np.log2,
    "rad": lambda values: values * (np.pi / 180),
    "sgn": sign,
    "sin": np.sin,
    "sinh": np.sinh,
    "sqrt": np.sqrt,
    "tan": np.tan,
    "tanh": np.tanh,
}

_MAX_SECONDS = 2.0**55
"""What NumPy's calendar can hold in days, hours and minutes."""


def dated(values: Floats) -> Bools:
    """Say which values are times that the calendar knows."""
    return np.abs(values) < _MAX_SECONDS


def _seconds(values: Floats) -> "np.typing.NDArray[np.datetime64]":
    whole = np.where(dated(values), np.trunc(values), 0.0)
    return whole.astype(np.int64).astype("datetime64[s]")


def _part(values: Floats, small: str, large: str) -> Floats:
    moment = _seconds(values)
    return (
        (moment.astype(f"datetime64[{small}]") - moment.astype(f"datetime64[{large}]"))
        .astype(f"timedelta64[{small}]")
        .astype(np.float64)
    )


def _day_of_week(values: Floats) -> Floats:
    days = _seconds(values).astype("datetime64[D]").astype(np.int64)
    return ((days + 4) % 7).astype(np.float64)  # the first of January 1970 was a Thursday


def _days_in_month(values: Floats) -> Floats:
    month = _seconds(values).astype("datetime64[M]")
    return ((month + 1).astype("datetime64[D]") - month.astype("datetime64[D]")).astype(np.float64)


CALENDAR: dict[str, Unary] = {
    "day_of_month": lambda values: _part(values, "D", "M") + 1,
    "day_of_week": _day_of_week,
    "day_of_year": lambda values: _part(values, "D", "Y") + 1,
    "days_in_month": _days_in_month,
    "hour": lambda values: _part(values, "h", "D"),
    "minute": lambda values: _part(values, "m", "h"),
    "month": lambda values: _part(values, "M", "Y") + 1,
    "year": lambda values: _seconds(values).astype("datetime64[Y]").astype(np.float64) + 1970,
}

ARITHMETIC: dict[str, Callable[[Floats, Floats], Floats]] = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": np.divide,
    "%": np.fmod,
    "^": np.power,
    "atan2": np.arctan2,
}

COMPARISON: dict[str, Callable[[Floats, Floats], Bools]] = {
    "==": np.equal,
    "!=": np.not_equal,
    ">": np.greater,
    "<": np.less,
    ">=": np.greater_equal,
    "<=": np.less_equal,
}
