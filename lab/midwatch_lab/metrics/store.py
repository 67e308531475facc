"""The time-series store: samples in memory, in time order, for a while.

A series is two compact arrays, milliseconds and floats. Readers are handed copies of slices, so that no view can hold
an array while a scrape appends to it. A series ends with a staleness marker, the NaN that only Prometheus writes.
"""

import math
import struct
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from midwatch_contracts.promql import Matcher
from midwatch_lab.metrics.errors import OutOfOrderError
from midwatch_lab.metrics.labels import Labels, show
from midwatch_lab.metrics.patterns import pattern

STALE_BITS = 0x7FF0000000000002
STALE: float = struct.unpack(">d", STALE_BITS.to_bytes(8, "big"))[0]
"""The staleness marker. It is a NaN: test with `is_stale`, never with `==`."""


def is_stale(value: float) -> bool:
    """Say whether a value is the staleness marker (other NaNs are values)."""
    return math.isnan(value) and struct.pack(">d", value) == b"\x7f\xf0\x00\x00\x00\x00\x00\x02"


class Series:
    """One series: its labels and its samples, oldest first."""

    __slots__ = ("indexed", "labels", "lookup", "times", "values")

    def __init__(self, labels: Labels) -> None:
        self.labels = labels
        self.lookup = dict(labels)
        self.times = array("q")
        """Unix milliseconds, strictly rising."""
        self.values = array("d")
        self.indexed = False

    def between(self, after_ms: int, until_ms: int) -> "tuple[array[int], array[float]]":
        """Return copies of the samples in `(after_ms, until_ms]`."""
        low = bisect_right(self.times, after_ms)
        high = bisect_right(self.times, until_ms, low)
        return self.times[low:high], self.values[low:high]


@dataclass
class Store:
    """All series, found by label. `retention_s` is how long a sample is kept."""

    retention_s: float = 3600.0
    _series: dict[Labels, Series] = field(default_factory=dict[Labels, Series])
    _postings: dict[tuple[str, str], dict[Series, None]] = field(
        default_factory=dict[tuple[str, str], dict[Series, None]]
    )

    def __len__(self) -> int:
        return len(self._series)

    def series(self, labels: Labels) -> Series:
        """Return the series of a label set, made if there is none."""
        found = self._series.get(labels)
        if found is None:
            found = Series(labels)
            self._index(found)
        return found

    def append(self, series: Series, time_ms: int, value: float) -> None:
        """Add a sample.

        Raises:
            OutOfOrderError: when the series has a later sample, or another value at the same time.
        """
        if series.times and time_ms <= series.times[-1]:
            if time_ms == series.times[-1] and struct.pack("d", value) == struct.pack("d", series.values[-1]):
                return
            raise OutOfOrderError(
                f"a sample of {show(series.labels)} at {time_ms} ms comes after one at {series.times[-1]} ms"
            )
        if not series.indexed:
            self._index(series)
        series.times.append(time_ms)
        series.values.append(value)

    def select(self, matchers: Iterable[Matcher]) -> list[Series]:
        """Return the series that all matchers match, oldest series first.

        Raises:
            BadDataError: when a pattern is not one of RE2.
        """
        wanted = list(matchers)
        candidates: Iterable[Series] = self._series.values()
        smallest = len(self._series) + 1
        for matcher in wanted:
            if matcher.op == "=" and matcher.value:
                posting = self._postings.get((matcher.name, matcher.value))
                if posting is None:
                    return []
                if len(posting) < smallest:
                    candidates, smallest = posting, len(posting)
        tests = [_Test(matcher) for matcher in wanted]
        return [series for series in candidates if all(test.holds(series) for test in tests)]

    def prune(self, now_s: float) -> None:
        """Drop what is older than the retention, and series left without samples."""
        oldest = int((now_s - self.retention_s) * 1000)
        for series in list(self._series.values()):
            if series.times and series.times[0] > oldest:
                continue
            count = bisect_right(series.times, oldest)
            del series.times[:count]
            del series.values[:count]
            if not series.times:
                self._forget(series)

    def __iter__(self) -> Iterator[Series]:
        return iter(self._series.values())

    def _index(self, series: Series) -> None:
        self._series[series.labels] = series
        series.indexed = True
        for pair in series.labels:
            self._postings.setdefault(pair, {})[series] = None

    def _forget(self, series: Series) -> None:
        del self._series[series.labels]
        series.indexed = False
        for pair in series.labels:
            posting = self._postings[pair]
            del posting[series]
            if not posting:
                del self._postings[pair]


class _Test:
    """One matcher, ready to be tried on many series."""

    __slots__ = ("name", "negated", "pattern", "value")

    def __init__(self, matcher: Matcher) -> None:
        self.name, self.value = matcher.name, matcher.value
        self.negated = matcher.op in ("!=", "!~")
        self.pattern = pattern(matcher.value) if matcher.op in ("=~", "!~") else None

    def holds(self, series: Series) -> bool:
        found = series.lookup.get(self.name, "")
        matched = found == self.value if self.pattern is None else self.pattern.matches(found)
        return matched != self.negated
