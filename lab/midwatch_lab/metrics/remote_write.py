"""Samples as Prometheus's remote write sends them: a protobuf message in a snappy block, written by hand.

Raw float bits survive it, staleness markers and other NaNs too; backfilled blocks rewrite them.
Source: https://prometheus.io/docs/specs/prw/remote_write_spec/ (version 1.0), `prometheus.WriteRequest`.
"""

import struct
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Final, TypeAlias

from midwatch_lab.metrics.labels import Labels
from midwatch_lab.metrics.snappy import pack
from midwatch_lab.schemas.wire import field, varint

Data: TypeAlias = Mapping[Labels, Iterable[tuple[int, float]]]
"""Samples (ms, value) by labels."""

HEADERS: Final = {
    "Content-Encoding": "snappy",
    "Content-Type": "application/x-protobuf",
    "X-Prometheus-Remote-Write-Version": "0.1.0",
}
"""What a request of version 1 says of its body."""
_VALUE: Final = struct.Struct("<d").pack


def write_request(data: Data) -> bytes:
    """Return the body of a remote-write request of version 1."""
    return pack(b"".join(field(1, _series(labels, samples)) for labels, samples in data.items()))


@lru_cache(maxsize=65536)
def _frame(at: int) -> tuple[bytes, bytes]:
    """Return what stands before and behind the value of a sample at a time, which the series of a scrape share."""
    time = b"\x10" + varint(at)
    return b"\x12" + varint(9 + len(time)) + b"\x09", time


def _series(labels: Labels, samples: Iterable[tuple[int, float]]) -> bytes:
    parts = [field(1, field(1, name.encode()) + field(2, value.encode())) for name, value in sorted(labels)]
    for at, value in samples:
        before, behind = _frame(at)
        parts += (before, _VALUE(value), behind)
    return b"".join(parts)
