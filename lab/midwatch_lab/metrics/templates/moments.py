"""Times and durations in templates: what `toTime` and `toDuration` give, and their methods."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from midwatch_lab.metrics.errors import TemplateError
from midwatch_lab.metrics.templates.values import Value, type_name

_SECOND: Final = 1_000_000_000
_LARGEST: Final = 2**63
_NOON: Final = 12
_MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
_DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
_LAYOUT = re.compile(
    r"January|Jan|Monday|Mon|MST|2006|Z07:00|Z0700|-07:00|-0700|-07|[.,]0+(?!\d)|[.,]9+(?!\d)|PM|pm|002|01|02|03|04|05"
    r"|06|15|_2|1|2|3|4|5"
)


class Named(int):
    """A number that is written as a word: a month or a day of the week."""

    word: str
    go_type: str

    @classmethod
    def of(cls, value: int, word: str, go_type: str) -> "Named":
        """Return `value`, written as `word`."""
        found = cls(value)
        found.word, found.go_type = word, go_type
        return found

    def __str__(self) -> str:
        return self.word


@dataclass(frozen=True, order=True)
class Span:
    """A duration. `nanoseconds` is whole."""

    nanoseconds: int
    go_type = "time.Duration"

    @classmethod
    def of(cls, seconds: float) -> "Span":
        """Return a duration of so many seconds.

        Raises:
            TemplateError: when Go cannot hold it.
        """
        return cls(_nanoseconds(seconds, "duration"))

    @property
    def seconds(self) -> float:
        """How many seconds it lasts."""
        return self.nanoseconds / _SECOND

    def method(self, name: str, arguments: Sequence[Value]) -> Value:
        """Call one of Go's methods of a duration."""
        found: dict[str, Callable[[], Value]] = {
            "Hours": lambda: self.seconds / 3600,
            "Minutes": lambda: self.seconds / 60,
            "Seconds": lambda: self.seconds,
            "Milliseconds": lambda: _toward_zero(self.nanoseconds, 1_000_000),
            "Microseconds": lambda: _toward_zero(self.nanoseconds, 1000),
            "Nanoseconds": lambda: self.nanoseconds,
            "Abs": lambda: Span(abs(self.nanoseconds)),
            "String": lambda: str(self),
        }
        return _without_arguments(self, found, name, arguments)

    def __str__(self) -> str:
        whole = abs(self.nanoseconds)
        sign = "-" if self.nanoseconds < 0 else ""
        if whole == 0:
            return "0s"
        if whole < _SECOND:
            unit, size = next(u for u in (("ms", 1_000_000), ("µs", 1000), ("ns", 1)) if whole >= u[1])
            return f"{sign}{_decimal(whole, size)}{unit}"
        minutes, rest = divmod(whole, 60 * _SECOND)
        hours, minutes = divmod(minutes, 60)
        leading = f"{hours}h{minutes}m" if hours else f"{minutes}m" if minutes else ""
        return f"{sign}{leading}{_decimal(rest, _SECOND)}s"


