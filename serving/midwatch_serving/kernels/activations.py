# pyright: basic
# (numba and llvmlite have no types of their own)
"""What a linear takes: rows as bytes with a scale a group, or as floats, straight from the arithmetic that makes them.

Bytes are for cores with AVX-512, so that what makes them may use its instructions.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir

from midwatch_serving.kernels.emit import F32, I8, I16, LANES, VF, VI, Emit, i64, kernel
from midwatch_serving.kernels.micro import GROUP
from midwatch_serving.kernels.softmax import LOG2_E, exp2

_BYTES = ir.VectorType(I8, LANES)
_MOST = 100.0
"""A gate's exponent counts as at most that: 2**-100 times anything is nothing beside its group."""


def _divide(e: Emit, x: Any, y: Any) -> Any:
    """Return x / y, off by a unit in the last place or two, for y from 1 to 2**126: a fifth of a division's time."""
    mask = ir.Constant(I16, -1)
    guess = e.call("llvm.x86.avx512.rcp14.ps.512", VF, [y, e.floats(0), mask])
    rest = e.fma(e.b.fneg(y), guess, e.floats(1))
    return e.b.fmul(x, e.fma(guess, rest, guess))


def _gated(e: Emit, at: Any, divide: Callable[[Any, Any], Any]) -> list[Any]:
    """Return silu(gate) * up of a group; 16 gates, 16 ups, and so on."""
    b, found = e.b, []
    for n in range(GROUP // LANES):
        gate, up = (e.load(at, i64(128 * n + 64 * part), VF) for part in range(2))
        t = b.fmul(gate, e.floats(-LOG2_E))
        capped = b.select(b.fcmp_ordered("<", t, e.floats(_MOST)), t, e.floats(_MOST))
        found.append(b.fmul(divide(gate, b.fadd(e.floats(1), exp2(e, capped))), up))
    return found


def _gate_floats(e: Emit, at: Any, out: Any) -> None:
    for n, value in enumerate(_gated(e, at, e.b.fdiv)):
        e.store(value, out, i64(64 * n), VF)


def _gate_bytes(e: Emit, at: Any, scale: Any, out: Any, signed: Any | None = None) -> None:
    _quantize_group(e, _gated(e, at, lambda x, y: _divide(e, x, y)), scale, out, signed)


def _quantize_group(e: Emit, x: list[Any], scale: Any, out: Any, signed: Any | None = None) -> None:
    b = e.b
    sizes = [e.call("llvm.fabs.v16f32", VF, [v]) for v in x]
    most = e.fold(e.most(e.most(sizes[0], sizes[1]), e.most(sizes[2], sizes[3])), e.most)
    most = e.most(most, ir.Constant(F32, 1e-20))
    inverse = e.splat(b.fdiv(ir.Constant(F32, 127.0), most), VF)
    for n, v in enumerate(x):
        values = b.trunc(b.fptosi(e.fma(v, inverse, e.floats(128.5)), VI), _BYTES)
        e.store_small(values, out, i64(LANES * n), _BYTES)
        if signed is not None:
            e.store_small(b.xor(values, ir.Constant(_BYTES, [-128] * LANES)), signed, i64(LANES * n), _BYTES)
    e.store(b.fmul(most, ir.Constant(F32, float(np.float32(1 / 127)))), scale, i64(0), F32)


def _normed_bytes(e: Emit, row: Any, weight: Any, factor: Any, groups: Any, scales: Any, *outs: Any) -> None:
    by = e.splat(factor, VF)
    with e.loop(groups) as loop:
        g = loop.index
        at = [e.b.add(e.b.mul(g, i64(GROUP * 4)), i64(64 * n)) for n in range(GROUP // LANES)]
        x = [e.b.fmul(e.b.fmul(e.load(row, n, VF), by), e.load(weight, n, VF)) for n in at]
        places = [e.b.add(out, e.b.mul(g, i64(GROUP))) for out in outs]
        _quantize_group(e, x, e.b.add(scales, e.b.mul(g, i64(4))), *places)


def _quantize(e: Emit, row: Any, scales: Any, groups: Any, out: Any, signed: Any | None = None) -> None:
    with e.loop(groups) as loop:
        g = loop.index
        at = e.b.mul(g, i64(GROUP * 4))
        x = [e.load(row, e.b.add(at, i64(64 * n)), VF) for n in range(GROUP // LANES)]
        here = e.b.mul(g, i64(GROUP))
        places = [None if place is None else e.b.add(place, here) for place in (out, signed)]
        _quantize_group(e, x, e.b.add(scales, e.b.mul(g, i64(4))), *places)


gate_floats = kernel("ii", _gate_floats)
"""(at, out): 64 values of silu(gate) * up; 16 gates lie at `at`, then 16 ups, and so on four times."""
gate_bytes = kernel("iii", _gate_bytes)
"""(at, scale, out): the same as one scale and unsigned bytes around 128."""
gate_bytes_twice = kernel("iiii", _gate_bytes)
"""(at, scale, out, signed): the same bytes signed, as well."""
quantize = kernel("iiii", _quantize)
"""(row, scales, groups, out): a scale a group of 64 values, and unsigned bytes around 128."""
quantize_twice = kernel("iiiii", _quantize)
"""(row, scales, groups, out, signed): as `quantize`, and the same bytes signed."""


normed_bytes = kernel("iifiii", _normed_bytes)
"""(row, weight, factor, groups, scales, out): row * factor * weight as unsigned bytes."""
normed_bytes_twice = kernel("iifiiii", _normed_bytes)
"""(row, weight, factor, groups, scales, out, signed): and signed."""
