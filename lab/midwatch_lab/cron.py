"""Schedules of CronJobs: the five fields of cron, its `@` words and `@every`, as the original's parser reads them.

The original uses robfig/cron v3; what that accepts and how it words refusals is taken over, since both show in the API.
"""

import calendar
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Final
from zoneinfo import ZoneInfo

from midwatch_lab.errors import CronError
from midwatch_lab.kinds.durations import go_seconds

_MONTHS: Final = {name.lower(): index for index, name in enumerate(calendar.month_abbr) if name}
_DAYS: Final = {name: index for index, name in enumerate(("sun", "mon", "tue", "wed", "thu", "fri", "sat"))}
_BOUNDS: Final[tuple[tuple[int, int, dict[str, int]], ...]] = (
    (0, 59, {}), (0, 23, {}), (1, 31, {}), (1, 12, _MONTHS), (0, 6, _DAYS)
)  # fmt: skip
"""Least value, greatest value and names of minute, hour, day of month, month and day of week."""
_WORDS: Final = {
    "@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *", "@monthly": "0 0 1 * *", "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@hourly": "0 * * * *",
}  # fmt: skip
_YEARS: Final = 5
_HOUR: Final = 3600
_MINUTE: Final = 60
_INT_MAX: Final = 2**63 - 1


@dataclass(frozen=True)
class Field:
    """The values of one field; `star` tells that it restricts nothing, which counts where two kinds of day meet."""

    values: frozenset[int]
    star: bool


@dataclass(frozen=True)
class Schedule:
    """When something is due: by fields in a time zone, or every so many seconds."""

    fields: tuple[Field, ...]
    zone: tzinfo
    every: int = 0

    def after(self, moment: float) -> float | None:
        """Return the next time (Unix seconds) that is due after a moment; None where none comes within five years."""
        if self.every:
            return float(int(moment) + self.every)
        first = datetime.fromtimestamp(moment, self.zone).date()
        for number in range(366 * _YEARS):
            day = first + timedelta(days=number)
            if self._is_due(day):
                found = next((due for due in self._times(day) if due > moment), None)
                if found is not None:
                    return float(found)
        return None

    def _is_due(self, day: date) -> bool:
        _, _, days, months, weekdays = self.fields
        if day.month not in months.values:
            return False
        by_month, by_week = day.day in days.values, day.isoweekday() % 7 in weekdays.values
        return (by_month and by_week) if days.star or weekdays.star else (by_month or by_week)

    def _times(self, day: date) -> Iterator[int]:
        """Yield the due times of a day; an hour that summer time skips is not there, one that it repeats is twice."""
        minutes, hours = self.fields[:2]
        start, end = (self._midnight(day + timedelta(days=plus)) for plus in (0, 1))
        for hour in range(start, end, _HOUR):
            if datetime.fromtimestamp(hour, self.zone).hour not in hours.values:
                continue
            yield from (hour + minute * _MINUTE for minute in sorted(minutes.values))

    def _midnight(self, day: date) -> int:
        return int(datetime(day.year, day.month, day.day, tzinfo=self.zone).timestamp())


def parse(text: str, zone: str = "") -> Schedule:
    """Read a schedule; `zone` names a time zone, UTC where it is empty.

    Raises:
        CronError: when it is none, in the original's words.
    """
    home = time_zone(zone) if zone else UTC
    if text.startswith(("TZ=", "CRON_TZ=")):
        name, space, text = text.partition("=")[2].partition(" ")
        if not space:
            raise CronError("invalid schedule format: runtime error: slice bounds out of range [:-1]")
        if name:
            try:
                home = time_zone(name)
            except CronError as error:
                raise CronError(f"provided bad location {name}: {error}") from error
        text = text.strip()
    if text.startswith("@"):
        return _by_word(text, home)
    words = text.split()
    if len(words) != len(_BOUNDS):
        raise CronError(f"expected exactly {len(_BOUNDS)} fields, found {len(words)}: [{' '.join(words)}]")
    return Schedule(tuple(_field(word, *bounds) for word, bounds in zip(words, _BOUNDS, strict=True)), home)


def _by_word(text: str, home: tzinfo) -> Schedule:
    if text in _WORDS:
        return parse(_WORDS[text]) if home is UTC else Schedule(parse(_WORDS[text]).fields, home)
    if not text.startswith("@every "):
        raise CronError(f"unrecognized descriptor: {text}")
    try:
        seconds = go_seconds(text.removeprefix("@every "))
    except ValueError as error:
        raise CronError(f"failed to parse duration {text}: {error}") from error
    return Schedule((), home, max(1, int(seconds)))


def time_zone(name: str) -> tzinfo:
    """Return a time zone of the IANA database.

    Raises:
        CronError: when there is none of that name.
    """
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise CronError(f"unknown time zone {name}") from error


def _field(text: str, low: int, high: int, names: dict[str, int]) -> Field:
    values: set[int] = set()
    star = False
    for part in text.split(","):
        if part:
            found, open_ended = _range(part, low, high, names)
            values.update(found)
            star = star or open_ended
    return Field(frozenset(values), star)


def _range(text: str, low: int, high: int, names: dict[str, int]) -> tuple[range, bool]:
    span, *steps = text.split("/")
    first, *lasts = span.split("-")
    star = first in ("*", "?")
    start, end = low, high
    if not star:
        start = _number(first, names)
        if len(lasts) > 1:
            raise CronError(f"too many hyphens: {text}")
        end = _number(lasts[0], names) if lasts else start
    if len(steps) > 1:
        raise CronError(f"too many slashes: {text}")
    step = 1
    if steps:
        step = _number(steps[0], {})
        if not lasts:
            end = high
    if start < low:
        raise CronError(f"beginning of range ({start}) below minimum ({low}): {text}")
    if end > high:
        raise CronError(f"end of range ({end}) above maximum ({high}): {text}")
    if start > end:
        raise CronError(f"beginning of range ({start}) beyond end of range ({end}): {text}")
    if not step:
        raise CronError(f"step of range should be a positive number: {text}")
    return range(start, end + 1, step), star and step == 1


def _number(text: str, names: dict[str, int]) -> int:
    if text.lower() in names:
        return names[text.lower()]
    digits = text.removeprefix("+")
    if not (digits.isascii() and digits.isdigit()):
        raise CronError(f'failed to parse int from {text}: strconv.Atoi: parsing "{text}": invalid syntax')
    if int(digits) > _INT_MAX:
        raise CronError(f'failed to parse int from {text}: strconv.Atoi: parsing "{text}": value out of range')
    return int(digits)
