"""Series that the lab computes of its own objects, collected at every scrape without looking twice at what is the same.

A sample of every series in every scrape would be gigabytes an hour in a lab of thousands of objects. So what changed
is written at once, and what did not in turns: all in every scrape of a small lab, a part in each of a large one.
"""

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from midwatch_lab.metrics.errors import OutOfOrderError
from midwatch_lab.metrics.labels import NAME, from_dict
from midwatch_lab.metrics.store import STALE, Series, Store

Gauge = tuple[str, dict[str, str], float]
"""Name, labels and value of a series that the lab computes itself."""

A_SCRAPE: Final = 2000
"""Unchanged series that are written in one scrape."""


class Group(NamedTuple):
    """The gauges of one object, which `read` reads from its `state`: the same one as before where they are the same."""

    place: Hashable
    state: Any
    read: Callable[[Any], Iterable[Gauge]]


@dataclass
class _Held:
    state: object
    turn: int
    samples: list[tuple[Series, float]] = field(default_factory=list[tuple[Series, float]])


@dataclass
class Gauges:
    """What was collected, by the place of its object."""

    store: Store
    _held: dict[Hashable, _Held] = field(default_factory=dict[Hashable, _Held])
    _scrapes: int = 0
    _begun: int = 0

    def collect(self, groups: Iterable[Group], at: int) -> None:
        """Write the gauges at a time (Unix ms), and end the series that are gone with a staleness marker."""
        before, self._held = self._held, {}
        turns = 1 + sum(len(held.samples) for held in before.values()) // A_SCRAPE
        self._scrapes += 1
        for group in groups:
            held = before.pop(group.place, None)
            if held is None or held.state is not group.state:
                held = self._read(group, held, at)
            elif (self._scrapes + held.turn) % turns == 0:
                self._write(held, at)
            self._held[group.place] = held
        for held in before.values():
            for series, _ in held.samples:
                append(self.store, series, at, STALE)

    def _read(self, group: Group, before: _Held | None, at: int) -> _Held:
        if before is None:
            self._begun += 1
        held = _Held(group.state, self._begun if before is None else before.turn)
        for name, labels, value in group.read(group.state):
            held.samples.append((self.store.series(from_dict({**labels, NAME: name})), value))
        live = {series for series, _ in held.samples}
        for series, _ in before.samples if before is not None else ():
            if series not in live:
                append(self.store, series, at, STALE)
        self._write(held, at)
        return held

    def _write(self, held: _Held, at: int) -> None:
        for series, value in held.samples:
            append(self.store, series, at, value)


def append(store: Store, series: Series, at: int, value: float) -> bool:
    """Add a sample; one that comes too late or twice is left out, as Prometheus does (it only counts them)."""
    try:
        store.append(series, at, value)
    except OutOfOrderError:
        return False
    return True
