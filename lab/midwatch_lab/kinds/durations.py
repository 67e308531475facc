"""Durations as kubectl shows them."""

import math
from typing import Final

_AGES: Final[tuple[tuple[float, str], ...]] = ((120, "s"), (600, "ms"), (10_800, "m"), (28_800, "hm"), (172_800, "h"))
_DAY: Final = 86_400
_YEAR: Final = 365 * _DAY


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
