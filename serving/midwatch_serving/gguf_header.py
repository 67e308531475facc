"""The head of a GGUF file: metadata and the table of tensors, read with every length checked against the file.

The format is ggml's (docs/gguf.md of the ggml repository), versions 2 and 3, little-endian. Numbers in the file are not
believed: a count or length that cannot fit into the bytes that are left is an error before anything is allocated.
"""

import math
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType

from midwatch_serving.errors import ModelError

MAGIC = b"GGUF"
VERSIONS = (2, 3)
ALIGNMENT = 32
"""Bytes, unless `general.alignment` says otherwise."""
MAX_DIMENSIONS = 4

_STRING, _ARRAY, _BOOL = 8, 9, 7
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "B", 10: "Q", 11: "q", 12: "d"}
_U32 = struct.Struct("<I")
_U64 = struct.Struct("<Q")
_SMALLEST_PAIR = 8 + 4 + 1
"""Bytes of a metadata entry with an empty key and a one-byte value."""
_SMALLEST_TENSOR = 8 + 4 + 8 + 4 + 8


@dataclass(frozen=True)
class TensorEntry:
    """Where a tensor lies and what it is."""

    name: str
    shape: tuple[int, ...]
    """As numpy counts, slowest first: (outer, inner)."""
    type: GGMLQuantizationType
    start: int
    """Bytes from the beginning of the file."""
    nbytes: int

    @property
    def values(self) -> int:
        """How many numbers it holds."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class GgufHeader:
    """Metadata by key (text, numbers, truth values, lists of text, numpy arrays) and tensors by name."""

    metadata: dict[str, Any]
    tensors: dict[str, TensorEntry]


def read_header(path: Path) -> GgufHeader:
    """Return the head of the file at `path`.

    Raises:
        ModelError: when it cannot be read, is no GGUF file, is cut short, or contradicts itself.
    """
    try:
        with path.open("rb") as file:
            return _Head(file, path).read()
    except OSError as error:
        raise ModelError(path, f"cannot be read ({error.strerror})", mend="name a GGUF file that exists") from error


class _Head:
    """Reads on through an open file and never past its end."""

    def __init__(self, file: BinaryIO, path: Path) -> None:
        self._file = file
        self._path = path
        self._size = path.stat().st_size
        self._at = 0

    def read(self) -> GgufHeader:
        """Read the whole head."""
        if self._take(4, "magic") != MAGIC:
            raise self._error("is no GGUF file: it does not begin with `GGUF`", "name a .gguf file")
        version = self._u32("version")
        if version not in VERSIONS:
            swapped = int.from_bytes(version.to_bytes(4, "little"), "big") in VERSIONS
            what = "is stored big-endian" if swapped else f"is GGUF version {version}"
            raise self._error(f"{what}; versions 2 and 3, little-endian, are read", "convert it again")
        tensors = self._count("tensors", _SMALLEST_TENSOR)
        pairs = self._count("metadata entries", _SMALLEST_PAIR)
        metadata: dict[str, Any] = {}
        for _ in range(pairs):
            key = self._text("a metadata key")
            if key in metadata:
                raise self._error(f"has the metadata key {key!r} twice")
            metadata[key] = self._value(self._u32(key), key)
        entries = [self._tensor() for _ in range(tensors)]
        return GgufHeader(metadata, self._placed(entries, metadata.get("general.alignment", ALIGNMENT)))

    def _error(self, what: str, mend: str = "fetch the file again") -> ModelError:
        return ModelError(self._path, what, mend=mend)

    def _take(self, length: int, what: str) -> bytes:
        if length > self._size - self._at:
            raise self._error(f"ends at byte {self._size}, inside {what}")
        data = self._file.read(length)
        if len(data) < length:
            raise self._error(f"was cut short while it was read, inside {what}")
        self._at += length
        return data

    def _u32(self, what: str) -> int:
        return _U32.unpack(self._take(4, what))[0]

    def _u64(self, what: str) -> int:
        return _U64.unpack(self._take(8, what))[0]

    def _count(self, what: str, smallest: int) -> int:
        count = self._u64(f"the number of {what}")
        if count > (self._size - self._at) // smallest:
            raise self._error(f"claims {count} {what}, more than its {self._size} bytes can hold")
        return count

    def _text(self, what: str) -> str:
        data = self._take(self._u64(what), what)
        try:
            return data.decode("utf-8")
        except UnicodeDecodeError as error:
            raise self._error(f"holds text that is not UTF-8, in {what}") from error

    def _value(self, kind: int, key: str) -> Any:
        if kind == _STRING:
            return self._text(key)
        if kind == _ARRAY:
            return self._array(key)
        if kind not in _SCALARS:
            raise self._error(f"holds a value of the unknown type {kind}, under {key!r}")
        code = _SCALARS[kind]
        value = struct.unpack("<" + code, self._take(struct.calcsize("<" + code), key))[0]
        return bool(value) if kind == _BOOL else value

    def _array(self, key: str) -> Any:
        kind = self._u32(key)
        if kind == _STRING:
            return [self._text(key) for _ in range(self._count(f"texts under {key!r}", 8))]
        if kind not in _SCALARS:
            raise self._error(f"holds a list of the type {kind}, under {key!r}: lists of text and of numbers are read")
        dtype = np.dtype("?" if kind == _BOOL else "<" + _SCALARS[kind])
        count = self._count(f"numbers under {key!r}", dtype.itemsize)
        return np.frombuffer(self._take(count * dtype.itemsize, key), dtype)

    def _tensor(self) -> TensorEntry:
        name = self._text("a tensor's name")
        count = self._u32(name)
        if not 1 <= count <= MAX_DIMENSIONS:
            raise self._error(f"gives {name} {count} dimensions; 1 to {MAX_DIMENSIONS} are possible")
        shape = tuple(reversed([self._u64(name) for _ in range(count)]))
        number, offset = self._u32(name), self._u64(name)
        try:
            kind = GGMLQuantizationType(number)
        except ValueError as error:
            raise self._error(f"stores {name} in the unknown type {number}", "use another quantisation") from error
        block, width = GGML_QUANT_SIZES[kind]
        if 0 in shape or shape[-1] % block:
            raise self._error(f"gives {name} the shape {shape}, whose rows are not whole {kind.name} blocks of {block}")
        return TensorEntry(name, shape, kind, offset, math.prod(shape) // block * width)

    def _placed(self, entries: list[TensorEntry], alignment: object) -> dict[str, TensorEntry]:
        """Count offsets from the file's beginning; refuse tensors outside of the file, doubled, or over each other."""
        if not isinstance(alignment, int) or alignment <= 0 or alignment & (alignment - 1):
            raise self._error(f"has general.alignment = {alignment!r}, which is no power of two")
        data = -(-self._at // alignment) * alignment
        placed: dict[str, TensorEntry] = {}
        end, last = data, "the head"
        for entry in sorted(entries, key=lambda e: e.start):
            start = data + entry.start
            if start + entry.nbytes > self._size:
                raise self._error(
                    f"is cut short: it ends at byte {self._size}, but {entry.name} at byte {start + entry.nbytes}"
                )
            if start < end or entry.start % alignment:
                raise self._error(f"places {entry.name} at byte {start}, inside {last} or off its alignment")
            if entry.name in placed:
                raise self._error(f"has the tensor {entry.name} twice")
            placed[entry.name] = TensorEntry(entry.name, entry.shape, entry.type, start, entry.nbytes)
            end, last = start + entry.nbytes, entry.name
        return placed
