"""What a remote write says: `prometheus.WriteRequest` (version 1) or `io.prometheus.write.v2.Request`, from bytes.

Float bits survive, those of staleness markers and other NaNs too.
Sources: https://prometheus.io/docs/specs/prw/remote_write_spec/, https://prometheus.io/docs/specs/prw/remote_write_spec_2_0/.
"""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from midwatch_lab.errors import DecodeError
from midwatch_lab.metrics.errors import WriteError
from midwatch_lab.schemas import wire

_DOUBLE: Final = struct.Struct("<d")
_PLAIN_HEAD: Final = 10
"""Bytes of a sample before its time, where it is written as everybody writes it: value, then time."""


@dataclass
class Written:
    """One series of a request, unchecked: pairs as they came, samples as (Unix ms, value)."""

    labels: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    samples: list[tuple[int, float]] = field(default_factory=list[tuple[int, float]])
    histograms: int = 0
    exemplars: int = 0
    readable: bool = True
    """All texts are UTF-8."""
    problem: str = ""
    """Why the labels cannot be read, where a reference leads nowhere."""


def read_v1(body: bytes) -> list[Written]:
    """Read a `prometheus.WriteRequest`.

    Raises:
        WriteError: when the bytes are none.
    """
    try:
        return [_series_v1(part) for part in _messages(body, {1: "Timeseries"}, "WriteRequest")]
    except DecodeError as error:
        raise WriteError(str(error)) from error


def read_v2(body: bytes) -> list[Written]:
    """Read an `io.prometheus.write.v2.Request`.

    Raises:
        WriteError: when the bytes are none.
    """
    symbols: list[bytes] = []
    series: list[bytes] = []
    try:
        for number, value in _fields(body, "Request"):
            if number in (4, 5):
                (symbols if number == 4 else series).append(  # noqa: PLR2004 (Request.symbols)
                    _bytes(value, "Symbols" if number == 4 else "Timeseries")  # noqa: PLR2004 (Request.symbols)
                )
        return [_series_v2(part, symbols) for part in series]
    except DecodeError as error:
        raise WriteError(str(error)) from error


def _series_v1(message: bytes) -> Written:
    found = Written()
    for number, value in _fields(message, "TimeSeries"):
        match number:
            case 1:
                name = content = b""
                for inner, text in _fields(_bytes(value, "Labels"), "Label"):
                    if inner == 1:
                        name = _bytes(text, "Name")
                    elif inner == 2:  # noqa: PLR2004 (Label.value)
                        content = _bytes(text, "Value")
                _add_label(found, name, content)
            case 2:
                found.samples.append(_sample(_bytes(value, "Samples")))
            case 3:
                found.exemplars += 1
            case 4:
                found.histograms += 1
            case _:
                continue
    return found


def _series_v2(message: bytes, symbols: Sequence[bytes]) -> Written:
    found = Written()
    references: list[int] = []
    for number, value in _fields(message, "TimeSeries"):
        match number:
            case 1:
                references += [value] if isinstance(value, int) else _packed(value)
            case 2:
                found.samples.append(_sample(_bytes(value, "Samples")))
            case 3:
                found.histograms += 1
            case 4:
                found.exemplars += 1
            case _:
                continue
    where = f"parsing labels for series [{' '.join(map(str, references))}]"
    if len(references) % 2:
        found.problem = f"{where}: invalid labelRefs length {len(references)}"
        return found
    for name, value in zip(references[::2], references[1::2], strict=True):
        if max(name, value) >= len(symbols):
            found.problem = (
                f"{where}: labelRefs {name} (name) = {value} (value) outside of symbols table (size {len(symbols)})"
            )
            return found
        _add_label(found, symbols[name], symbols[value])
    return found


def _add_label(found: Written, name: bytes, value: bytes) -> None:
    try:
        found.labels.append((name.decode(), value.decode()))
    except UnicodeDecodeError:
        found.readable = False
        found.labels.append((name.decode(errors="backslashreplace"), value.decode(errors="backslashreplace")))


def _sample(message: bytes) -> tuple[int, float]:
    """Return time and value; the usual order of the two is read at once."""
    if len(message) > _PLAIN_HEAD and message[0] == 0x09 and message[9] == 0x10:  # noqa: PLR2004 (tags of value, time)
        at, end = wire.read_varint(message, _PLAIN_HEAD)
        if end == len(message):
            return wire.signed(at), _DOUBLE.unpack_from(message, 1)[0]
    time_ms, sample = 0, 0.0
    for number, value in _fields(message, "Sample"):
        if number == 1:
            if isinstance(value, int) or len(value) != _DOUBLE.size:
                raise DecodeError(f"proto: wrong wireType = {0 if isinstance(value, int) else 2} for field Value")
            sample = _DOUBLE.unpack(value)[0]
        elif number == 2:  # noqa: PLR2004 (Sample.timestamp)
            if not isinstance(value, int):
                raise DecodeError("proto: wrong wireType = 2 for field Timestamp")
            time_ms = wire.signed(value)
    return time_ms, sample


def _packed(data: bytes) -> Iterator[int]:
    at = 0
    while at < len(data):
        value, at = wire.read_varint(data, at)
        yield value & 0xFFFFFFFF


def _messages(body: bytes, names: dict[int, str], message: str) -> Iterator[bytes]:
    for number, value in _fields(body, message):
        if number in names:
            yield _bytes(value, names[number])


def _fields(data: bytes, message: str) -> Iterator[tuple[int, int | bytes]]:
    for number, value in wire.parts(data):
        if number == 0:
            raise DecodeError(f"proto: {message}: illegal tag 0 (wire type {0 if isinstance(value, int) else 2})")
        yield number, value


def _bytes(value: int | bytes, name: str) -> bytes:
    if isinstance(value, int):
        raise DecodeError(f"proto: wrong wireType = 0 for field {name}")
    return value
