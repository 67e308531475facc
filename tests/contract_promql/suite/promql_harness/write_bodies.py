"""Bodies of remote writes, put together by hand so that they can be wrong too."""

import struct
from collections.abc import Mapping, Sequence
from typing import Final

from midwatch_lab.metrics.snappy import pack
from midwatch_lab.schemas.wire import field, varint

V1: Final = {"content-encoding": "snappy", "content-type": "application/x-protobuf"}
V2: Final = {
    "content-encoding": "snappy",
    "content-type": "application/x-protobuf;proto=io.prometheus.write.v2.Request",
}


def sample(time_ms: int, value: float) -> bytes:
    """Return a sample, as a field of its series."""
    return field(2, b"\x09" + struct.pack("<d", value) + b"\x10" + varint(time_ms))


def label(name: str | bytes, value: str | bytes) -> bytes:
    """Return a label, as a field of its series in version 1."""
    texts = [text if isinstance(text, bytes) else text.encode() for text in (name, value)]
    return field(1, field(1, texts[0]) + field(2, texts[1]))


def labelled(labels: Mapping[str, str]) -> bytes:
    """Return labels, as fields of their series in version 1."""
    return b"".join(label(name, value) for name, value in labels.items())


def series(labels: Mapping[str, str], *samples: tuple[int, float]) -> bytes:
    """Return a series of version 1."""
    return labelled(labels) + b"".join(sample(*one) for one in samples)


def v1(*found: bytes) -> bytes:
    """Return the body of a request of version 1."""
    return pack(b"".join(field(1, one) for one in found))


def referenced(references: Sequence[int], *samples: tuple[int, float]) -> bytes:
    """Return a series of version 2."""
    return field(1, b"".join(map(varint, references))) + b"".join(sample(*one) for one in samples)


def v2(symbols: Sequence[str], *found: bytes) -> bytes:
    """Return the body of a request of version 2."""
    return pack(b"".join(field(4, symbol.encode()) for symbol in symbols) + b"".join(field(5, one) for one in found))
