"""The string formats that a structural schema may name (k8s.io/kube-openapi, pkg/validation/strfmt)."""

import base64
import binascii
import ipaddress
import re
from collections.abc import Callable
from datetime import date
from typing import Final
from urllib.parse import urlsplit

_DATE_TIME: Final = re.compile(r"(\d{4}-\d\d-\d\d)[Tt ](\d\d):(\d\d):(\d\d)(\.\d+)?([Zz]|[+-]\d\d:?\d\d)")
_DURATION_GO: Final = re.compile(r"[+-]?(0|((\d+(\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h))+)")
_DURATION_WORDS: Final = re.compile(
    r"\d+ *(nanoseconds?|nanos?|ns|microseconds?|micros?|us|µs|milliseconds?|millis?|ms|seconds?|secs?|s|minutes?|mins?"
    r"|m|hours?|hrs?|h|days?|d|weeks?|wks?|w)"
)
_UUID: Final = re.compile(r"[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}", re.IGNORECASE)
_EMAIL: Final = re.compile(r"[^@\s<>]+@[^@\s<>]+")
_LABEL: Final = r"[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
_HOST: Final = re.compile(rf"{_LABEL}|({_LABEL}\.)+[a-zA-Z]{{2,63}}")
_MAC: Final = re.compile(r"([0-9A-Fa-f]{2}[:-]){5}[0-9A-Fa-f]{2}|([0-9A-Fa-f]{4}\.){2}[0-9A-Fa-f]{4}")
_HEX_COLOR: Final = re.compile(r"#?([0-9a-fA-F]{3}|[0-9a-fA-F]{6})")
_RGB_COLOR: Final = re.compile(r"rgb\( *\d{1,3} *, *\d{1,3} *, *\d{1,3} *\)")
_HOST_MAX: Final = 253


def fits(name: str, text: str) -> bool:
    """Tell whether a text has a format; one that is not known fits everything."""
    check = _FORMATS.get(name)
    return check is None or check(text)


def _date(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def _date_time(text: str) -> bool:
    found = _DATE_TIME.fullmatch(text)
    if found is None or not _date(found[1]):
        return False
    return int(found[2]) < 24 and int(found[3]) < 60 and int(found[4]) < 61  # noqa: PLR2004 (hours, minutes, seconds)


def _duration(text: str) -> bool:
    return bool(_DURATION_GO.fullmatch(text) or _DURATION_WORDS.fullmatch(text))


def _address(version: int | None) -> Callable[[str], bool]:
    def check(text: str) -> bool:
        try:
            found = ipaddress.ip_address(text)
        except ValueError:
            return False
        return version is None or found.version == version

    return check


def _network(text: str) -> bool:
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        return False
    return "/" in text


def _uri(text: str) -> bool:
    try:
        found = urlsplit(text)
    except ValueError:
        return False
    return bool(found.scheme) or text.startswith("/")


def _byte(text: str) -> bool:
    try:
        base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        return False
    return True


def _hostname(text: str) -> bool:
    return len(text) <= _HOST_MAX and _HOST.fullmatch(text) is not None


def _matching(pattern: re.Pattern[str]) -> Callable[[str], bool]:
    return lambda text: pattern.fullmatch(text) is not None


_FORMATS: Final[dict[str, Callable[[str], bool]]] = {
    "date": _date,
    "date-time": _date_time,
    "datetime": _date_time,
    "duration": _duration,
    "uuid": _matching(_UUID),
    "uuid3": _matching(_UUID),
    "uuid4": _matching(_UUID),
    "uuid5": _matching(_UUID),
    "email": _matching(_EMAIL),
    "ipv4": _address(4),
    "ipv6": _address(6),
    "cidr": _network,
    "uri": _uri,
    "byte": _byte,
    "hostname": _hostname,
    "mac": _matching(_MAC),
    "hexcolor": _matching(_HEX_COLOR),
    "rgbcolor": _matching(_RGB_COLOR),
}
