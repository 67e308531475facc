# pyright: basic
# (numba and llvmlite have no types of their own)
"""`linear`: rows times packed weights, the same bits for a row whatever the batch, by the tiles of `micro`.

`store_row` turns a row of floats into what the weights' kind multiplies with; `linear` multiplies. Both choose their
code by the types of their arguments when the step is compiled.
"""

from typing import Any

import numpy as np
from numba import njit
from numba.extending import overload

from midwatch_serving.kernels.activations import (
    gate_bytes,
    gate_bytes_twice,
    gate_floats,
    normed_bytes,
    normed_bytes_twice,
    quantize_twice,
)
from midwatch_serving.kernels.activations import quantize as quantize_groups
from midwatch_serving.kernels.amx_linear import AMX_ROWS
from midwatch_serving.kernels.arrays import (
    FloatRows,
    Floats,
    PortableWeights,
    QuantizedRows,
    Rows,
    SignedRows,
    VnniWeights,
    Weights,
    aligned,
    panels,
    quantize,
    whole_panels,
)
from midwatch_serving.kernels.emit import LANES, address, is_a
from midwatch_serving.kernels.micro import GROUP, PANEL
from midwatch_serving.kernels.panel import multiply
from midwatch_serving.kernels.rows import scale, weigh
from midwatch_serving.kernels.threads import take

BLOCK_BYTES = 196608
"""Bytes of activations that go through all panels before the next: what stays in a core's second cache beside them."""
GATED_ROWS = 96
"""Rows whose gates and ups are held as floats at a time; a multiple of 16."""
GROUP_PANELS = GROUP // LANES
TILE_FLOATS = 512
"""Floats of scratch that `multiply` works in."""
LINEAR_FLOATS = TILE_FLOATS + GATED_ROWS * GROUP_PANELS * PANEL
"""Floats of scratch that a thread needs."""


