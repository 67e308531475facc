# pyright: basic
# (numba and llvmlite have no types of their own)
"""The register tiles: what one core does between two loads of a scale.

All linear tiles work on 64 values of the inner dimension at a time (`GROUP`, one pair of scales) and on panels of 32
outer columns. `vnni_tile` and `amx_linear.amx_tile` compute the same integers, which fit a float exactly, and scale and
add them in the same order with the same roundings, so that a row comes out bit for bit the same from either, whatever
rows stand beside it.
"""

from typing import Any

from llvmlite import ir

from midwatch_serving.kernels.emit import F32, I32, LANES, V8, V64, VF, VH, VI, Emit, i64, kernel

GROUP = 64
PANEL = 32
STREAMING_ROWS = 4
"""Up to this many rows a tile waits for weights, not for arithmetic, and asks for them ahead."""
AHEAD = 8192
"""Bytes."""
_ZERO = ir.Constant(VF, [0.0] * LANES)
_PAIR = range(PANEL // LANES)


MAGIC = 0x4B400000
"""An integer below 2**22 added to these bits makes the bits of the float 1.5 * 2**23 + that integer."""


def column_scale(e: Emit, scales: Any, at: Any) -> tuple[Any, Any]:
    """Return the scales of 16 columns, and what takes `MAGIC` away again once multiplied; both are exact."""
    scale = e.bfloats(scales, at)
    return scale, e.b.fmul(scale, e.floats(-12582912.0))


def scaled(e: Emit, total: Any, bits: Any, column: tuple[Any, Any], row_scale: Any) -> Any:
    """Return total + row_scale * (column scale * integers); the one place that defines its roundings.

    The integers come as `MAGIC` + integer. A bfloat16 scale times 1.5 * 2**23 is a float, so that the first product is
    the integer's, rounded once.
    """
    return e.fma(e.fma(e.b.bitcast(bits, VF), *column), row_scale, total)


def vnni_tile(rows: int) -> Any:
    """Return the tile (acts, act_scales, weights, weight_scales, offsets, out, groups, out_stride).

    `rows` rows of unsigned bytes (groups * 64 apart) times one panel of signed bytes laid out (inner / 4, 32, 4), by
    AVX-512 VNNI's `vpdpbusd`. `offsets`, minus the sums of the weights, take away the 128 that makes the activations
    unsigned.
    """

    def emit(e: Emit, *p: Any) -> None:
        acts, act_scales, weights, scales, offsets, out, groups, stride = p
        totals = [e.accumulators(len(_PAIR), VF, _ZERO) for _ in range(rows)]
        width, scale_width = e.b.mul(groups, i64(GROUP)), e.b.mul(groups, i64(4))
        with e.loop(groups) as loop:
            g = loop.index
            columns = [e.b.add(e.b.mul(g, i64(PANEL * 2)), i64(32 * n)) for n in _PAIR]
            start = [_offset(e, offsets, at) for at in columns]
            sums = [list(start) for _ in range(rows)]
            row_at = [e.b.add(e.b.mul(width, i64(m)), e.b.mul(g, i64(GROUP))) for m in range(rows)]
            panel_at = e.b.mul(g, i64(GROUP * PANEL))
            for k in range(GROUP // 4):
                w = [e.b.bitcast(e.load(weights, e.b.add(panel_at, i64(k * 128 + n * 64)), V64), VI) for n in _PAIR]
                if rows <= STREAMING_ROWS:
                    for n in _PAIR:
                        e.prefetch(weights, e.b.add(panel_at, i64(k * 128 + n * 64 + AHEAD)))
                for m in range(rows):
                    a = e.splat(e.load(acts, e.b.add(row_at[m], i64(4 * k)), I32), VI)
                    for n in _PAIR:
                        sums[m][n] = e.call("llvm.x86.avx512.vpdpbusd.512", VI, [sums[m][n], a, w[n]])
            for n in _PAIR:
                column = column_scale(e, scales, columns[n])
                for m in range(rows):
                    at = e.b.add(e.b.mul(scale_width, i64(m)), e.b.mul(g, i64(4)))
                    row_scale = e.splat(e.load(act_scales, at, F32), VF)
                    e.b.store(scaled(e, e.b.load(totals[m][n]), sums[m][n], column, row_scale), totals[m][n])
        _store(e, totals, out, stride)

    return kernel("iiiiiiii", emit)


def _offset(e: Emit, offsets: Any, at: Any) -> Any:
    """Return `MAGIC` + 128 * offset for 16 columns."""
    offset = e.b.shl(e.short(offsets, at), ir.Constant(VI, [7] * LANES))
    return e.b.add(offset, ir.Constant(VI, [MAGIC] * LANES))


def portable_tile(rows: int) -> Any:
    """Return the tile (acts, weights, weight_scales, out, groups, out_stride).

    `rows` rows of floats times one panel of signed bytes laid out (inner, 32), in vectors of any machine: a group is
    added up in floats, then scaled.
    """

    def emit(e: Emit, *p: Any) -> None:
        acts, weights, scales, out, groups, stride = p
        totals = [e.accumulators(len(_PAIR), VF, _ZERO) for _ in range(rows)]
        width = e.b.mul(groups, i64(GROUP * 4))
        with e.loop(groups) as loop:
            g = loop.index
            sums: list[list[Any]] = [[_ZERO for _ in _PAIR] for _ in range(rows)]
            row_at = [e.b.add(e.b.mul(width, i64(m)), e.b.mul(g, i64(GROUP * 4))) for m in range(rows)]
            panel_at = e.b.mul(g, i64(GROUP * PANEL))
            for k in range(GROUP):
                bytes_ = [e.load(weights, e.b.add(panel_at, i64(k * PANEL + n * LANES)), V8) for n in _PAIR]
                w = [e.b.sitofp(e.b.sext(v, VI), VF) for v in bytes_]
                for m in range(rows):
                    a = e.splat(e.load(acts, e.b.add(row_at[m], i64(4 * k)), F32), VF)
                    for n in _PAIR:
                        sums[m][n] = e.fma(a, w[n], sums[m][n])
            for n in _PAIR:
                scale = e.bfloats(scales, e.b.add(e.b.mul(g, i64(PANEL * 2)), i64(32 * n)))
                for m in range(rows):
                    e.b.store(e.fma(sums[m][n], scale, e.b.load(totals[m][n])), totals[m][n])
        _store(e, totals, out, stride)

    return kernel("iiiiii", emit)


def outer_tile(rows: int, *, fresh: bool = False) -> Any:
    """Return the tile (a, b0, b1, c, count, a_stride, b_stride, c_stride): c += a @ b, strides in bytes.

    a is (rows, count) floats; b0 and b1 are (count, 16) half floats each, the left and right half of b; c is (rows, 32)
    floats. Each
    element of c adds up its products in order of `count`, a multiple of 16. A `fresh` tile starts from zero.
    """

    def emit(e: Emit, *p: Any) -> None:
        a, b0, b1, c, count, a_stride, b_stride, c_stride = p
        at = [[e.b.add(e.b.mul(c_stride, i64(m)), i64(64 * n)) for n in _PAIR] for m in range(rows)]
        totals = [e.accumulators(len(_PAIR), VF, _ZERO) for _ in range(rows)]
        for m in range(rows):
            for n in _PAIR:
                if not fresh:
                    e.b.store(e.load(c, at[m][n], VF), totals[m][n])
        unroll = 8
        with e.loop(e.b.udiv(count, i64(unroll))) as loop:
            for u in range(unroll):
                k = e.b.add(e.b.mul(loop.index, i64(unroll)), i64(u))
                row = e.b.mul(k, b_stride)
                b = [e.b.fpext(e.load(at_, row, VH), VF) for at_ in (b0, b1)]
                for m in range(rows):
                    x = e.splat(e.load(a, e.b.add(e.b.mul(a_stride, i64(m)), e.b.mul(k, i64(4))), F32), VF)
                    for n in _PAIR:
                        e.b.store(e.fma(x, b[n], e.b.load(totals[m][n])), totals[m][n])
        for m in range(rows):
            for n in _PAIR:
                e.store(e.b.load(totals[m][n]), c, at[m][n], VF)

    return kernel("iiiiiiii", emit)


def _store(e: Emit, totals: list[list[Any]], out: Any, stride: Any) -> None:
    for m, row in enumerate(totals):
        for n, variable in enumerate(row):
            e.store(e.b.load(variable), out, e.b.add(e.b.mul(stride, i64(m)), i64(64 * n)), VF)
