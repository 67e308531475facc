"""Freeze windows: times in which nothing new is written, once or every week, each in its own time zone."""

import datetime as dt
from typing import Annotated, Literal, cast
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, Field, model_validator

from midwatch_contracts.model import Model

Day = Literal["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]
DAYS: tuple[Day, ...] = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MIDNIGHT = dt.time()


def zone_of(name: str) -> dt.tzinfo:
    """Return a time zone by its IANA name.

    Raises:
        ValueError: for a name that this machine does not know.
    """
    if name == "UTC":
        return dt.UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(
            f"{name!r} is no time zone that this machine knows: write one such as Europe/Berlin or UTC "
            "(without system time zones, install the package tzdata)"
        ) from error


def _known_zone(name: str) -> str:
    zone_of(name)
    return name


class Freeze(Model):
    """`from` and `to` are two times of a day, every week on `days`, or two dates with times, once."""

    reason: str = Field(min_length=1)
    zone: Annotated[str, AfterValidator(_known_zone)] = "UTC"
    days: tuple[Day, ...] = DAYS
    """Days on which a window begins; one whose `to` is not later than its `from` ends on the day after."""
    from_: dt.datetime | dt.time = Field(default=_MIDNIGHT, alias="from")
    to: dt.datetime | dt.time = _MIDNIGHT

    @model_validator(mode="after")
    def _one_form(self) -> "Freeze":
        if isinstance(self.from_, dt.datetime) != isinstance(self.to, dt.datetime):
            raise ValueError("from and to are both times of a day (18:00) or both dates (2026-12-20T00:00:00Z)")
        if isinstance(self.from_, dt.datetime) and self._instant("from_") >= self._instant("to"):
            raise ValueError("to is not later than from, so the window never begins")
        return self

    def active(self, now: float) -> bool:
        """Say whether the window holds at `now`, in Unix seconds."""
        if isinstance(self.from_, dt.datetime) or isinstance(self.to, dt.datetime):
            return self._instant("from_") <= dt.datetime.fromtimestamp(now, dt.UTC) < self._instant("to")
        local = dt.datetime.fromtimestamp(now, zone_of(self.zone))
        today, yesterday = DAYS[local.weekday()], DAYS[local.weekday() - 1]
        clock = local.time()
        if self.from_ < self.to:
            return today in self.days and self.from_ <= clock < self.to
        return (today in self.days and clock >= self.from_) or (yesterday in self.days and clock < self.to)

    def _instant(self, name: str) -> dt.datetime:
        moment = cast("dt.datetime", getattr(self, name))
        return moment if moment.tzinfo is not None else moment.replace(tzinfo=zone_of(self.zone))

    def says(self) -> str:
        """Return the window in words."""
        if isinstance(self.from_, dt.datetime) or isinstance(self.to, dt.datetime):
            return f"{self._instant('from_').isoformat(' ')} to {self._instant('to').isoformat(' ')}: {self.reason}"
        days = "every day" if set(self.days) == set(DAYS) else ", ".join(self.days)
        until = "" if self.from_ < self.to else " of the next day"
        return f"{days} {self.from_:%H:%M} to {self.to:%H:%M}{until} ({self.zone}): {self.reason}"
