"""Protobuf's wire format: tags, variable-length numbers and fields, without knowing any message.

Source: https://protobuf.dev/programming-guides/encoding/.
"""

from collections.abc import Iterator
from typing import Final

from midwatch_lab.errors import DecodeError

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
"""How a value is written; groups (3 and 4) are refused."""
_VARINT_MAX: Final = 10
_MASK: Final = 2**64 - 1


def parts(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield (field number, value) in the order of the wire; fixed-width values come as their bytes.

    Raises:
        DecodeError: when the bytes are no message.
    """
    at = 0
    while at < len(data):
        key, at = read_varint(data, at)
        wire = key & 7
        if wire == VARINT:
            value, at = read_varint(data, at)
            yield key >> 3, value
            continue
        if wire == BYTES:
            size, at = read_varint(data, at)
        elif wire in (FIXED64, FIXED32):
            size = 8 if wire == FIXED64 else 4
        else:
            raise DecodeError(f"proto: illegal wireType {wire}")
        if size > len(data) - at:
            raise DecodeError("unexpected EOF")
        yield key >> 3, data[at : at + size]
        at += size


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    """Return the number at an offset, of 64 bits, and the offset behind it.

    Raises:
        DecodeError: when the data ends in it, or it is longer than ten bytes.
    """
    value = 0
    for count in range(_VARINT_MAX):
        if at >= len(data):
            raise DecodeError("unexpected EOF")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << (7 * count)
        if byte < 0x80:  # noqa: PLR2004 (the last byte has its high bit clear)
            return value & _MASK, at
    raise DecodeError("proto: integer overflow")


def signed(value: int) -> int:
    """Return the number of 64 bits that a variable-length one stands for."""
    return value - 2**64 if value >= 2**63 else value


def varint(value: int) -> bytes:
    """Return a number as a variable-length one, of 64 bits: two's complement where it is negative."""
    value &= _MASK
    written = bytearray()
    while value > 0x7F:  # noqa: PLR2004 (seven bits a byte)
        written.append(value & 0x7F | 0x80)
        value >>= 7
    written.append(value)
    return bytes(written)


def tag(number: int, wire: int) -> bytes:
    """Return what stands before a field's value."""
    return varint(number << 3 | wire)


def field(number: int, value: bytes) -> bytes:
    """Return a field of bytes: a text or a message."""
    return tag(number, BYTES) + varint(len(value)) + value