@dataclass(frozen=True, order=True)
class Moment:
    """A time in UTC, in nanoseconds since 1970."""

    nanoseconds: int
    go_type = "time.Time"

    @classmethod
    def of(cls, seconds: float) -> "Moment":
        """Return a time of whole milliseconds, as Prometheus makes one of Unix seconds.

        Raises:
            TemplateError: when Go cannot hold it.
        """
        return cls(_toward_zero(_nanoseconds(seconds, "time"), 1_000_000) * 1_000_000)

    @property
    def at(self) -> datetime:
        """The time without what is smaller than a second."""
        return datetime.fromtimestamp(self.nanoseconds // _SECOND, UTC)

    def method(self, name: str, arguments: Sequence[Value]) -> Value:  # noqa: PLR0911 (one return a shape of method)
        """Call one of Go's methods of a time."""
        match name, arguments:
            case "Format", [str(layout)]:
                return self.formatted(layout)
            case "Add", [Span() as span]:
                return Moment(self.nanoseconds + span.nanoseconds)
            case "Sub", [Moment() as other]:
                return Span(self.nanoseconds - other.nanoseconds)
            case "Before", [Moment() as other]:
                return self < other
            case "After", [Moment() as other]:
                return self > other
            case "Equal", [Moment() as other]:
                return self == other
            case _:
                return _without_arguments(self, self._plain(), name, arguments)

    def _plain(self) -> dict[str, Callable[[], Value]]:
        at = self.at
        return {
            "Unix": lambda: self.nanoseconds // _SECOND,
            "UnixMilli": lambda: self.nanoseconds // 1_000_000,
            "UnixMicro": lambda: self.nanoseconds // 1000,
            "UnixNano": lambda: self.nanoseconds,
            "Year": lambda: at.year,
            "Month": lambda: Named.of(at.month, _MONTHS[at.month - 1], "time.Month"),
            "Day": lambda: at.day,
            "Hour": lambda: at.hour,
            "Minute": lambda: at.minute,
            "Second": lambda: at.second,
            "Nanosecond": lambda: self.nanoseconds % _SECOND,
            "Weekday": lambda: Named.of(at.isoweekday() % 7, _DAYS[at.weekday()], "time.Weekday"),
            "YearDay": lambda: at.timetuple().tm_yday,
            "UTC": lambda: self,
            "String": lambda: str(self),
        }

    def formatted(self, layout: str) -> str:
        """Return the time in Go's layout: the reference time is `Mon Jan 2 15:04:05 MST 2006`."""
        at, below = self.at, f"{self.nanoseconds % _SECOND:09d}"
        texts = {
            "2006": f"{at.year:04d}",
            "06": f"{at.year % 100:02d}",
            "01": f"{at.month:02d}",
            "1": f"{at.month}",
            "January": _MONTHS[at.month - 1],
            "Jan": _MONTHS[at.month - 1][:3],
            "Monday": _DAYS[at.weekday()],
            "Mon": _DAYS[at.weekday()][:3],
            "02": f"{at.day:02d}",
            "_2": f"{at.day:2d}",
            "2": f"{at.day}",
            "002": f"{at.timetuple().tm_yday:03d}",
            "15": f"{at.hour:02d}",
            "MST": "UTC",
            "03": f"{at.hour % 12 or 12:02d}",
            "3": f"{at.hour % 12 or 12}",
            "04": f"{at.minute:02d}",
            "4": f"{at.minute}",
            "05": f"{at.second:02d}",
            "5": f"{at.second}",
            "PM": "PM" if at.hour >= _NOON else "AM",
            "pm": "pm" if at.hour >= _NOON else "am",
            "Z07:00": "Z",
            "Z0700": "Z",
            "-07:00": "+00:00",
            "-0700": "+0000",
            "-07": "+00",
        }

        def part(found: re.Match[str]) -> str:
            mark = found[0]
            if mark[0] not in ".,":
                return texts[mark]
            digits = below[: len(mark) - 1]
            if mark[1] == "0":
                return mark[0] + digits
            kept = digits.rstrip("0")
            return mark[0] + kept if kept else ""

        return _LAYOUT.sub(part, layout)

    def __str__(self) -> str:
        return self.formatted("2006-01-02 15:04:05.999999999 -0700 MST")


def _without_arguments(
    value: Value, found: dict[str, Callable[[], Value]], name: str, arguments: Sequence[Value]
) -> Value:
    if name not in found:
        raise TemplateError(f"a {type_name(value)} has no method {name} that takes {len(arguments)} such arguments")
    if arguments:
        raise TemplateError(f"the method {name} of a {type_name(value)} takes no arguments")
    return found[name]()


def _nanoseconds(seconds: float, what: str) -> int:
    exact = seconds * 1e9
    if not -_LARGEST <= exact < _LARGEST:
        raise TemplateError(f"{seconds!r} seconds are no {what} that can be shown")
    return int(exact)


def _toward_zero(value: int, size: int) -> int:
    return value // size if value >= 0 else -(-value // size)


def _decimal(value: int, size: int) -> str:
    whole, rest = divmod(value, size)
    below = f"{rest:0{len(str(size)) - 1}d}".rstrip("0") if rest else ""
    return f"{whole}.{below}" if below else str(whole)
