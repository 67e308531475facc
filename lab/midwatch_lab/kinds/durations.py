"""Durations as kubectl shows them, and as Go reads them."""

import math
import re
from typing import Final

_AGES: Final[tuple[tuple[float, str], ...]] = ((120, "s"), (600, "ms"), (10_800, "m"), (28_800, "hm"), (172_800, "h"))
_DAY: Final = 86_400
_YEAR: Final = 365 * _DAY
_GO_PART: Final = re.compile(r"(\d*\.?\d*)([^\d.]*)")
_GO_UNITS: Final = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1, "m": 60, "h": 3600}


def human_duration(seconds: float) -> str:
    """Return a duration as kubectl shows ages: two units while small, one when large (`87s`, `5m3s`, `2d4h`)."""
    if seconds < -1:
        return "<invalid>"
    whole = math.floor(max(0.0, seconds))
    minutes, hours, days = whole // 60, whole // 3600, whole // _DAY
    unit = next((name for limit, name in _AGES if whole < limit), "d")
    shown = {
        "s": f"{whole}s",
        "ms": _two(minutes, "m", whole % 60, "s"),
        "m": f"{minutes}m",
        "hm": _two(hours, "h", minutes % 60, "m"),
        "h": f"{hours}h",
    }
    return shown.get(unit) or _days(days, hours % 24)


def _two(large: int, large_unit: str, small: int, small_unit: str) -> str:
    return f"{large}{large_unit}" + (f"{small}{small_unit}" if small else "")


def _days(days: int, hours: int) -> str:
    week_and_a_day, two_years, eight_years = 8, 730, 2920
    if days < week_and_a_day:
        return _two(days, "d", hours, "h")
    if days < two_years:
        return f"{days}d"
    years = days * _DAY // _YEAR
    return _two(years, "y", days % 365, "d") if days < eight_years else f"{years}y"


def go_seconds(text: str) -> float:
    """Return the seconds of a duration as Go writes it: `1h30m`, `-1.5s`.

    Raises:
        ValueError: when it is none, in the words of Go.
    """
    rest = text[1:] if text[:1] in ("+", "-") else text
    if rest == "0":
        return 0.0
    total = 0.0
    if not rest:
        raise ValueError(f'time: invalid duration "{text}"')
    while rest:
        found = _GO_PART.match(rest)
        number, unit = (found[1], found[2]) if found is not None else ("", "")
        if not number.strip("."):
            raise ValueError(f'time: invalid duration "{text}"')
        if not unit:
            raise ValueError(f'time: missing unit in duration "{text}"')
        if unit not in _GO_UNITS:
            raise ValueError(f'time: unknown unit "{unit}" in duration "{text}"')
        total += float(number) * _GO_UNITS[unit]
        rest = rest[len(number) + len(unit) :]
    return -total if text.startswith("-") else total
