"""Times and durations as text: RFC 3339 UTC with milliseconds in files, Unix seconds in code (CONTRACTS §2)."""

import re
from datetime import UTC, datetime

from midwatch_contracts.errors import ContractError

_MILLISECONDS = {
    "ms": 1,
    "s": 1000,
    "m": 60_000,
    "h": 3_600_000,
    "d": 86_400_000,
    "w": 604_800_000,
    "y": 31_536_000_000,
}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|[smhdwy])")


def rfc3339(seconds: float) -> str:
    """Return Unix seconds as `2026-01-02T03:04:05.678Z`."""
    text = datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def unix_seconds(text: str) -> float:
    """Read an RFC 3339 time.

    Raises:
        ContractError: when the text is no RFC 3339 time with a zone.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise ContractError(f"{text!r} is no RFC 3339 time such as 2026-01-02T03:04:05.000Z") from error
    if moment.tzinfo is None:
        raise ContractError(f"{text!r} has no time zone: write it in UTC with a Z at the end")
    return moment.timestamp()


def parse_duration(text: str) -> float:
    """Read a duration such as `90s`, `1m30s`, `500ms`, `1.5s` and return seconds.

    Raises:
        ContractError: when the text is no duration.
    """
    end = 0
    total = 0.0
    for part in _DURATION.finditer(text):
        if part.start() != end:
            break
        total += float(part[1]) * _MILLISECONDS[part[2]]
        end = part.end()
    if end == 0 or end != len(text):
        raise ContractError(f"{text!r} is no duration: write for example 90s, 5m or 1m30s")
    return total / 1000


def duration_text(seconds: float) -> str:
    """Return seconds as a PromQL duration of whole milliseconds at most: `20s`, `1m30s`, `500ms`."""
    rest = round(seconds * 1000)
    if rest == 0:
        return "0s"
    parts: list[str] = []
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)):
        count, rest = divmod(rest, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts)
