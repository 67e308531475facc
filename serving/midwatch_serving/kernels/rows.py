# pyright: basic
# (numba and llvmlite have no types of their own)
"""What is done to one row at a time, in explicit vectors: the order of every addition is written down, not chosen.

Lengths are multiples of 16 (64 where groups are involved).
"""

from typing import Any

from llvmlite import ir

from midwatch_serving.kernels.emit import F32, HALF, I8, LANES, VF, VH, VI, Emit, i64, kernel
from midwatch_serving.kernels.micro import GROUP

_BYTES = ir.VectorType(I8, LANES)
_LEAST, _MOST = -87.0, 88.0
"""exp of anything below the first is 0; anything above the second counts as it."""
_POWERS_OF_TWO = (1.540353e-4, 1.3333558e-3, 9.6181291e-3, 5.5504109e-2, 2.4022651e-1, 6.9314718e-1, 1.0)
"""Coefficients of 2**f for f in [-0.5, 0.5]: ln(2)**k / k!, so that 2**0 is exactly 1."""


def _exp(e: Emit, x: Any) -> Any:
    """Return e**x for a vector, to about 2e-7; exp(0) is exactly 1 and exp(x < -87) exactly 0."""
    b = e.b
    capped = b.select(b.fcmp_ordered("<", x, e.floats(_MOST)), x, e.floats(_MOST))
    t = b.fmul(e.most(capped, e.floats(_LEAST)), e.floats(1.44269504))
    n = e.call("llvm.floor.v16f32", VF, [b.fadd(t, e.floats(0.5))])
    f = b.fsub(t, n)
    value = e.floats(_POWERS_OF_TWO[0])
    for coefficient in _POWERS_OF_TWO[1:]:
        value = e.fma(value, f, e.floats(coefficient))
    exponent = b.add(b.fptosi(n, VI), ir.Constant(VI, [127] * LANES))
    power = b.bitcast(b.shl(exponent, ir.Constant(VI, [23] * LANES)), VF)
    return b.select(b.fcmp_ordered("<", x, e.floats(_LEAST)), e.floats(0), b.fmul(value, power))


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
        sigmoid = e.b.fdiv(g, e.b.fadd(one, _exp(e, e.b.fneg(g))))
        e.store(e.b.fmul(sigmoid, e.load(up, at, VF)), out, at, VF)


def _quantize(e: Emit, row: Any, out: Any, scales: Any, groups: Any) -> None:
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
            e.store_small(b.trunc(rounded, _BYTES), out, b.add(b.mul(loop.index, i64(GROUP)), i64(LANES * n)), _BYTES)
        e.store(b.fdiv(most, limit), scales, b.mul(loop.index, i64(4)), F32)


def _store_key(e: Emit, row: Any, page: Any, count: Any) -> None:
    with e.loop(count) as loop:
        value = e.b.fptrunc(e.load(row, e.b.mul(loop.index, i64(4)), F32), HALF)
        e.store_small(value, page, e.b.mul(loop.index, i64(2 * LANES)), HALF)


def _store_value(e: Emit, row: Any, page: Any, count: Any) -> None:
    with _each(e, count) as loop:
        value = e.b.fptrunc(e.load(row, e.b.mul(loop.index, i64(64)), VF), VH)
        e.store_small(value, page, e.b.mul(loop.index, i64(32)), VH)


def softmax_tile(span: int) -> Any:
    """Return (scores, mixed, state, width): scores of one row and `span` keys become weights, in place.

    `state` is the row's running maximum, then at 64 bytes the running sums of 16 lanes; `mixed` (width floats) and the
    sums are scaled down when the maximum grows.
    """

    def emit(e: Emit, scores: Any, mixed: Any, state: Any, width: Any) -> None:
        b = e.b
        x = [e.load(scores, i64(64 * n), VF) for n in range(span // LANES)]
        most = x[0]
        for v in x[1:]:
            most = e.most(most, v)
        most = e.fold(most, e.most)
        before = e.load(state, i64(0), F32)
        top = e.accumulators(1, F32, before)[0]
        with b.if_then(b.fcmp_ordered(">", most, before)):
            factor = _exp(e, e.splat(b.fsub(before, most), VF))
            with _each(e, width) as loop:
                at = b.mul(loop.index, i64(64))
                e.store(b.fmul(e.load(mixed, at, VF), factor), mixed, at, VF)
            e.store(b.fmul(e.load(state, i64(64), VF), factor), state, i64(64), VF)
            e.store(most, state, i64(0), F32)
            b.store(most, top)
        peak = e.splat(b.load(top), VF)
        sums = e.load(state, i64(64), VF)
        for n, v in enumerate(x):
            weight = _exp(e, b.fsub(v, peak))
            e.store(weight, scores, i64(64 * n), VF)
            sums = b.fadd(sums, weight)
        e.store(sums, state, i64(64), VF)

    return kernel("iiii", emit)


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
"""(row, out, scales, groups): unsigned bytes around 128, and a scale a group of 64 values."""


def _fetch(e: Emit, at: Any, count: Any) -> None:
    with e.loop(e.b.udiv(count, i64(64))) as loop:
        e.prefetch(at, e.b.mul(loop.index, i64(64)))


fetch = kernel("ii", _fetch)
"""(at, count): ask for `count` bytes ahead of their use."""
store_key = kernel("iii", _store_key)
"""(row, page, count): the row as half floats, 16 apart: one token's place in a page (count, 16)."""
store_value = kernel("iii", _store_value)
"""(row, page, count): the row as half floats, side by side."""
fold_sum = kernel("i", lambda e, at: e.fold(e.load(at, i64(0), VF), e.b.fadd), returns=True)
"""(at): the sum of 16 floats."""
