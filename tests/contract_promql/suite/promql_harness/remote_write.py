"""Samples as Prometheus's remote write sends them: a protobuf message in a snappy block, written by hand.

Raw float bits survive it, staleness markers and other NaNs too; backfilled blocks rewrite them.
"""

import struct
from collections.abc import Mapping
from typing import TypeAlias

Labels: TypeAlias = tuple[tuple[str, str], ...]
Data: TypeAlias = Mapping[Labels, list[tuple[int, float]]]
"""Samples (ms, value) by labels."""


def write_request(data: Data) -> bytes:
    """Return the body of a remote-write request of version 1."""
    return _snappy(b"".join(_field(1, _series(labels, samples)) for labels, samples in data.items()))


def _varint(value: int) -> bytes:
    out = bytearray()
    value &= 2**64 - 1
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _field(number: int, body: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(body)) + body


def _series(labels: Labels, samples: list[tuple[int, float]]) -> bytes:
    out = b"".join(_field(1, _field(1, name.encode()) + _field(2, value.encode())) for name, value in sorted(labels))
    for at, value in samples:
        out += _field(2, b"\x09" + struct.pack("<d", value) + b"\x10" + _varint(at))
    return out


def _snappy(body: bytes) -> bytes:
    """Return a snappy block that holds `body` in literals."""
    out = _varint(len(body))
    for start in range(0, len(body), 65536):
        piece = body[start : start + 65536]
        out += b"\xf4" + struct.pack("<H", len(piece) - 1) + piece
    return out
