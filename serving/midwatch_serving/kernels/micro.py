# pyright: basic
# (numba and llvmlite have no types of their own)
"""The register tiles: what one core does between two loads of a scale.

All linear tiles work on 64 values of the inner dimension at a time (`GROUP`, one pair of scales) and on panels of 32
outer columns. `vnni` and `amx` compute the same integers, which fit a float exactly, and scale and add them in the same
order with the same roundings, so that a row comes out bit for bit the same from either, whatever rows stand beside it.
"""

from typing import Any

from llvmlite import ir

from midwatch_serving.kernels.emit import BYTES, F32, I8, I32, LANES, V8, V64, VF, VH, VI, Emit, i64, kernel

GROUP = 64
PANEL = 32
AMX_ROWS = 16
STREAMING_ROWS = 4
"""Up to this many rows a tile waits for weights, not for arithmetic, and asks for them ahead."""
AHEAD = 8192
"""Bytes."""
_ZERO = ir.Constant(VF, [0.0] * LANES)
_PAIR = range(PANEL // LANES)


def _scaled(e: Emit, total: Any, integers: Any, weight_scale: Any, row_scale: Any) -> Any:
    """Return total + row_scale * (weight_scale * integers); the one place that defines its roundings."""
    return e.fma(e.b.fmul(e.b.sitofp(integers, VF), weight_scale), row_scale, total)


def vnni_tile(rows: int) -> Any:
    """Return the tile (acts, act_scales, weights, weight_scales, offsets, out, groups, out_stride).

    `rows` rows of unsigned bytes (groups * 64 apart) times one panel of signed bytes laid out (inner / 4, 32, 4), by
    AVX-512 VNNI's `vpdpbusd`. `offsets` takes away the 128 that makes the activations unsigned.
    """

    def emit(e: Emit, *p: Any) -> None:
        acts, act_scales, weights, scales, offsets, out, groups, stride = p
        totals = [e.accumulators(len(_PAIR), VF, _ZERO) for _ in range(rows)]
        width, scale_width = e.b.mul(groups, i64(GROUP)), e.b.mul(groups, i64(4))
        with e.loop(groups) as loop:
            g = loop.index
            columns = e.b.mul(g, i64(PANEL * 4))
            start = [e.load(offsets, e.b.add(columns, i64(64 * n)), VI) for n in _PAIR]
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
                weight_scale = e.load(scales, e.b.add(columns, i64(64 * n)), VF)
                for m in range(rows):
                    at = e.b.add(e.b.mul(scale_width, i64(m)), e.b.mul(g, i64(4)))
                    row_scale = e.splat(e.load(act_scales, at, F32), VF)
                    e.b.store(_scaled(e, e.b.load(totals[m][n]), sums[m][n], weight_scale, row_scale), totals[m][n])
        _store(e, totals, out, stride)

    return kernel("iiiiiiii", emit)


def amx_tile() -> Any:
    """Return the tile (acts, act_scales, weights, weight_scales, offsets, out, groups, out_stride, scratch).

    As `vnni_tile` for 16 rows, by AMX's `tdpbusd`: a group is one tile product. `scratch` holds 16 x 32 integers.
    The thread must have run `amx_configure`.
    """

    def emit(e: Emit, *p: Any) -> None:
        acts, act_scales, weights, scales, offsets, out, groups, stride, scratch = p
        width, scale_width = e.b.mul(groups, i64(GROUP)), e.b.mul(groups, i64(4))
        for n in _PAIR:  # one half after the other: its totals fill the registers that there are
            totals = e.accumulators(AMX_ROWS, VF, _ZERO)
            with e.loop(groups) as loop:
                g = loop.index
                columns = e.b.add(e.b.mul(g, i64(PANEL * 4)), i64(64 * n))
                panel_at = e.b.add(e.b.mul(g, i64(GROUP * PANEL)), i64(64 * n))
                for line in range(GROUP // 4):
                    e.prefetch(weights, e.b.add(panel_at, i64(128 * line + AHEAD)))
                _amx(e, "tileloadd64", 0, e.b.add(offsets, columns), i64(0))
                _amx(e, "tileloadd64", 1, e.b.add(acts, e.b.mul(g, i64(GROUP))), width)
                _amx(e, "tileloadd64", 2, e.b.add(weights, panel_at), i64(128))
                e.call("llvm.x86.tdpbusd", ir.VoidType(), [ir.Constant(I8, tile) for tile in range(3)])
                _amx(e, "tilestored64", 0, scratch, i64(64))
                weight_scale = e.load(scales, columns, VF)
                for m in range(AMX_ROWS):
                    at = e.b.add(e.b.mul(scale_width, i64(m)), e.b.mul(g, i64(4)))
                    row_scale = e.splat(e.load(act_scales, at, F32), VF)
                    integers = e.load(scratch, i64(64 * m), VI)
                    e.b.store(_scaled(e, e.b.load(totals[m]), integers, weight_scale, row_scale), totals[m])
            for m, total in enumerate(totals):
                e.store(e.b.load(total), out, e.b.add(e.b.mul(stride, i64(m)), i64(64 * n)), VF)

    return kernel("iiiiiiiii", emit)


def _amx(e: Emit, name: str, tile: int, address: Any, stride: Any) -> None:
    e.call(f"llvm.x86.{name}", ir.VoidType(), [ir.Constant(I8, tile), e.b.inttoptr(address, BYTES), stride])


def amx_switch(name: str) -> Any:
    """Return `ldtilecfg` (address of the 64 bytes) or `tilerelease` (address ignored)."""

    def emit(e: Emit, address: Any) -> None:
        arguments = [e.b.inttoptr(address, BYTES)] if name == "ldtilecfg" else []
        e.call(f"llvm.x86.{name}", ir.VoidType(), arguments)

    return kernel("i", emit)


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
                scale = e.load(scales, e.b.add(e.b.mul(g, i64(PANEL * 4)), i64(64 * n)), VF)
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
