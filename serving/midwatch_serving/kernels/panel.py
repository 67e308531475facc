# pyright: basic
# (numba and llvmlite have no types of their own)
"""`multiply`: rows times one panel of weights, by the tiles of the weights' kind."""

from typing import Any

from numba import njit
from numba.extending import overload

from midwatch_serving.kernels.amx_linear import AMX_ROWS, amx_switch, amx_tile
from midwatch_serving.kernels.arrays import AmxWeights, VnniWeights
from midwatch_serving.kernels.emit import address, is_a
from midwatch_serving.kernels.micro import GROUP, PANEL, portable_tile, vnni_tile

_vnni1, _vnni2, _vnni3, _vnni4, _vnni6 = (vnni_tile(rows) for rows in (1, 2, 3, 4, 6))
_amx, _amx_ahead = amx_tile(ahead=False), amx_tile(ahead=True)
_amx_load, _amx_release = amx_switch("ldtilecfg"), amx_switch("tilerelease")
_portable1, _portable2, _portable4, _portable6 = (portable_tile(rows) for rows in (1, 2, 4, 6))

AMX_LEAST = 5
"""Rows from which one AMX tile is faster than a VNNI tile of as many rows."""


def multiply(
    rows: Any, first: int, count: int, weights: Any, layer: int, panel: int, out: Any, stride: int, scratch: Any
) -> None:
    """Write rows `first` to `first + count` times a panel to `out`, an address of rows `stride` bytes apart.

    A kind may write whole tiles: up to the next multiple of 16 rows.
    """
    raise NotImplementedError  # compiled code only


@overload(multiply, strict=False)
def _multiply(  # pyright: ignore[reportUnusedFunction]
    rows: Any,
    first: Any,
    count: Any,
    weights: Any,
    layer: Any,
    panel: Any,
    out: Any,
    stride: Any,
    scratch: Any,
) -> Any:
    if is_a(weights, AmxWeights):
        return _multiply_amx
    return _multiply_vnni if is_a(weights, VnniWeights) else _multiply_portable


def _multiply_vnni(
    rows: Any, first: int, count: int, weights: Any, layer: int, panel: int, out: Any, stride: int, scratch: Any
) -> None:
    _vnni_rows(rows, first, count, weights, layer, panel, out, stride)


@njit
def _vnni_rows(rows: Any, first: int, count: int, weights: Any, layer: int, panel: int, out: Any, stride: int) -> None:
    groups = weights.scales.shape[2]
    inner = groups * GROUP
    w = address(weights.values[layer]) + panel * inner * PANEL
    s = address(weights.scales[layer]) + panel * groups * PANEL * 2
    f = address(weights.offsets[layer]) + panel * groups * PANEL * 2
    acts, scales = address(rows.values) + first * inner, address(rows.scales) + first * groups * 4
    m = 0
    while m < count:
        left = count - m
        a, t, o = acts + m * inner, scales + m * groups * 4, out + m * stride
        if left >= 6 and left != 8:
            _vnni6(a, t, w, s, f, o, groups, stride)
            m += 6
        elif left >= 4:
            _vnni4(a, t, w, s, f, o, groups, stride)
            m += 4
        elif left == 3:
            _vnni3(a, t, w, s, f, o, groups, stride)
            m += 3
        elif left == 2:
            _vnni2(a, t, w, s, f, o, groups, stride)
            m += 2
        else:
            _vnni1(a, t, w, s, f, o, groups, stride)
            m += 1


def _multiply_amx(
    rows: Any, first: int, count: int, weights: Any, layer: int, panel: int, out: Any, stride: int, scratch: Any
) -> None:
    groups = weights.scales.shape[2]
    inner = groups * GROUP
    whole = count // AMX_ROWS + (count % AMX_ROWS >= AMX_LEAST)
    if whole > 0:
        w = address(weights.values[layer]) + panel * inner * PANEL
        s = address(weights.scales[layer]) + panel * groups * PANEL * 2
        a, t = address(rows.signed) + first * inner, address(rows.scales) + first * groups * 4
        _amx_ahead(a, t, w, s, out, groups, stride, address(scratch), 1)
        if whole > 1:
            a, t, out_ = a + AMX_ROWS * inner, t + AMX_ROWS * groups * 4, out + AMX_ROWS * stride
            _amx(a, t, w, s, out_, groups, stride, address(scratch), whole - 1)
    done = whole * AMX_ROWS
    if done < count:
        _vnni_rows(rows, first + done, count - done, weights, layer, panel, out + done * stride, stride)


def _multiply_portable(
    rows: Any, first: int, count: int, weights: Any, layer: int, panel: int, out: Any, stride: int, scratch: Any
) -> None:
    groups = weights.scales.shape[2]
    inner = groups * GROUP
    w = address(weights.values[layer]) + panel * inner * PANEL
    s = address(weights.scales[layer]) + panel * groups * PANEL * 2
    acts = address(rows.values) + first * inner * 4
    m = 0
    while m < count:
        left = count - m
        a, o = acts + m * inner * 4, out + m * stride
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
