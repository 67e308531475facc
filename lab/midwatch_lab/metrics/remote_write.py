"""Samples as Prometheus's remote write sends them: a protobuf message in a snappy block, written by hand.

Raw float bits survive it, staleness markers and other NaNs too; backfilled blocks rewrite them.
Source: https://prometheus.io/docs/specs/prw/remote_write_spec/ (version 1.0), `prometheus.WriteRequest`.
"""

import struct
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Final, TypeAlias

from midwatch_lab.metrics.labels import Labels

Data: TypeAlias = Mapping[Labels, Iterable[tuple[int, float]]]
"""Samples (ms, value) by labels."""

HEADERS: Final = {
    "Content-Encoding": "snappy",
    "Content-Type": "application/x-protobuf",
    "X-Prometheus-Remote-Write-Version": "0.1.0",
}
"""What a request of version 1 says of its body."""
_CONTINUES: Final = 0x80
_LITERAL: Final = 65536
_VALUE: Final = struct.Struct("<d").pack


def write_request(data: Data) -> bytes:
    """Return the body of a remote-write request of version 1."""
    return _snappy(b"".join(_field(1, _series(labels, samples)) for labels, samples in data.items()))


def _varint(value: int) -> bytes:
    out = bytearray()
    value &= 2**64 - 1
    while value >= _CONTINUES:
        out.append(value & (_CONTINUES - 1) | _CONTINUES)
        value >>= 7
    out.append(value)
    return bytes(out)


def _field(number: int, body: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(body)) + body


@lru_cache(maxsize=65536)
def _frame(at: int) -> tuple[bytes, bytes]:
    """Return what stands before and behind the value of a sample at a time, which the series of a scrape share."""
    time = b"\x10" + _varint(at)
    return b"\x12" + _varint(9 + len(time)) + b"\x09", time


def _series(labels: Labels, samples: Iterable[tuple[int, float]]) -> bytes:
    parts = [_field(1, _field(1, name.encode()) + _field(2, value.encode())) for name, value in sorted(labels)]
    for at, value in samples:
        before, behind = _frame(at)
        parts += (before, _VALUE(value), behind)
    return b"".join(parts)


def _snappy(body: bytes) -> bytes:
    """Return a snappy block that holds `body` in literals."""
    parts = [_varint(len(body))]
    for start in range(0, len(body), _LITERAL):
        piece = body[start : start + _LITERAL]
        parts += (b"\xf4", struct.pack("<H", len(piece) - 1), piece)
    return b"".join(parts)
