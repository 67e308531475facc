# pyright: basic
# (numba and llvmlite have no types of their own)
"""What is done to one row at a time, in explicit vectors: the order of every addition is written down, not chosen.

Lengths are multiples of 16.
"""

from typing import Any

from llvmlite import ir

from midwatch_serving.kernels.emit import F32, HALF, I32, LANES, VF, VH, VI, Emit, i64, kernel

_AT_ONCE = 4
VHALF = ir.VectorType(F32, LANES // 2)
MOST_HALF = 65504.0


def _each(e: Emit, count: Any) -> Any:
    return e.loop(e.b.udiv(count, i64(LANES)))


def _add(e: Emit, row: Any, more: Any, count: Any) -> None:
    with _each(e, count) as loop:
        at = e.b.mul(loop.index, i64(64))
        e.store(e.b.fadd(e.load(row, at, VF), e.load(more, at, VF)), row, at, VF)


def _squares(e: Emit, row: Any, count: Any, more: Any | None = None) -> Any:
    """Return the sum of squares of 16 to 64 values a turn; with `more`, of the sums, which are stored in the row."""
    totals = e.accumulators(_AT_ONCE, VF, e.floats(0))

    def take(at: Any, total: Any) -> None:
        x = e.load(row, at, VF)
        if more is not None:
            x = e.b.fadd(x, e.load(more, at, VF))
            e.store(x, row, at, VF)
        e.b.store(e.fma(x, x, e.b.load(total)), total)

    turns = e.b.udiv(count, i64(LANES * _AT_ONCE))
    with e.loop(turns) as loop:
        for n, total in enumerate(totals):
            take(e.b.add(e.b.mul(loop.index, i64(64 * _AT_ONCE)), i64(64 * n)), total)
    rest = e.b.sub(e.b.udiv(count, i64(LANES)), e.b.mul(turns, i64(_AT_ONCE)))
    with e.loop(rest) as loop:
        take(e.b.add(e.b.mul(turns, i64(64 * _AT_ONCE)), e.b.mul(loop.index, i64(64))), totals[0])
    first, second, third, fourth = (e.b.load(total) for total in totals)
    return e.fold(e.b.fadd(e.b.fadd(first, second), e.b.fadd(third, fourth)), e.b.fadd)


def _weigh(e: Emit, row: Any, weight: Any, out: Any, count: Any, factor: Any) -> None:
    by = e.splat(factor, VF)
    with _each(e, count) as loop:
        at = e.b.mul(loop.index, i64(64))
        e.store(e.b.fmul(e.b.fmul(e.load(row, at, VF), by), e.load(weight, at, VF)), out, at, VF)


def _scale(e: Emit, row: Any, out: Any, count: Any, factor: Any) -> None:
    by = e.splat(factor, VF)
    with _each(e, count) as loop:
        at = e.b.mul(loop.index, i64(64))
        e.store(e.b.fmul(e.load(row, at, VF), by), out, at, VF)


def _turn_pairs(e: Emit, row: Any, cosine: Any, sine: Any, width: Any, heads: Any, factor: Any) -> None:
    b, by = e.b, e.splat(factor, VF)
    twice = ir.Constant(VI, [lane // 2 for lane in range(LANES)])
    other = ir.Constant(VI, [lane ^ 1 for lane in range(LANES)])
    signs = ir.Constant(VI, [0 if lane % 2 else -(2**31) for lane in range(LANES)])
    with _each(e, width) as block:
        at = b.mul(block.index, i64(32))
        c, s = (e.load(part, at, VHALF) for part in (cosine, sine))
        c, s = (b.fmul(b.shuffle_vector(part, part, twice), by) for part in (c, s))
        s = b.bitcast(b.xor(b.bitcast(s, VI), signs), VF)
        with e.loop(heads) as head:
            here = b.add(b.mul(block.index, i64(64)), b.mul(head.index, b.mul(width, i64(4))))
            x = e.load(row, here, VF)
            e.store(e.fma(b.shuffle_vector(x, x, other), s, b.fmul(x, c)), row, here, VF)


def _turn_halves(e: Emit, row: Any, cosine: Any, sine: Any, width: Any, heads: Any, factor: Any) -> None:
    b, by = e.b, e.splat(factor, VF)
    half = b.mul(width, i64(2))
    with _each(e, b.udiv(width, i64(2))) as block:
        at = b.mul(block.index, i64(64))
        c, s = (b.fmul(e.load(part, at, VF), by) for part in (cosine, sine))
        with e.loop(heads) as head:
            first = b.add(at, b.mul(head.index, b.mul(width, i64(4))))
            second = b.add(first, half)
            x, y = e.load(row, first, VF), e.load(row, second, VF)
            e.store(e.fma(b.fneg(y), s, b.fmul(x, c)), row, first, VF)
            e.store(e.fma(x, s, b.fmul(y, c)), row, second, VF)


def within(e: Emit, x: Any, most: float) -> Any:
    """Return x cut to a range that its smaller kind can hold, so that no page ever holds an infinity or a NaN."""
    x = e.most(x, e.floats(-most))
    return e.b.select(e.b.fcmp_ordered("<", x, e.floats(most)), x, e.floats(most))


def _store_key(e: Emit, row: Any, page: Any, count: Any) -> None:
    with _each(e, count) as loop:
        x = within(e, e.load(row, e.b.mul(loop.index, i64(64)), VF), MOST_HALF)
        halves = e.b.fptrunc(x, VH)
        at = e.b.mul(loop.index, i64(2 * LANES * LANES))
        for lane in range(LANES):
            value = e.b.extract_element(halves, ir.Constant(I32, lane))
            e.store_small(value, page, e.b.add(at, i64(2 * LANES * lane)), HALF)


def _store_value(e: Emit, row: Any, page: Any, count: Any) -> None:
    with _each(e, count) as loop:
        x = within(e, e.load(row, e.b.mul(loop.index, i64(64)), VF), MOST_HALF)
        e.store_small(e.b.fptrunc(x, VH), page, e.b.mul(loop.index, i64(32)), VH)


add = kernel("iii", _add)
"""(row, more, count): row += more."""
squares = kernel("ii", _squares, returns=True)
"""(row, count): the sum of squares."""
add_squares = kernel("iii", lambda e, row, more, count: _squares(e, row, count, more), returns=True)
"""(row, more, count): row += more; the sum of squares of what it is then."""
weigh = kernel("iiiif", _weigh)
"""(row, weight, out, count, factor): out = row * factor * weight."""
scale = kernel("iiif", _scale)
"""(row, out, count, factor): out = row * factor."""


def _fetch(e: Emit, at: Any, count: Any) -> None:
    with e.loop(e.b.udiv(count, i64(64))) as loop:
        e.prefetch(at, e.b.mul(loop.index, i64(64)))


fetch = kernel("ii", _fetch)
"""(at, count): ask for `count` bytes ahead of their use."""
turn_pairs = kernel("iiiiif", _turn_pairs)
"""(row, cosine, sine, width, heads, factor): rotate `heads` heads in place, neighbours together, times `factor`."""
turn_halves = kernel("iiiiif", _turn_halves)
"""As `turn_pairs`, the first half of a head together with the second."""
store_key = kernel("iii", _store_key)
"""(row, page, count): the row as half floats, 16 apart: one token's place in a page (count, 16)."""
store_value = kernel("iii", _store_value)
"""(row, page, count): the row as half floats, side by side."""
