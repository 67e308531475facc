"""Series that the lab computes of its own objects, collected at every scrape without looking twice at what is the same.

A sample of every series in every scrape would be gigabytes an hour in a lab of thousands of objects. So what changed
is written at once, and what did not in turns: all in every scrape of a small lab, a part in each of a large one.
"""

from collections import deque
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from midwatch_lab.metrics.errors import OutOfOrderError
from midwatch_lab.metrics.labels import NAME
from midwatch_lab.metrics.store import STALE, Series, Store

Gauge = tuple[str, dict[str, str], float]
"""Name, labels and value of a series that the lab computes itself."""

A_SCRAPE: Final = 2000
"""Unchanged series that are written in one scrape, or more in a lab so large that a series' turn comes too seldom."""
_TURNS_MAX: Final = 120
"""Scrapes until each series has had its turn, at most: well within the five minutes that a query looks back."""


class Group(NamedTuple):
    """The gauges of one object, which `read` reads from its `state`: the same one as before where they are the same."""

    place: Hashable
    state: Any
    """None for an object that is gone."""
    read: Callable[[Any], Iterable[Gauge]]
    measured: bool = False
    """Whether values are of the moment at which they were read, and so are not written again: a counter that is
    measured every five seconds and written every second would have no rate in four of them."""


@dataclass
class _Held:
    state: object
    written: int
    samples: list[tuple[Series, float]]
    gone: bool = False


@dataclass
class Gauges:
    """What was collected, by the place of its object. `base` are labels of all series, where a series has no own."""

    store: Store
    base: Mapping[str, str] = field(default_factory=dict[str, str])
    size: int = 0
    """How many series there are."""
    faults: dict[Hashable, str] = field(default_factory=dict[Hashable, str])
    """Why an object has no series, by its place."""
    _held: dict[Hashable, _Held] = field(default_factory=dict[Hashable, _Held])
    _turns: deque[_Held] = field(default_factory=deque[_Held])

    def collect(self, groups: Iterable[Group], at: int, *, whole: bool = True) -> int:
        """Write the gauges at a time (Unix ms), and end the series that are gone with a staleness marker.

        Where the groups are the `whole`, an object that is not among them is gone; else the others are as they were.
        Returns how many series are new.
        """
        seen: set[Hashable] = set()
        gone: list[Hashable] = []
        added = 0
        for group in groups:
            if group.state is None:
                gone.append(group.place)
                continue
            if whole:
                seen.add(group.place)
            held = self._held.get(group.place)
            if held is None or held.state is not group.state:
                added += self._take(group, held, at)
        if whole and len(seen) != len(self._held):
            gone += [place for place in self._held if place not in seen]
        # Last, so that a marker does not take the place of what the successor of an object has just written.
        for place in gone:
            self._drop(place, at)
        self._write_unchanged(at)
        return added

    def _take(self, group: Group, held: _Held | None, at: int) -> int:
        samples = self._read(group)
        before = held.samples if held is not None else []
        if held is None:
            held = self._held[group.place] = _Held(group.state, at, samples)
            if not group.measured:
                self._turns.append(held)
        else:
            held.state, held.samples, held.written = group.state, samples, at
        self._write(held, at)
        live = {series for series, _ in samples}
        gone = [series for series, _ in before if series not in live]
        self.store.extend(gone, at, [STALE] * len(gone))
        self.size += len(samples) - len(before)
        return len(samples) - len(before) + len(gone)

    def _read(self, group: Group) -> list[tuple[Series, float]]:
        try:
            gauges = list(group.read(group.state))
        except Exception as error:  # noqa: BLE001 (the boundary of an object: a fault in one must not end the others)
            self.faults[group.place] = f"{group.place}: {type(error).__name__}: {error}"
            return []
        self.faults.pop(group.place, None)
        # The series of an object have most of their labels in common, which then are the same tuples.
        pairs: dict[tuple[str, str], tuple[str, str]] = {}
        found: list[tuple[Series, float]] = []
        for name, labels, value in gauges:
            whole = {**self.base, **labels, NAME: name}
            shared = [pairs.setdefault(pair, pair) for pair in whole.items() if pair[1]]
            found.append((self.store.series(tuple(sorted(shared))), value))
        return found

    def _drop(self, place: Hashable, at: int) -> None:
        held = self._held.pop(place, None)
        self.faults.pop(place, None)
        if held is None:
            return
        held.gone = True
        self.size -= len(held.samples)
        self.store.extend([series for series, _ in held.samples], at, [STALE] * len(held.samples))

    def _write_unchanged(self, at: int) -> None:
        room = max(A_SCRAPE, self.size // _TURNS_MAX)
        for _ in range(len(self._turns)):
            held = self._turns.popleft()
            if held.gone:
                continue
            self._turns.append(held)
            if held.written != at:
                self._write(held, at)
                room -= len(held.samples)
                if room <= 0:
                    break

    def _write(self, held: _Held, at: int) -> None:
        held.written = at
        self.store.extend([series for series, _ in held.samples], at, [value for _, value in held.samples])


def append(store: Store, series: Series, at: int, value: float) -> bool:
    """Add a sample; one that comes too late or twice is left out, as Prometheus does (it only counts them)."""
    try:
        store.append(series, at, value)
    except OutOfOrderError:
        return False
    return True
