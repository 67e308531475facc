# pyright: basic
# (numba and llvmlite have no types of their own)
"""What is done to one row at a time, in explicit vectors: the order of every addition is written down, not chosen.

Lengths are multiples of 16 (64 where groups are involved).
"""

import math
from typing import Any

from llvmlite import ir

from midwatch_serving.kernels.emit import F32, HALF, I8, I32, LANES, VF, VH, VI, Emit, i64, kernel
from midwatch_serving.kernels.micro import GROUP

_BYTES = ir.VectorType(I8, LANES)
VHALF = ir.VectorType(F32, LANES // 2)
MOST_HALF = 65504.0
_LEAST, _MOST = -126.0, 127.0
"""2 to the power of anything below the first is 0; anything above the second counts as it."""
_ROUNDER = 12582912.0
"""1.5 * 2**23: a float to which it is added keeps its nearest whole number, in the low bits."""
_POWERS_OF_TWO = (0.00132647273, 0.00967151299, 0.0555073358, 0.240222424, 0.693147004, 1.0)
"""Coefficients of 2**f for f in [-0.5, 0.5], fitted to the least relative error with 2**0 = 1: off by 2e-7 at most."""
LOG2_E = 1.44269504


def _exp2(e: Emit, t: Any) -> Any:
    """Return 2**t for a vector of at most 127; exactly 1 for 0, and 0 below -126."""
    b = e.b
    whole = b.fadd(t, e.floats(_ROUNDER))
    f = b.fsub(t, b.fsub(whole, e.floats(_ROUNDER)))
    value = e.floats(_POWERS_OF_TWO[0])
    for coefficient in _POWERS_OF_TWO[1:]:
        value = e.fma(value, f, e.floats(coefficient))
    exponent = b.shl(b.bitcast(whole, VI), ir.Constant(VI, [23] * LANES))
    power = b.bitcast(b.add(b.bitcast(value, VI), exponent), VF)
    return b.select(b.fcmp_ordered(">=", t, e.floats(_LEAST)), power, e.floats(0))


def _each(e: Emit, count: Any) -> Any:
    return e.loop(e.b.udiv(count, i64(LANES)))


def _add(e: Emit, row: Any, more: Any, count: Any) -> None:
    with _each(e, count) as loop:
        at = e.b.mul(loop.index, i64(64))
        e.store(e.b.fadd(e.load(row, at, VF), e.load(more, at, VF)), row, at, VF)


def _squares(e: Emit, row: Any, count: Any) -> Any:
    total = e.accumulators(1, VF, e.floats(0))[0]
    with _each(e, count) as loop:
        x = e.load(row, e.b.mul(loop.index, i64(64)), VF)
        e.b.store(e.fma(x, x, e.b.load(total)), total)
    return e.fold(e.b.load(total), e.b.fadd)


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


def _gate(e: Emit, gate: Any, up: Any, out: Any, count: Any) -> None:
    one = e.floats(1)
    with _each(e, count) as loop:
        at = e.b.mul(loop.index, i64(64))
        g = e.load(gate, at, VF)
        t = e.b.fmul(g, e.floats(-LOG2_E))
        capped = e.b.select(e.b.fcmp_ordered("<", t, e.floats(_MOST)), t, e.floats(_MOST))
        sigmoid = e.b.fdiv(g, e.b.fadd(one, _exp2(e, capped)))
        e.store(e.b.fmul(sigmoid, e.load(up, at, VF)), out, at, VF)


def _quantize(e: Emit, row: Any, scales: Any, groups: Any, out: Any, signed: Any | None = None) -> None:
    b = e.b
    with e.loop(groups) as loop:
        at = b.mul(loop.index, i64(GROUP * 4))
        x = [e.load(row, b.add(at, i64(64 * n)), VF) for n in range(GROUP // LANES)]
        sizes = [e.call("llvm.fabs.v16f32", VF, [v]) for v in x]
        most = e.fold(e.most(e.most(sizes[0], sizes[1]), e.most(sizes[2], sizes[3])), e.most)
        most = e.most(most, ir.Constant(F32, 1e-20))
        limit = ir.Constant(F32, 127.0)
        inverse = e.splat(b.fdiv(limit, most), VF)
        for n, v in enumerate(x):
            rounded = b.fptosi(e.fma(v, inverse, e.floats(128.5)), VI)
            here = b.add(b.mul(loop.index, i64(GROUP)), i64(LANES * n))
            values = b.trunc(rounded, _BYTES)
            e.store_small(values, out, here, _BYTES)
            if signed is not None:
                e.store_small(b.xor(values, ir.Constant(_BYTES, [-128] * LANES)), signed, here, _BYTES)
        e.store(b.fdiv(most, limit), scales, b.mul(loop.index, i64(4)), F32)


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


def running_softmax(e: Emit, x: list[Any], mixed: Any, state: Any, width: Any) -> list[Any]:
    """Return the weights of a row's scores (base 2) so far seen.

    `state` is the row's running maximum, then at 64 bytes the running sums of 16 lanes; `mixed` (width floats) and the
    sums are scaled down when the maximum grows.
    """
    b = e.b
    tops = list(x)
    while len(tops) > 1:
        tops = [e.most(first, second) for first, second in zip(tops[::2], tops[1::2], strict=True)]
    most = e.fold(tops[0], e.most)
    before = e.load(state, i64(0), F32)
    top = e.accumulators(1, F32, before)[0]
    with b.if_then(b.fcmp_ordered(">", most, before)):
        factor = _exp2(e, e.splat(b.fsub(before, most), VF))
        with _each(e, width) as loop:
            at = b.mul(loop.index, i64(64))
            e.store(b.fmul(e.load(mixed, at, VF), factor), mixed, at, VF)
        e.store(b.fmul(e.load(state, i64(64), VF), factor), state, i64(64), VF)
        e.store(most, state, i64(0), F32)
        b.store(most, top)
    peak = e.splat(b.load(top), VF)
    weights = [_exp2(e, b.fsub(v, peak)) for v in x]
    sums = e.load(state, i64(64), VF)
    for weight in weights:
        sums = b.fadd(sums, weight)
    e.store(sums, state, i64(64), VF)
    return weights


def visible_scores(e: Emit, scores: Any, span: int, visible: Any | None) -> list[Any]:
    """Load a row's scores; those from `visible` on become minus infinity."""
    x = [e.load(scores, i64(64 * n), VF) for n in range(span // LANES)]
    if visible is None:
        return x
    limit = e.splat(e.b.trunc(visible, I32), VI)
    lanes = [ir.Constant(VI, [LANES * n + lane for lane in range(LANES)]) for n in range(len(x))]
    seen = [e.b.icmp_signed("<", lane, limit) for lane in lanes]
    return [e.b.select(mask, v, e.floats(-math.inf)) for mask, v in zip(seen, x, strict=True)]


def softmax_tile(span: int, *, masked: bool) -> Any:
    """Return (scores, mixed, state, width, visible): scores of one row and `span` keys become weights, in place.

    See `running_softmax`. Without `masked` all keys are seen, whatever `visible` says.
    """

    def emit(e: Emit, scores: Any, mixed: Any, state: Any, width: Any, visible: Any) -> None:
        x = visible_scores(e, scores, span, visible if masked else None)
        for n, weight in enumerate(running_softmax(e, x, mixed, state, width)):
            e.store(weight, scores, i64(64 * n), VF)

    return kernel("iiiii", emit)


add = kernel("iii", _add)
"""(row, more, count): row += more."""
squares = kernel("ii", _squares, returns=True)
"""(row, count): the sum of squares."""
weigh = kernel("iiiif", _weigh)
"""(row, weight, out, count, factor): out = row * factor * weight."""
scale = kernel("iiif", _scale)
"""(row, out, count, factor): out = row * factor."""
gate = kernel("iiii", _gate)
"""(gate, up, out, count): out = silu(gate) * up."""
quantize = kernel("iiii", _quantize)
"""(row, scales, groups, out): a scale a group of 64 values, and unsigned bytes around 128."""
quantize_twice = kernel("iiiii", _quantize)
"""(row, scales, groups, out, signed): as `quantize`, and the same bytes signed."""


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
fold_sum = kernel("i", lambda e, at: e.fold(e.load(at, i64(0), VF), e.b.fadd), returns=True)
"""(at): the sum of 16 floats."""
