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

from midwatch_serving.kernels.amx_linear import AMX_ROWS, amx_switch, amx_tile
from midwatch_serving.kernels.arrays import (
    AmxWeights,
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
from midwatch_serving.kernels.emit import address, is_a
from midwatch_serving.kernels.micro import GROUP, PANEL, portable_tile, vnni_tile
from midwatch_serving.kernels.rows import quantize as quantize_groups
from midwatch_serving.kernels.rows import quantize_twice, scale
from midwatch_serving.kernels.threads import take

_vnni1, _vnni2, _vnni3, _vnni4, _vnni6 = (vnni_tile(rows) for rows in (1, 2, 3, 4, 6))
_amx, _amx_ahead = amx_tile(ahead=False), amx_tile(ahead=True)
_amx_load, _amx_release = amx_switch("ldtilecfg"), amx_switch("tilerelease")
_portable1, _portable2, _portable4, _portable6 = (portable_tile(rows) for rows in (1, 2, 4, 6))

AMX_LEAST = 5
"""Rows from which one AMX tile is faster than a VNNI tile of as many rows."""
AMX_BLOCK = 196608
"""Bytes of activations that go through all panels before the next: what stays in a core's second cache beside them."""


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


def linear(rows: Any, weights: Any, layer: int, out: Any, count: int, counter: Any, threads: int, scratch: Any) -> None:
    """Write `count` rows times the layer's matrix to `out`, this thread's share of the columns.

    `counter` is the address of the phase's work counter, `scratch` floats of this thread.
    """
    raise NotImplementedError  # compiled code only


@overload(linear, strict=False)
def _linear(  # pyright: ignore[reportUnusedFunction]
    rows: Any, weights: Any, layer: Any, out: Any, count: Any, counter: Any, threads: Any, scratch: Any
) -> Any:
    del rows, layer, out, count, counter, threads, scratch
    if is_a(weights, AmxWeights):
        return _linear_amx
    if is_a(weights, VnniWeights):
        return _linear_vnni
    return _linear_portable


def _linear_vnni(
    rows: Any, weights: Any, layer: int, out: Any, count: int, counter: Any, threads: int, scratch: Any
) -> None:
    groups = weights.scales.shape[2]
    inner = groups * GROUP
    stride = out.shape[1] * 4
    acts, scales = address(rows.values), address(rows.scales)
    while True:
        first, end = take(counter, weights.scales.shape[1], threads, 1)
        if first >= end:
            break
        for panel in range(first, end):
            w = address(weights.values[layer]) + panel * inner * PANEL
            s = address(weights.scales[layer]) + panel * groups * PANEL * 2
            f = address(weights.offsets[layer]) + panel * groups * PANEL * 2
            m = 0
            while m < count:
                a, t = acts + m * inner, scales + m * groups * 4
                o = address(out) + m * stride + panel * PANEL * 4
                m += _vnni_rows(count - m, a, t, w, s, f, o, groups, stride)


@njit
def _vnni_rows(left: int, a: Any, t: Any, w: Any, s: Any, f: Any, o: Any, groups: int, stride: int) -> int:
    if left >= 6 and left != 8:
        _vnni6(a, t, w, s, f, o, groups, stride)
        return 6
    if left >= 4:
        _vnni4(a, t, w, s, f, o, groups, stride)
        return 4
    if left == 3:
        _vnni3(a, t, w, s, f, o, groups, stride)
        return 3
    if left == 2:
        _vnni2(a, t, w, s, f, o, groups, stride)
        return 2
    _vnni1(a, t, w, s, f, o, groups, stride)
    return 1


def _linear_amx(
    rows: Any, weights: Any, layer: int, out: Any, count: int, counter: Any, threads: int, scratch: Any
) -> None:
    groups = weights.scales.shape[2]
    inner = groups * GROUP
    stride = out.shape[1] * 4
    panels = weights.scales.shape[1]
    block = max(1, AMX_BLOCK // (inner * AMX_ROWS)) * AMX_ROWS
    blocks = (count + block - 1) // block
    while True:
        first, end = take(counter, blocks * panels, threads, 1)
        if first >= end:
            break
        for item in range(first, end):
            m, panel = item // panels * block, item % panels
            here = min(block, count - m)
            whole = here // AMX_ROWS + (here % AMX_ROWS >= AMX_LEAST)
            w = address(weights.values[layer]) + panel * inner * PANEL
            s = address(weights.scales[layer]) + panel * groups * PANEL * 2
            a, t = address(rows.signed) + m * inner, address(rows.scales) + m * groups * 4
            o = address(out) + m * stride + panel * PANEL * 4
            if whole == 1:
                _amx_ahead(a, t, w, s, o, groups, stride, address(scratch), whole)
            elif whole > 1:
                _amx(a, t, w, s, o, groups, stride, address(scratch), whole)
            left = here - whole * AMX_ROWS
            if left > 0:
                m += whole * AMX_ROWS
                f = address(weights.offsets[layer]) + panel * groups * PANEL * 2
                a, t = address(rows.values) + m * inner, address(rows.scales) + m * groups * 4
                _vnni_rows(left, a, t, w, s, f, address(out) + m * stride + panel * PANEL * 4, groups, stride)


def _linear_portable(
    rows: Any, weights: Any, layer: int, out: Any, count: int, counter: Any, threads: int, scratch: Any
) -> None:
    groups = weights.scales.shape[2]
    inner = groups * GROUP
    stride = out.shape[1] * 4
    acts = address(rows.values)
    while True:
        first, end = take(counter, weights.scales.shape[1], threads, 1)
        if first >= end:
            break
        for panel in range(first, end):
            w = address(weights.values[layer]) + panel * inner * PANEL
            s = address(weights.scales[layer]) + panel * groups * PANEL * 2
            m = 0
            while m < count:
                a = acts + m * inner * 4
                o = address(out) + m * stride + panel * PANEL * 4
                left = count - m
                if left >= 6 and left != 8:
                    _portable6(a, w, s, o, groups, stride)
                    m += 6
                elif left >= 4:
                    _portable4(a, w, s, o, groups, stride)
                    m += 4
                elif left >= 2:
                    _portable2(a, w, s, o, groups, stride)
                    m += 2
                else:
                    _portable1(a, w, s, o, groups, stride)
                    m += 1


def begin_thread(weights: Any, configuration: Any) -> None:
    """Prepare this thread's core for the weights' kind."""
    raise NotImplementedError  # compiled code only


@overload(begin_thread, strict=False)
def _begin_thread(weights: Any, configuration: Any) -> Any:  # pyright: ignore[reportUnusedFunction]
    del configuration
    if is_a(weights, AmxWeights):
        return lambda weights, configuration: _amx_load(address(configuration))  # noqa: ARG005 (the signature is numba's)
    return lambda weights, configuration: None  # noqa: ARG005 (the signature is numba's)


def end_thread(weights: Any) -> None:
    """Leave the core as it was."""
    raise NotImplementedError  # compiled code only


@overload(end_thread, strict=False)
def _end_thread(weights: Any) -> Any:  # pyright: ignore[reportUnusedFunction]
    if is_a(weights, AmxWeights):
        return lambda weights: _amx_release(0)  # noqa: ARG005 (the signature is numba's)
    return lambda weights: None  # noqa: ARG005 (the signature is numba's)
