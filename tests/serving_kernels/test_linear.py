"""`linear` and `gated`: right against numpy, and a row's bits do not depend on the rows beside it or the threads."""

import threading
from typing import Any

import numpy as np
import pytest
from numba import njit

from midwatch_serving.kernels import linear as lin
from midwatch_serving.kernels.arrays import AmxWeights, VnniWeights, aligned
from midwatch_serving.kernels.cpu import available
from midwatch_serving.kernels.emit import address
from midwatch_serving.kernels.packing import KINDS
from midwatch_serving.kernels.panel import begin_thread, end_thread

SIZES = [(1, 96, 64), (4, 64, 192), (5, 32, 64), (16, 40, 128), (37, 96, 576), (400, 64, 64), (130, 64, 1536)]
"""Rows, outer, inner: tiles whole and ragged, an odd number of groups, more rows than a block."""


@njit(nogil=True)
def run_linear(x: Any, rows: Any, weights: Any, out: Any, room: Any, thread: int, threads: int) -> None:  # noqa: PLR0917 (compiled)
    counter, scratch, amx = room
    begin_thread(weights, amx)
    for t in range(len(x)):
        if threads == 1:
            lin.store_row(rows, t, x[t])
    lin.linear(rows, weights, 0, out, len(x), address(counter), threads, scratch[thread])
    end_thread(weights)


@njit(nogil=True)
def run_gated(x: Any, rows: Any, weights: Any, out: Any, room: Any) -> None:
    counter, scratch, amx = room
    begin_thread(weights, amx)
    for t in range(len(x)):
        lin.store_row(rows, t, x[t])
    lin.gated(rows, weights, 0, out, len(x), address(counter), 1, scratch[0])
    end_thread(weights)


def room(threads: int = 1) -> Any:
    """Return a work counter, scratch and tile shapes."""
    return aligned((8,), np.int64), aligned((threads, 65536), np.float32), lin.tile_configuration()


def data(rows: int, outer: int, inner: int) -> tuple[Any, Any]:
    rng = np.random.default_rng(rows * 1000 + inner)
    return rng.standard_normal((rows, inner)).astype(np.float32), rng.standard_normal((outer, inner)).astype(np.float32)


def product(kind: str, x: Any, matrix: Any, threads: int = 1) -> Any:
    weights = lin.pack(KINDS[kind], [matrix])
    rows = lin.rows_for(KINDS[kind], len(x) + 16, x.shape[1])
    out = aligned((len(x) + 16, weights.scales.shape[1] * 32), np.float32)
    space = room(threads)
    run_linear(x, rows, weights, out, space, 0, 1)
    if threads > 1:
        out[:], space[0][:] = 0, 0
        helpers = [
            threading.Thread(target=run_linear, args=(x, rows, weights, out, space, n, threads)) for n in range(threads)
        ]
        for helper in helpers:
            helper.start()
        for helper in helpers:
            helper.join()
    return out[: len(x), : len(matrix)].copy()


@pytest.mark.parametrize("size", SIZES)
def test_a_linear_is_the_product_but_for_rounding_to_bytes(kind: str, size: tuple[int, int, int]) -> None:
    x, matrix = data(*size)
    exact = x.astype(np.float64) @ matrix.T
    assert np.abs(product(kind, x, matrix) - exact).max() < 0.06 * np.sqrt(size[2])


def test_a_row_has_the_same_bits_alone_and_in_any_batch(kind: str) -> None:
    x, matrix = data(130, 64, 192)
    whole = product(kind, x, matrix)
    for first, end in ((0, 1), (7, 8), (3, 9), (0, 5), (100, 117), (64, 130)):
        assert np.array_equal(product(kind, x[first:end], matrix), whole[first:end]), (first, end)


def test_two_threads_give_the_bits_of_one(kind: str) -> None:
    x, matrix = data(130, 320, 192)
    assert np.array_equal(product(kind, x, matrix, threads=2), product(kind, x, matrix))


@pytest.mark.skipif("amx" not in available(), reason="this CPU has no AMX to compare with VNNI")
@pytest.mark.parametrize("size", SIZES)
def test_amx_and_vnni_give_the_same_bits(size: tuple[int, int, int]) -> None:
    x, matrix = data(*size)
    assert np.array_equal(product("amx", x, matrix), product("vnni", x, matrix))


def test_a_group_of_zeros_and_one_of_huge_values_pass(kind: str) -> None:
    x, matrix = data(7, 32, 128)
    x[:, :64], matrix[:, 64:] = 0, 0
    matrix[:, :64] *= 1e30
    assert np.array_equal(product(kind, x, matrix), np.zeros((7, 32), np.float32))


def test_a_value_of_127_times_its_scale_is_the_largest() -> None:
    rng = np.random.default_rng(1)
    matrix = (rng.standard_normal((64, 256)) * 10.0 ** rng.integers(-20, 20, (64, 1))).astype(np.float32)
    weights = lin.pack(VnniWeights, [matrix])
    assert np.abs(weights.values.astype(np.int32)).max() <= 127
    assert np.array_equal(weights.values, lin.pack(AmxWeights, [matrix]).values)


@pytest.mark.parametrize("count", [1, 3, 17, 120])
def test_gated_is_silu_of_the_gate_times_up(kind: str, count: int) -> None:
    rng = np.random.default_rng(count)
    x = rng.standard_normal((count, 128)).astype(np.float32)
    gate, up = rng.standard_normal((2, 192, 128)).astype(np.float32)
    weights = lin.pack(KINDS[kind], [lin.interleaved(gate, up)])
    rows = lin.rows_for(KINDS[kind], count + 16, 128)
    out: Any = lin.rows_for(KINDS[kind], count + 16, 192)
    run_gated(x, rows, weights, out, room())
    g, u = x.astype(np.float64) @ gate.T, x.astype(np.float64) @ up.T
    exact = g / (1 + np.exp(-g)) * u
    values: Any = out.values[:count].astype(np.float32)
    found = values if kind == "portable" else (values - 128) * np.repeat(out.scales[:count], 64, axis=1)
    assert np.abs(found - exact).max() < 0.05 * np.abs(exact).max()
    if kind == "amx":
        assert np.array_equal(out.signed[:count].astype(np.int32), out.values[:count].astype(np.int32) - 128)
