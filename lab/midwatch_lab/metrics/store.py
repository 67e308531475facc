"""The time-series store: samples in memory, in time order, for a while.

A series is a list of sealed chunks and an open run behind them (`chunks`). Readers are handed sealed columns, which no
one may write to, and copies of open runs, so that no view can hold an array while a scrape appends to it. A series ends
with a staleness marker, the NaN that only Prometheus writes.

Samples of a series come in the order of time or not at all, as in a Prometheus without an out-of-order window. How far
a remote write may lie behind all other samples is the receiver's to judge, before the first of its own is written.
"""

import math
import struct
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

from midwatch_contracts.promql import Matcher
from midwatch_lab.metrics.chunks import CHUNK, Chunk, Columns, Piece, Span, seal
from midwatch_lab.metrics.errors import DuplicateSampleError, IntegrityError, OutOfOrderError
from midwatch_lab.metrics.label_matching import CompiledMatcher
from midwatch_lab.metrics.labels import Labels, show

STALE_BITS = 0x7FF0000000000002
STALE: float = struct.unpack(">d", STALE_BITS.to_bytes(8, "big"))[0]
"""The staleness marker. It is a NaN: test with `is_stale`, never with `==`."""
_NEVER: Final = -(2**63)
_OPEN_BYTES: Final = 16
_SERIES_BYTES: Final = 1500
"""What a series takes beside its samples: labels, look-ups and postings; measured with tracemalloc, about."""


def is_stale(value: float) -> bool:
    """Say whether a value is the staleness marker (other NaNs are values)."""
    return math.isnan(value) and struct.pack(">d", value) == b"\x7f\xf0\x00\x00\x00\x00\x00\x02"


class Series:
    """One series: its labels and its samples, oldest first. `run_times` and `run_values` are the open run."""

    __slots__ = ("chunks", "indexed", "labels", "last_ms", "lookup", "run_times", "run_values")

    def __init__(self, labels: Labels) -> None:
        self.labels = labels
        self.lookup = dict(labels)
        self.chunks: list[Chunk] = []
        self.run_times = array("q")
        """Unix milliseconds, strictly rising."""
        self.run_values = array("d")
        self.last_ms = _NEVER
        """The time of the newest sample that there ever was."""
        self.indexed = False

    def __len__(self) -> int:
        return sum(len(chunk.times) for chunk in self.chunks) + len(self.run_times)

    def __bool__(self) -> bool:
        return bool(self.chunks or self.run_times)

    @property
    def first_ms(self) -> int | None:
        """The time of the oldest sample that is kept."""
        if self.chunks:
            return self.chunks[0].start
        return self.run_times[0] if self.run_times else None

    @property
    def chunk_count(self) -> int:
        """How many chunks there are, an open run among them."""
        return len(self.chunks) + bool(self.run_times)

    @property
    def last(self) -> float:
        """The newest value of a series that has one."""
        return self.run_values[-1] if self.run_values else float(self.chunks[-1].values[-1])

    def pieces(self, span: Span) -> list[Piece]:
        """Return the samples within a span as stretches in the order of time, none of them empty."""
        found: list[Piece] = []
        chunks = self.chunks
        if chunks and chunks[-1].end > span.after_ms:
            for number in range(bisect_right(chunks, span.after_ms, key=_end), len(chunks)):
                chunk = chunks[number]
                if chunk.start > span.until_ms:
                    return found
                piece = span.of_chunk(chunk)
                if len(piece.times):
                    found.append(piece)
        if self.run_times and self.last_ms > span.after_ms:
            piece = span.of_run(self.run_times, self.run_values)
            if len(piece.times):
                found.append(piece)
        return found

    def between(self, after_ms: int, until_ms: int) -> list[tuple[int, float]]:
        """Return the samples in `(after_ms, until_ms]`: times (ms) and values."""
        found = self.pieces(Span(after_ms, until_ms))
        return [pair for one in found for pair in zip(one.times.tolist(), one.values.tolist(), strict=True)]

    def samples(self) -> list[tuple[int, float]]:
        """Return all samples: times (ms) and values."""
        return self.between(_NEVER, self.last_ms)


def _end(chunk: Chunk) -> int:
    return chunk.end


