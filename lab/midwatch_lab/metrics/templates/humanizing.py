"""Numbers for people, as Prometheus's templates write them."""

import math
from typing import Final

from midwatch_lab.metrics.numbers import special
from midwatch_lab.metrics.templates.moments import Moment

_LARGE: Final = ("", "k", "M", "G", "T", "P", "E", "Z", "Y")
_SMALL: Final = ("", "m", "u", "n", "p", "f", "a", "z", "y")
_BINARY: Final = ("", "ki", "Mi", "Gi", "Ti", "Pi", "Ei", "Zi", "Yi")


def _four(value: float) -> str:
    return special(value) or format(value, ".4g")


def _scaled(value: float, prefixes: tuple[str, ...], base: float) -> str:
    place = 0
    while place < len(prefixes) - 1 and abs(value) >= base:
        place, value = place + 1, value / base
    return _four(value) + prefixes[place]


def _below_one(value: float) -> str:
    place = 0
    while place < len(_SMALL) - 1 and abs(value) < 1:
        place, value = place + 1, value * 1000
    return _four(value) + _SMALL[place]


def humanize(given: float) -> str:
    """Return a number with a metric prefix: `1.235M`."""
    if given == 0 or not math.isfinite(given):
        return _four(given)
    return _scaled(given, _LARGE, 1000) if abs(given) >= 1 else _below_one(given)


def humanize_1024(given: float) -> str:
    """Return a number with a binary prefix: `1.5Gi`."""
    return _four(given) if abs(given) <= 1 or not math.isfinite(given) else _scaled(given, _BINARY, 1024)


def humanize_duration(given: float) -> str:
    """Return seconds as days, hours, minutes and seconds, or as a fraction of one."""
    if not math.isfinite(given):
        return _four(given)
    if abs(given) < 1:
        return (_below_one(given) if given else "0") + "s"
    sign, given = "-" if given < 0 else "", abs(given)
    minutes, seconds = divmod(int(given), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{sign}{days}d {hours}h {minutes}m {seconds}s"
    if hours:
        return f"{sign}{hours}h {minutes}m {seconds}s"
    return f"{sign}{minutes}m {seconds}s" if minutes else f"{sign}{_four(given)}s"


def humanize_percentage(given: float) -> str:
    """Return a ratio as a percentage."""
    return f"{_four(given * 100)}%"


def humanize_timestamp(given: float) -> str:
    """Return Unix seconds as a time."""
    return str(Moment.of(given)) if math.isfinite(given) else _four(given)