def pack(kind: type[Any], matrices: list[Floats]) -> Weights:
    """Pack matrices (outer, inner) of one shape, one a layer; inner must be a multiple of 64."""
    packed: list[tuple[Any, ...]] = []
    for matrix in matrices:
        values, scales = quantize(whole_panels(matrix))
        outer, inner = values.shape
        if kind is PortableWeights:
            packed.append((values.reshape(outer // PANEL, PANEL, inner).transpose(0, 2, 1), panels(scales)))
        else:
            sums = values.reshape(outer, -1, GROUP).sum(axis=2, dtype=np.int32)
            laid = values.reshape(outer // PANEL, PANEL, inner // 4, 4).transpose(0, 2, 1, 3)
            packed.append((laid, panels(scales), panels((-sums).astype(np.int16))))
    return kind(*(_stacked(parts) for parts in zip(*packed, strict=True)))


def interleaved(gate: Floats, up: Floats) -> Floats:
    """Return the matrix (2 * outer, inner) that `gated` takes: 16 rows of the one, then 16 of the other."""
    outer, inner = gate.shape
    both = np.stack([gate.reshape(outer // LANES, LANES, inner), up.reshape(outer // LANES, LANES, inner)], axis=1)
    return np.ascontiguousarray(both.reshape(2 * outer, inner))


def _stacked(parts: tuple[Any, ...]) -> Any:
    out = aligned((len(parts), *parts[0].shape), parts[0].dtype)
    for layer, part in enumerate(parts):
        out[layer] = part
    return out


def rows_for(kind: type[Any], rows: int, inner: int) -> Rows:
    """Return room for `rows` rows of activations."""
    if kind is PortableWeights:
        return FloatRows(aligned((rows, inner), np.float32))
    values, scales = aligned((rows, inner), np.uint8), aligned((rows, inner // GROUP), np.float32)
    if kind is VnniWeights:
        return QuantizedRows(values, scales)
    return SignedRows(values, scales, aligned((rows, inner), np.int8))


def tile_configuration() -> Any:
    """Return AMX's 64 bytes of tile shapes: palette 1, every tile 16 rows of 64 bytes (Intel SDM, LDTILECFG)."""
    configuration = aligned((64,), np.uint8)
    configuration[0] = 1
    configuration[16:32:2] = 64
    configuration[48:56] = AMX_ROWS
    return configuration


def store_row(rows: Any, row: int, values: Any) -> None:
    """Put a row of floats into `rows`."""
    raise NotImplementedError  # compiled code only


@overload(store_row, strict=False)
def _store_row(rows: Any, row: Any, values: Any) -> Any:  # pyright: ignore[reportUnusedFunction]
    del row, values
    if is_a(rows, QuantizedRows):
        return _quantize_row
    return _quantize_row_twice if is_a(rows, SignedRows) else _copy_row


def _quantize_row(rows: Any, row: int, values: Any) -> None:
    quantize_groups(address(values), address(rows.scales[row]), values.size // GROUP, address(rows.values[row]))


def _quantize_row_twice(rows: Any, row: int, values: Any) -> None:
    out, signed = address(rows.values[row]), address(rows.signed[row])
    quantize_twice(address(values), address(rows.scales[row]), values.size // GROUP, out, signed)


def _copy_row(rows: Any, row: int, values: Any) -> None:
    scale(address(values), address(rows.values[row]), values.size, np.float32(1))


def store_normed(rows: Any, row: int, at: Any, weight: Any, factor: Any) -> None:
    """Put the row of floats at an address into `rows`, times `factor` and, value by value, `weight`."""
    raise NotImplementedError  # compiled code only


@overload(store_normed, strict=False)
def _store_normed(rows: Any, row: Any, at: Any, weight: Any, factor: Any) -> Any:  # pyright: ignore[reportUnusedFunction]
    if is_a(rows, QuantizedRows):
        return _quantize_normed
    return _quantize_normed_twice if is_a(rows, SignedRows) else _copy_normed


def _quantize_normed(rows: Any, row: int, at: Any, weight: Any, factor: Any) -> None:
    scales, out = address(rows.scales[row]), address(rows.values[row])
    normed_bytes(at, address(weight), factor, weight.size // GROUP, scales, out)


def _quantize_normed_twice(rows: Any, row: int, at: Any, weight: Any, factor: Any) -> None:
    scales, out, signed = address(rows.scales[row]), address(rows.values[row]), address(rows.signed[row])
    normed_bytes_twice(at, address(weight), factor, weight.size // GROUP, scales, out, signed)


def _copy_normed(rows: Any, row: int, at: Any, weight: Any, factor: Any) -> None:
    weigh(at, address(weight), address(rows.values[row]), weight.size, factor)


@njit(nogil=True)
def linear(rows: Any, weights: Any, layer: int, out: Any, count: int, counter: Any, threads: int, scratch: Any) -> None:
    """Write `count` rows times the layer's matrix to `out`, this thread's share of the columns.

    `counter` is the address of the phase's work counter, `scratch` floats of this thread.
    """
    panels, stride = weights.scales.shape[1], out.shape[1] * 4
    block = _block_rows(rows)
    while True:
        first, end = take(counter, (count + block - 1) // block * panels, threads, 1)
        if first >= end:
            break
        for item in range(first, end):
            m, panel = item // panels * block, item % panels
            to = address(out) + m * stride + panel * PANEL * 4
            multiply(rows, m, min(block, count - m), weights, layer, panel, to, stride, scratch)


@njit(nogil=True)
def gated(rows: Any, weights: Any, layer: int, out: Any, count: int, counter: Any, threads: int, scratch: Any) -> None:
    """Store silu(gate) * up of `count` rows in `out`, this thread's share of the columns.

    A panel holds 16 columns of the gate's matrix, then the same 16 of up's. Four panels make a group of `out`, and are
    multiplied before any is stored: so the widest rows of the model never go to memory as floats.
    """
    panels = weights.scales.shape[1] // GROUP_PANELS
    block = _block_rows(rows)
    stride = GROUP_PANELS * PANEL * 4
    here = scratch[TILE_FLOATS : TILE_FLOATS + GATED_ROWS * GROUP_PANELS * PANEL]
    while True:
        first, end = take(counter, (count + block - 1) // block * panels, threads, 1)
        if first >= end:
            break
        for item in range(first, end):
            start, group = item // panels * block, item % panels
            for m in range(start, min(start + block, count), GATED_ROWS):
                some = min(GATED_ROWS, min(start + block, count) - m)
                for n in range(GROUP_PANELS):
                    to = address(here) + n * PANEL * 4
                    multiply(rows, m, some, weights, layer, group * GROUP_PANELS + n, to, stride, scratch)
                for r in range(some):
                    store_gated(out, m + r, group, address(here) + r * stride)


@njit
def _block_rows(rows: Any) -> int:
    return max(1, BLOCK_BYTES // (rows.values.itemsize * rows.values.shape[1] * GATED_ROWS)) * GATED_ROWS


def store_gated(out: Any, row: int, group: int, at: Any) -> None:
    """Put silu(gate) * up into a group of a row; 16 gates at the address `at`, 16 ups, and so on four times."""
    raise NotImplementedError  # compiled code only


@overload(store_gated, strict=False)
def _store_gated(out: Any, row: Any, group: Any, at: Any) -> Any:  # pyright: ignore[reportUnusedFunction]
    if is_a(out, FloatRows):
        return _gate_floats
    return _gate_bytes_twice if is_a(out, SignedRows) else _gate_bytes


def _gate_floats(out: Any, row: int, group: int, at: Any) -> None:
    gate_floats(at, address(out.values[row, group * GROUP :]))


def _gate_bytes(out: Any, row: int, group: int, at: Any) -> None:
    gate_bytes(at, address(out.scales[row, group:]), address(out.values[row, group * GROUP :]))


def _gate_bytes_twice(out: Any, row: int, group: int, at: Any) -> None:
    values, signed = address(out.values[row, group * GROUP :]), address(out.signed[row, group * GROUP :])
    gate_bytes_twice(at, address(out.scales[row, group:]), values, signed)
