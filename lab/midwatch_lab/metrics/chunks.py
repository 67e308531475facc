"""Runs of samples of one series: an open one that grows, and sealed ones that do not change any more.

A sealed chunk is two NumPy columns. Series that are scraped together have the same times, so their chunks share one
column of times. A column of values that are all the same holds one, and one whose values all fit into 32 bits, as a
counter's below 16 million do, holds these. That leaves 8 or 4 bytes a sample of a series that moves, and next to
nothing of one that does not.
"""

from array import array
from bisect import bisect_right
from collections.abc import Hashable
from typing import Final, NamedTuple
from weakref import WeakValueDictionary

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Values = npt.NDArray[np.float64] | npt.NDArray[np.float32]
"""A column as it is held; a reader makes it one of 64 bits."""

CHUNK: Final = 120
"""Samples of a sealed chunk, as in Prometheus."""
OVERHEAD: Final = 290
"""Bytes that a chunk takes beside its columns: its own objects, measured with tracemalloc."""


class Chunk:
    """A sealed run: `times` (Unix ms, strictly rising) and `values`, both of length N."""

    __slots__ = ("end", "key", "start", "times", "values")

    def __init__(self, times: Ints, values: Values) -> None:
        self.times, self.values = times, values
        self.start, self.end = int(times[0]), int(times[-1])
        self.key = id(times)

    @property
    def size(self) -> int:
        """Bytes of its values and its own objects; the times belong to all that share them."""
        return OVERHEAD + (8 if self.values.strides == (0,) else self.values.nbytes)


class Columns:
    """The columns of times that chunks share, each kept for as long as a chunk has it."""

    def __init__(self) -> None:
        self._found: WeakValueDictionary[int, Ints] = WeakValueDictionary()

    def shared(self, times: "array[int]") -> Ints:
        """Return the column of these times, made if no chunk has it."""
        data = times.tobytes()
        key = hash(data)
        found = self._found.get(key)
        if found is not None and found.tobytes() == data:
            return found
        made = np.frombuffer(data, dtype=np.int64)
        self._found[key] = made
        return made

    @property
    def size(self) -> int:
        """Bytes of all columns."""
        return sum(column.nbytes for column in self._found.values())


def seal(times: "array[int]", values: "array[float]", columns: Columns) -> Chunk:
    """Return a chunk with copies of the samples."""
    held = np.array(values)
    bits = held.view(np.int64)
    if (bits == bits[0]).all():
        return Chunk(columns.shared(times), np.broadcast_to(held[:1].copy(), held.shape))
    with np.errstate(over="ignore", invalid="ignore"):
        narrow = held.astype(np.float32)
        fits = (narrow.astype(np.float64).view(np.int64) == bits).all()
    return Chunk(columns.shared(times), narrow if fits else held)


class Stretch(NamedTuple):
    """A part of a chunk or of an open run: `key` is equal where `times` are the same."""

    key: Hashable
    times: Ints
    values: Values


Piece = Chunk | Stretch


class Span:
    """The times `(after_ms, until_ms]`, and which part of each column of times lies within."""

    __slots__ = ("_parts", "after_ms", "until_ms")

    def __init__(self, after_ms: int, until_ms: int) -> None:
        self.after_ms, self.until_ms = after_ms, until_ms
        self._parts: dict[int, tuple[Hashable, Ints, slice]] = {}

    def of_chunk(self, chunk: Chunk) -> Piece:
        """Return what lies within of a chunk; it must live as long as the span."""
        if chunk.start > self.after_ms and chunk.end <= self.until_ms:
            return chunk
        found = self._parts.get(chunk.key)
        if found is None:
            low, high = np.searchsorted(chunk.times, (self.after_ms, self.until_ms), side="right").tolist()
            found = self._parts[chunk.key] = ((chunk.key, low, high), chunk.times[low:high], slice(low, high))
        key, times, part = found
        return Stretch(key, times, chunk.values[part])

    def of_run(self, times: "array[int]", values: "array[float]") -> Stretch:
        """Return a copy of what lies within of an open run."""
        low = bisect_right(times, self.after_ms)
        high = bisect_right(times, self.until_ms, low)
        data = times[low:high].tobytes()
        return Stretch(data, np.frombuffer(data, dtype=np.int64), np.array(values[low:high]))
