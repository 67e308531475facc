# pyright: basic
# (numba and llvmlite have no types of their own)
"""Attention's tiles for a core with AMX: products of bfloat16 (`tdpbf16ps`), added up in floats.

A float is taken as the sum of two bfloat16, its high and low half, where it is not stored: queries and weights keep 16
bits of their 24; keys and values are stored as one bfloat16. The values 32 apart in a row make a pair
(lane n of 16 is the pair of values n and 16 + n), because two vectors of floats become one of pairs in two operations.
A row of a tile is computed by itself, so that its bits do not depend on how many rows a tile has.
"""

from typing import Any

from llvmlite import ir

from midwatch_serving.kernels.emit import BYTES, I8, I32, LANES, VF, VI, Emit, i64, kernel
from midwatch_serving.kernels.rows import within
from midwatch_serving.kernels.softmax import running_softmax, visible_scores

SPAN = 64
"""Keys that a row attends to at a time: four pages."""
PAGES = SPAN // LANES
TILE = 1024
"""Bytes of a full tile."""
CHUNK = 32
"""Values in a tile's row."""
MOST_BFLOAT = 3.3895314e38
_HIGH = ir.Constant(VI, [-65536] * LANES)
_SHIFT = ir.Constant(VI, [16] * LANES)
_SCORES = 4 * SPAN
"""Bytes of a row's scores, which become [two tile rows of high halves, two of low halves]."""


def amx(e: Emit, name: str, tile: int, address: Any, stride: Any) -> None:
    """Load or store a tile: rows `stride` bytes apart."""
    e.call(f"llvm.x86.{name}", ir.VoidType(), [ir.Constant(I8, tile), e.b.inttoptr(address, BYTES), stride])


def product(e: Emit, name: str, *tiles: int) -> None:
    """Add the product of the second and third tile to the first."""
    e.call(f"llvm.x86.{name}", ir.VoidType(), [ir.Constant(I8, tile) for tile in tiles])


def zero(e: Emit, tile: int) -> None:
    """Clear a tile."""
    e.call("llvm.x86.tilezero", ir.VoidType(), [ir.Constant(I8, tile)])


def _pairs(e: Emit, first: Any, second: Any) -> Any:
    """Return the high halves of two vectors as one vector of pairs."""
    return e.b.or_(e.b.lshr(first, _SHIFT), e.b.and_(second, _HIGH))


def _split(e: Emit, x: list[Any]) -> tuple[Any, Any]:
    """Return the pairs of two vectors' high and low halves."""
    bits = [e.b.bitcast(v, VI) for v in x]
    rest = [e.b.fsub(v, e.b.bitcast(e.b.and_(w, _HIGH), VF)) for v, w in zip(x, bits, strict=True)]
    return _pairs(e, *bits), _pairs(e, *(e.b.bitcast(v, VI) for v in rest))


def _rounded(e: Emit, x: Any) -> Any:
    """Return the bits of a vector rounded to bfloat16 in their high halves, to nearest, ties to even."""
    bits = e.b.bitcast(within(e, x, MOST_BFLOAT), VI)
    odd = e.b.and_(e.b.lshr(bits, _SHIFT), ir.Constant(VI, [1] * LANES))
    return e.b.add(bits, e.b.add(odd, ir.Constant(VI, [0x7FFF] * LANES)))


def _chunks(e: Emit, count: Any) -> Any:
    return e.loop(e.b.udiv(count, i64(CHUNK)))


def _two(e: Emit, row: Any, chunk: Any) -> list[Any]:
    at = e.b.mul(chunk, i64(4 * CHUNK))
    return [e.load(row, e.b.add(at, i64(64 * n)), VF) for n in range(2)]


def _store_key(e: Emit, row: Any, page: Any, count: Any) -> None:
    with _chunks(e, count) as loop:
        pairs = _pairs(e, *(_rounded(e, v) for v in _two(e, row, loop.index)))
        for lane in range(LANES):
            at = e.b.add(e.b.mul(loop.index, i64(TILE)), i64(64 * lane))
            e.store(e.b.extract_element(pairs, ir.Constant(I32, lane)), page, at, I32)


def _store_value(e: Emit, row: Any, page: Any, count: Any) -> None:
    with _chunks(e, count) as loop:
        pairs = _pairs(e, *(_rounded(e, v) for v in _two(e, row, loop.index)))
        e.store(pairs, page, e.b.mul(loop.index, i64(64)), VI)


def _split_query(e: Emit, row: Any, high: Any, low: Any, count: Any) -> None:
    with _chunks(e, count) as loop:
        at = e.b.mul(loop.index, i64(64))
        for pairs, out in zip(_split(e, _two(e, row, loop.index)), (high, low), strict=True):
            e.store(pairs, out, at, VI)


