"""Snappy's block format, in which remote write packs its messages.

Own code, since it is one page and no wheel is needed for it: a block is its length, then literals and copies of what
was unpacked before. Unpacking never holds more than the length that the block declares, which is held against a limit
first.

Source: https://github.com/google/snappy/blob/main/format_description.txt.
"""

from typing import Final

from midwatch_lab.errors import DecodeError
from midwatch_lab.metrics.errors import CompressedError
from midwatch_lab.schemas import wire

LIMIT: Final = 32 * 1024 * 1024
"""Bytes that a block may unpack to: the original's limit."""
_SHORT: Final = 60
"""Lengths of literals from here on stand in the bytes behind the tag."""


def unpack(block: bytes, limit: int = LIMIT) -> bytes:
    """Return what a block holds.

    Raises:
        CompressedError: when the block is damaged, or holds more than `limit` bytes.
    """
    try:
        size, at = wire.read_varint(block, 0)
    except DecodeError as error:
        raise CompressedError("s2: corrupt input") from error
    if size > limit:
        raise CompressedError(f"decoded size exceeds the {limit} bytes limit")
    out = bytearray()
    end = len(block)
    while at < end:
        kind = block[at] & 3
        if kind == 0:
            start, count = _literal(block, at)
            at = start + count
            back = 0
        else:
            at, back, count = _copy(block, at, kind)
            start = len(out) - back
        if at > end or len(out) + count > size or (kind and not 0 < back <= len(out)):
            raise CompressedError("s2: corrupt input")
        if not kind:
            out += block[start:at]
        elif back >= count:
            out += out[start : start + count]
        else:  # what is appended is copied too
            out += (bytes(out[start:]) * (count // back + 1))[:count]
    if len(out) != size:
        raise CompressedError("s2: corrupt input")
    return bytes(out)


def pack(body: bytes) -> bytes:
    """Return a block that holds `body` in literals, unpacked in no time and no smaller."""
    parts = [wire.varint(len(body))]
    for start in range(0, len(body), 65536):
        piece = body[start : start + 65536]
        parts += (b"\xf4", (len(piece) - 1).to_bytes(2, "little"), piece)
    return b"".join(parts)


def _literal(block: bytes, at: int) -> tuple[int, int]:
    """Return where a literal begins, and how long it is."""
    length = block[at] >> 2
    if length < _SHORT:
        return at + 1, length + 1
    width = length - _SHORT + 1
    return at + 1 + width, int.from_bytes(block[at + 1 : at + 1 + width], "little") + 1


def _copy(block: bytes, at: int, kind: int) -> tuple[int, int, int]:
    """Return where the next element begins, how far back a copy reaches, and how long it is."""
    tag = block[at]
    if kind == 1:
        offset = (tag >> 5) << 8 | int.from_bytes(block[at + 1 : at + 2], "little")
        return at + 2, offset, (tag >> 2 & 7) + 4
    width = 2 if kind == 2 else 4  # noqa: PLR2004 (the two wide kinds of copies)
    return at + 1 + width, int.from_bytes(block[at + 1 : at + 1 + width], "little"), (tag >> 2) + 1
