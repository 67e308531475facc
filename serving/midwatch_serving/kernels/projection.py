# pyright: basic
# (numba and llvmlite have no types of their own)
"""`project`: rows to queries, keys and values, head by head, each finished while it is in the nearest cache.

Queries are normed where the model has head norms, rotated and scaled; keys and values go straight to their pages.
"""

from typing import Any

import numpy as np
from numba import njit

from midwatch_serving.kernels.attention import keep_key, keep_value
from midwatch_serving.kernels.emit import address
from midwatch_serving.kernels.linear import HELD_ROWS, TILE_FLOATS, block_rows
from midwatch_serving.kernels.micro import PANEL
from midwatch_serving.kernels.panel import multiply
from midwatch_serving.kernels.rows import add, squares, turn_halves, turn_pairs, weigh
from midwatch_serving.kernels.softmax import LOG2_E
from midwatch_serving.kernels.threads import take


@njit
def inverse_rms(squares_sum: Any, count: int, eps: Any) -> Any:
    """Return what RMSNorm multiplies with."""
    return np.float32(1) / np.sqrt(squares_sum / np.float32(count) + np.float32(eps))


@njit(nogil=True)
def project(
    rows: Any,
    p: Any,
    layer: int,
    shape: Any,
    cache: Any,
    step: Any,
    queries: Any,
    counter: Any,
    threads: int,
    scratch: Any,
) -> None:
    """Write the step's queries, and keep its keys and values: this thread's share of the heads."""
    count, width = len(step.positions), shape.head_dim
    heads = shape.heads + 2 * shape.kv_heads
    block, panels, stride = block_rows(rows), width // PANEL, width * 4
    held = address(scratch) + TILE_FLOATS * 4
    while True:
        first, end = take(counter, (count + block - 1) // block * heads, threads, 1)
        if first >= end:
            break
        for item in range(first, end):
            start, head = item // heads * block, item % heads
            for m in range(start, min(start + block, count), HELD_ROWS):
                some = min(HELD_ROWS, min(start + block, count) - m)
                for n in range(panels):
                    multiply(rows, m, some, p.qkv, layer, head * panels + n, held + n * PANEL * 4, stride, scratch)
                for r in range(some):
                    _finish(held + r * stride, head, m + r, layer, p, shape, cache, step, queries)


@njit
def _finish(at: Any, head: int, row: int, layer: int, p: Any, shape: Any, cache: Any, step: Any, queries: Any) -> None:
    """Finish a row of one head, which lies at an address."""
    width, heads, kv_heads = shape.head_dim, shape.heads, shape.kv_heads
    if shape.bias:
        add(at, address(p.qkv_bias[layer]) + head * width * 4, width)
    if head >= heads + kv_heads:
        keep_value(cache, layer, step.slots[row], head - heads - kv_heads, at, width)
        return
    if shape.head_norm:
        norm = address(p.q_norm[layer]) if head < heads else address(p.k_norm[layer])
        weigh(at, norm, at, width, inverse_rms(squares(at, width), width, shape.eps))
    position, out, factor = step.positions[row], at, np.float32(1)
    if head < heads:
        out = address(queries) + (row * queries.shape[1] + head * width) * 4
        factor = np.float32(LOG2_E) / np.sqrt(np.float32(width))
    cosine = address(p.cosine) + position * p.cosine.shape[1] * 4
    sine = address(p.sine) + position * p.sine.shape[1] * 4
    if shape.interleaved:
        turn_pairs(at, out, cosine, sine, width, factor)
    else:
        turn_halves(at, out, cosine, sine, width, factor)
    if head >= heads:
        keep_key(cache, layer, step.slots[row], head - heads, at, width)
