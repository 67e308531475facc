"""xxHash64, by which `limit_ratio` samples series; the original hashes label sets with it.

Source: https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md (XXH64, seed 0).
"""

from midwatch_lab.metrics.labels import Labels

_P1, _P2, _P3, _P4, _P5 = (
    0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0x85EBCA77C2B2AE63, 0x27D4EB2F165667C5,
)  # fmt: skip
_MASK = 2**64 - 1
_LONG = 255


def _rotate(value: int, bits: int) -> int:
    return (value << bits | value >> (64 - bits)) & _MASK


def _round(state: int, lane: int) -> int:
    return _rotate((state + lane * _P2) & _MASK, 31) * _P1 & _MASK


def xxhash64(data: bytes) -> int:
    """Return the hash of `data`, an integer of 64 bits."""
    index, size = 0, len(data)

    def take(width: int) -> int:
        nonlocal index
        index += width
        return int.from_bytes(data[index - width : index], "little")

    if size >= 32:  # noqa: PLR2004 (four lanes of eight bytes)
        states = [(_P1 + _P2) & _MASK, _P2, 0, -_P1 & _MASK]
        while index + 32 <= size:
            states = [_round(state, take(8)) for state in states]
        total = sum(map(_rotate, states, (1, 7, 12, 18))) & _MASK
        for state in states:
            total = ((total ^ _round(0, state)) * _P1 + _P4) & _MASK
    else:
        total = _P5
    total = (total + size) & _MASK
    while index + 8 <= size:
        total = (_rotate(total ^ _round(0, take(8)), 27) * _P1 + _P4) & _MASK
    if index + 4 <= size:
        total = (_rotate(total ^ (take(4) * _P1 & _MASK), 23) * _P2 + _P3) & _MASK
    while index < size:
        total = _rotate(total ^ (take(1) * _P5 & _MASK), 11) * _P1 & _MASK
    total = (total ^ total >> 33) * _P2 & _MASK
    total = (total ^ total >> 29) * _P3 & _MASK
    return total ^ total >> 32


def label_hash(labels: Labels) -> int:
    """Return the hash of a label set as the original keeps it: each text after its length."""
    out = bytearray()
    for pair in labels:
        for text in pair:
            raw = text.encode("utf-8", "surrogatepass")
            out += bytes([len(raw)]) if len(raw) < _LONG else b"\xff" + len(raw).to_bytes(3, "little")
            out += raw
    return xxhash64(bytes(out))