@dataclass
class Store:
    """All series, found by label."""

    retention_s: float = 3600.0
    """How long a sample is kept. Sealed chunks go whole, so the oldest samples stay a little longer."""
    retention_bytes: int | None = None
    """How large the samples may grow: beyond it the oldest chunks go. Open runs and labels stay."""
    newest_ms: int | None = None
    """The time of the newest sample of all that there ever was."""
    _series: dict[Labels, Series] = field(default_factory=dict[Labels, Series])
    _postings: dict[tuple[str, str], dict[Series, None]] = field(
        default_factory=dict[tuple[str, str], dict[Series, None]]
    )
    _columns: Columns = field(default_factory=Columns)
    _sealed_bytes: int = 0
    _open: int = 0
    """Samples that are not sealed yet."""

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
        refused = self.extend((series,), time_ms, (value,))
        if refused:
            raise refused[0]

    def extend(self, series: Iterable[Series], time_ms: int, values: Iterable[float]) -> list[OutOfOrderError]:
        """Add a sample to each of many series, all at one time; return why those that are left out are."""
        if self.newest_ms is None or time_ms > self.newest_ms:
            self.newest_ms = time_ms
        refused: list[OutOfOrderError] = []
        taken = 0
        for one, value in zip(series, values, strict=True):
            if one.last_ms >= time_ms:
                refused += _late(one, time_ms, value)
                continue
            if not one.indexed:
                self._index(one)
            one.run_times.append(time_ms)
            one.run_values.append(value)
            one.last_ms = time_ms
            taken += 1
            if len(one.run_times) == CHUNK:
                self._seal(one)
        self._open += taken
        return refused

    def select(self, matchers: Iterable[Matcher]) -> list[Series]:
        """Return the series that all matchers match, oldest series first.

        Raises:
            BadDataError: when a pattern is not one of RE2.
        """
        wanted = list(matchers)
        candidates: Iterable[Series] = self._series.values()
        smallest, narrowest = len(self._series) + 1, None
        for matcher in wanted:
            if matcher.op == "=" and matcher.value:
                posting = self._postings.get((matcher.name, matcher.value))
                if posting is None:
                    return []
                if len(posting) < smallest:
                    candidates, smallest, narrowest = posting, len(posting), matcher
        for matcher in wanted:
            if matcher is not narrowest:
                test = CompiledMatcher(matcher)
                candidates = [series for series in candidates if test.holds(series.lookup)]
        return list(candidates)

    def prune(self, now_s: float) -> None:
        """Drop what is older than the retention or does not fit it, and series left without samples."""
        oldest = int((now_s - self.retention_s) * 1000)
        for series in list(self._series.values()):
            if series.chunks:
                if series.chunks[0].end > oldest:
                    continue
                self._drop(series, oldest)
            if series.run_times and series.run_times[0] <= oldest and not series.chunks:
                count = bisect_right(series.run_times, oldest)
                del series.run_times[:count]
                del series.run_values[:count]
                self._open -= count
            if not series:
                self._forget(series)
        if self.retention_bytes is not None and self.size_bytes() > self.retention_bytes:
            self._shrink(self.size_bytes() - self.retention_bytes)

    def size_bytes(self) -> int:
        """Return about how much memory samples and series take: within a tenth of what tracemalloc says."""
        return self._sealed_bytes + self._columns.size + self._open * _OPEN_BYTES + len(self._series) * _SERIES_BYTES

    def check_integrity(self) -> None:
        """Check what must always hold; tests call it after every step.

        Raises:
            IntegrityError: says what does not.
        """
        sealed = opened = 0
        for labels, series in self._series.items():
            wrong = _wrong(series)
            if series.labels != labels or not series.indexed:
                wrong = "it is filed under other labels"
            if not all(series in self._postings[pair] for pair in labels):
                wrong = "it is not found by its labels"
            if wrong is not None:
                raise IntegrityError(f"the series {show(series.labels)}: {wrong}")
            sealed += sum(chunk.size for chunk in series.chunks)
            opened += len(series.run_times)
        if opened != self._open:
            raise IntegrityError(f"{opened} samples are not sealed, {self._open} are counted")
        if sealed != self._sealed_bytes:
            raise IntegrityError(f"{sealed} bytes are sealed, {self._sealed_bytes} are counted")
        if sum(map(len, self._postings.values())) != sum(map(len, self._series)):
            raise IntegrityError("the postings name series that are gone")

    def __iter__(self) -> Iterator[Series]:
        return iter(self._series.values())

    def _seal(self, series: Series) -> None:
        chunk = seal(series.run_times, series.run_values, self._columns)
        series.chunks.append(chunk)
        series.run_times, series.run_values = array("q"), array("d")
        self._sealed_bytes += chunk.size
        self._open -= CHUNK

    def _drop(self, series: Series, oldest: int) -> None:
        """Drop the chunks of a series that end by `oldest` (ms)."""
        gone = bisect_right(series.chunks, oldest, key=_end)
        if gone:
            self._sealed_bytes -= sum(chunk.size for chunk in series.chunks[:gone])
            del series.chunks[:gone]

    def _shrink(self, excess: int) -> None:
        """Drop the oldest chunks of all until they were `excess` bytes."""
        oldest = _NEVER
        for end, size in sorted((chunk.end, chunk.size) for series in self for chunk in series.chunks):
            oldest, excess = end, excess - size
            if excess <= 0:
                break
        for series in list(self._series.values()):
            self._drop(series, oldest)
            if not series:
                self._forget(series)

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


def _wrong(series: Series) -> str | None:
    """Return what is wrong with the samples of a series."""
    times = [at for at, _ in series.samples()]
    if len(times) != len(series):
        return f"it has {len(times)} samples and says {len(series)}"
    if any(later <= sooner for sooner, later in pairwise(times)):
        return "its times do not rise"
    if times and times[-1] != series.last_ms:
        return f"its newest sample is at {times[-1]} ms, and it says {series.last_ms}"
    if len(series.run_times) >= CHUNK or len(series.run_times) != len(series.run_values):
        return f"its open run has {len(series.run_times)} times and {len(series.run_values)} values"
    return None


def _late(series: Series, time_ms: int, value: float) -> list[OutOfOrderError]:
    """Return why a sample that is no newer than the series' newest is refused; nothing for the same sample again."""
    if time_ms < series.last_ms:
        return [
            OutOfOrderError(f"a sample of {show(series.labels)} at {time_ms} ms comes after one at {series.last_ms} ms")
        ]
    if not series or struct.pack("d", value) == struct.pack("d", series.last):
        return []
    return [DuplicateSampleError(f"a sample of {show(series.labels)} has another value at {time_ms} ms already")]
