# pyright: basic
# (numba and llvmlite have no types of their own)
"""Powers of two, and the running softmax of attention, in explicit vectors."""

import math
from typing import Any

from llvmlite import ir

from midwatch_serving.kernels.emit import F32, I32, LANES, VF, VI, Emit, i64, kernel

_LEAST = -126.0
"""2 to the power of anything below is 0."""
_ROUNDER = 12582912.0
"""1.5 * 2**23: a float to which it is added keeps its nearest whole number, in the low bits."""
_POWERS_OF_TWO = (0.00132647273, 0.00967151299, 0.0555073358, 0.240222424, 0.693147004, 1.0)
"""Coefficients of 2**f for f in [-0.5, 0.5], fitted to the least relative error with 2**0 = 1: off by 2e-7 at most."""
LOG2_E = 1.44269504


def exp2(e: Emit, t: Any) -> Any:
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
        factor = exp2(e, e.splat(b.fsub(before, most), VF))
        with e.loop(b.udiv(width, i64(LANES))) as loop:
            at = b.mul(loop.index, i64(64))
            e.store(b.fmul(e.load(mixed, at, VF), factor), mixed, at, VF)
        e.store(b.fmul(e.load(state, i64(64), VF), factor), state, i64(64), VF)
        e.store(most, state, i64(0), F32)
        b.store(most, top)
    peak = e.splat(b.load(top), VF)
    weights = [exp2(e, b.fsub(v, peak)) for v in x]
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


fold_sum = kernel("i", lambda e, at: e.fold(e.load(at, i64(0), VF), e.b.fadd), returns=True)
"""(at): the sum of 16 floats."""