def _interleave(e: Emit, first: Any, second: Any, out: Any, width: Any) -> None:
    """Turn two pages of values into tiles of 16 pairs of keys: key n of the one page with key n of the other."""
    b = e.b
    with _chunks(e, width) as loop:
        for key in range(LANES):
            at = b.add(b.mul(loop.index, i64(64)), b.mul(width, i64(2 * key)))
            x, y = e.load(first, at, VI), e.load(second, at, VI)
            here = b.add(b.mul(loop.index, i64(2 * TILE)), i64(64 * key))
            e.store(b.or_(b.and_(x, ir.Constant(VI, [65535] * LANES)), b.shl(y, _SHIFT)), out, here, VI)
            e.store(_pairs(e, x, y), out, b.add(here, i64(TILE)), VI)


def _scores(e: Emit, high: Any, low: Any, *rest: Any) -> None:
    pages, width, out = rest[:PAGES], rest[PAGES], rest[PAGES + 1]
    stride = e.b.mul(width, i64(2))
    for tile in range(PAGES):
        zero(e, tile)
    with _chunks(e, width) as loop:
        at = e.b.mul(loop.index, i64(64))
        amx(e, "tileloadd64", 4, e.b.add(high, at), stride)
        amx(e, "tileloadd64", 5, e.b.add(low, at), stride)
        for tile, page in enumerate(pages):
            keys = 6 + tile % 2
            amx(e, "tileloadd64", keys, e.b.add(page, e.b.mul(loop.index, i64(TILE))), i64(64))
            product(e, "tdpbf16ps", tile, 4, keys)
            product(e, "tdpbf16ps", tile, 5, keys)
    for tile in range(PAGES):
        amx(e, "tilestored64", tile, e.b.add(out, i64(64 * tile)), i64(_SCORES))


def _mix(e: Emit, weights: Any, values: Any, mixed: Any, width: Any) -> None:
    b = e.b
    stride = b.mul(width, i64(4))
    for tile in range(4):  # high halves of the first 32 keys, of the second, then the low halves
        amx(e, "tileloadd64", 2 + tile, b.add(weights, i64(64 * tile)), i64(_SCORES))
    with _chunks(e, width) as loop:
        at = b.add(mixed, b.mul(loop.index, i64(4 * CHUNK)))
        for tile in range(2):
            amx(e, "tileloadd64", tile, b.add(at, i64(64 * tile)), stride)
        for half in range(2):
            for tile in range(2):
                here = b.add(b.mul(loop.index, i64(2 * TILE)), i64(TILE * tile))
                there = b.add(values, b.add(here, b.mul(width, i64(64 * half))))
                amx(e, "tileloadd64", 6 + tile, there, i64(64))
                product(e, "tdpbf16ps", tile, 2 + half, 6 + tile)
                product(e, "tdpbf16ps", tile, 4 + half, 6 + tile)
        for tile in range(2):
            amx(e, "tilestored64", tile, b.add(at, i64(64 * tile)), stride)


def _softmax(*, masked: bool) -> Any:
    def emit(e: Emit, scores: Any, mixed: Any, state: Any, width: Any, visible: Any) -> None:
        x = visible_scores(e, scores, SPAN, visible if masked else None)
        weights = running_softmax(e, x, mixed, state, width)
        for half in range(2):
            for part, pairs in enumerate(_split(e, weights[2 * half : 2 * half + 2])):
                e.store(pairs, scores, i64(128 * part + 64 * half), VI)

    return kernel("iiiii", emit)


def _configure(e: Emit, at: Any, rows: Any) -> None:
    """Shape the tiles: 0 to 5 have `rows` rows, 6 and 7 have 16 (Intel SDM, LDTILECFG: palette 1, rows of 64 bytes)."""
    b = e.b
    for quarter in range(4):
        e.store(ir.Constant(ir.VectorType(I32, 4), [0] * 4), at, i64(16 * quarter), ir.VectorType(I32, 4))
    b.store(ir.Constant(I8, 1), e.at(at, i64(0), I8))
    short = b.trunc(rows, I8)
    for tile in range(8):
        b.store(ir.Constant(I8, 64), e.at(at, i64(16 + 2 * tile), I8))
        b.store(short if tile < 6 else ir.Constant(I8, LANES), e.at(at, i64(48 + tile), I8))
    e.call("llvm.x86.ldtilecfg", ir.VoidType(), [b.inttoptr(at, BYTES)])


store_key = kernel("iii", _store_key)
"""(row, page, count): one token's place in a page (count / 32, 16 pairs, 16 keys, 2)."""
store_value = kernel("iii", _store_value)
"""(row, page, count): the row as pairs."""
split_query = kernel("iiii", _split_query)
"""(row, high, low, count): the two halves of a row, as pairs."""
interleave = kernel("iiii", _interleave)
"""(page, page, out, width): values of 32 keys as (width / 16) tiles."""
scores = kernel("iiiiiiii", _scores)
"""(high, low, four pages of keys, width, out): (rows, 64) scores of the queries."""
mix = kernel("iiii", _mix)
"""(weights, values, mixed, width): mixed += weights @ values, of 64 keys."""
softmax = _softmax(masked=False)
"""(scores, mixed, state, width, visible): as `rows.softmax_tile`; the weights are stored as halves, for `mix`."""
masked_softmax = _softmax(masked=True)
configure = kernel("ii", _configure)
"""(64 bytes of scratch, rows)."""
