# pyright: basic
# (numba and llvmlite have no types of their own)
"""The linear tile for a core with AMX: 16 rows times a panel, by products of signed bytes (`tdpbssd`).

A product of tiles takes 64 values of the inner dimension, a group, so that after each its 256 integers must be scaled
and added up in vector registers. A core is busy with that about as long as with the tiles; so the tiles of the next
group are under way, spread between the additions, while this group's integers are added.
"""

from collections.abc import Callable
from typing import Any

from llvmlite import ir

from midwatch_serving.kernels.amx import TILE, amx, product, zero
from midwatch_serving.kernels.emit import BYTES, F32, LANES, VF, VI, Emit, i64, kernel
from midwatch_serving.kernels.micro import GROUP, MAGIC, PANEL, column_scale, scaled

AMX_ROWS = 16
_HALVES = PANEL // LANES
_STEP = 3
"""Rows that are added up between two tile instructions."""


def _tile_work(e: Emit, acts: Any, weights: Any, width: Any, into: Any, after: Any | None) -> list[Callable[[], None]]:
    """Return the instructions that put 16 rows of a group times 16 columns into `into`."""
    steps = [
        lambda: zero(e, 0),
        lambda: amx(e, "tileloadd64", 1, acts, width),
        lambda: amx(e, "tileloadd64", 2, weights, i64(4 * PANEL)),
        lambda: product(e, "tdpbssd", 0, 1, 2),
        lambda: amx(e, "tilestored64", 0, into, i64(4 * LANES)),
    ]
    if after is not None:
        at = e.b.add(weights, after)
        steps += [lambda line=line: e.prefetch(at, i64(4 * PANEL * line), near=False) for line in range(GROUP // 4)]
    return steps


def amx_tile(*, ahead: bool) -> Any:
    """Return the tile (acts, act_scales, weights, weight_scales, out, groups, out_stride, scratch, tiles).

    `tiles` times 16 rows of signed bytes times one panel of signed bytes; otherwise as `micro.vnni_tile`. `scratch`
    holds two tiles of integers. With `ahead` the panel that follows is asked for. The thread must have loaded the
    tile shapes.
    """

    def emit(e: Emit, *p: Any) -> None:
        acts, act_scales, weights, scales, out, groups, stride, scratch, tiles = p
        b = e.b
        width, scale_width = b.mul(groups, i64(GROUP)), b.mul(groups, i64(4))
        next_panel = b.mul(groups, i64(GROUP * PANEL))
        turn = e.accumulators(1, groups.type, i64(0))[0]

        def work(tile: Any, half: int, group: Any) -> list[Callable[[], None]]:
            """Return the tile work of a group, into the half of the scratch that is not being added up."""
            rows_at = b.add(acts, b.add(b.mul(b.mul(tile, i64(AMX_ROWS)), width), b.mul(group, i64(GROUP))))
            panel_at = b.add(weights, b.add(b.mul(group, i64(GROUP * PANEL)), i64(64 * half)))
            into = b.add(scratch, b.xor(b.load(turn), i64(TILE)))
            return _tile_work(e, rows_at, panel_at, width, into, next_panel if ahead else None)

        def add_up(tile: Any, half: int, group: Any, totals: list[Any], steps: list[Callable[[], None]]) -> None:
            column = column_scale(e, scales, b.add(b.mul(group, i64(PANEL * 2)), i64(32 * half)))
            first = b.add(act_scales, b.add(b.mul(b.mul(tile, i64(AMX_ROWS)), scale_width), b.mul(group, i64(4))))
            ready = b.add(scratch, b.load(turn))
            for m, total in enumerate(totals):
                if m % _STEP == 0 and steps:
                    steps.pop(0)()
                row_scale = e.splat(e.load(first, b.mul(scale_width, i64(m)), F32), VF)
                bits = b.add(e.load(ready, i64(64 * m), VI), ir.Constant(VI, [MAGIC] * LANES))
                b.store(scaled(e, b.load(total), bits, column, row_scale), total)
            for step in steps:
                step()
            b.store(b.xor(b.load(turn), i64(TILE)), turn)

        for step in work(i64(0), 0, i64(0)):
            step()
        b.store(i64(TILE), turn)
        last = b.sub(groups, i64(1))
        with e.loop(tiles) as rows:
            tile = rows.index
            following = b.add(tile, i64(1))
            following = b.select(b.icmp_signed("<", following, tiles), following, tile)
            for half in range(_HALVES):
                totals = e.accumulators(AMX_ROWS, VF, ir.Constant(VF, [0.0] * LANES))
                with e.loop(last) as loop:
                    add_up(tile, half, loop.index, totals, work(tile, half, b.add(loop.index, i64(1))))
                after = work(tile, 1, i64(0)) if half == 0 else work(following, 0, i64(0))
                add_up(tile, half, last, totals, after)
                for m, total in enumerate(totals):
                    at = b.mul(stride, b.add(b.mul(tile, i64(AMX_ROWS)), i64(m)))
                    e.store(b.load(total), out, b.add(at, i64(64 * half)), VF)

    return kernel("iiiiiiiii", emit)


def amx_switch(name: str) -> Any:
    """Return `ldtilecfg` (address of the 64 bytes) or `tilerelease` (address ignored)."""

    def emit(e: Emit, address: Any) -> None:
        arguments = [e.b.inttoptr(address, BYTES)] if name == "ldtilecfg" else []
        e.call(f"llvm.x86.{name}", ir.VoidType(), arguments)

    return kernel("i", emit)
