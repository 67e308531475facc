# pyright: basic
# (numba and llvmlite have no types of their own)
"""Paged attention by AMX's tiles: `attention`'s algorithm, with products of bfloat16."""

from typing import Any

import numpy as np
from numba import njit

from midwatch_serving.kernels.amx import (
    CHUNK,
    PAGES,
    SPAN,
    configure,
    interleave,
    masked_softmax,
    mix,
    scores,
    softmax,
    split_query,
)
from midwatch_serving.kernels.emit import LANES, address
from midwatch_serving.kernels.rows import fetch, scale
from midwatch_serving.kernels.softmax import fold_sum
from midwatch_serving.kernels.threads import take

MOST_ROWS = 48
"""Rows (tokens x query heads a KV head) that are attended together; a multiple of 16."""
STREAMING_ROWS = 12
"""Up to this many rows a tile waits for pages, not for arithmetic, and asks for the next span's ahead."""
_STATE = 2 * LANES
"""Floats of state a row."""


def amx_scratch_floats(head_dim: int) -> int:
    """Return the floats of scratch that a thread needs: queries, mixed values, states, scores, values, tile shapes."""
    return MOST_ROWS * (2 * head_dim + _STATE) + LANES * SPAN + SPAN * head_dim // 2 + LANES


@njit(nogil=True)
def amx_paged_attention(
    qkv: Any, keys: Any, values: Any, step: Any, shape: Any, mixed: Any, counter: Any, threads: int, scratch: Any
) -> None:
    """As `attention.paged_attention`, on bfloat16 pages. Leaves the tiles shaped 16 x 64."""
    tiles, kv_heads, per_kv = len(step.tile_rows), shape.kv_heads, shape.heads // shape.kv_heads
    shaped = LANES
    shape_at = address(scratch) + 4 * (scratch.size - LANES)
    while True:
        first, end = take(counter, tiles * kv_heads, threads, 1)
        if first >= end:
            break
        for item in range(first, end):
            tile = tiles - 1 - item // kv_heads
            rows = min(LANES, step.tile_rows[tile, 1] * per_kv)
            if rows != shaped:
                configure(shape_at, rows)
                shaped = rows
            _attend(qkv, keys, values, step, shape, mixed, scratch, tile, item % kv_heads)
    if shaped != LANES:
        configure(shape_at, LANES)


@njit
def _attend(
    qkv: Any, keys: Any, values: Any, step: Any, shape: Any, mixed: Any, scratch: Any, tile: int, head: int
) -> None:
    width, per_kv = shape.head_dim, shape.heads // shape.kv_heads
    row, count = step.tile_rows[tile, 0], step.tile_rows[tile, 1]
    table = step.tables[step.tile_rows[tile, 2]]
    rows = count * per_kv
    high = address(scratch)
    low = high + MOST_ROWS * width * 2
    o = low + MOST_ROWS * width * 2
    state = o + MOST_ROWS * width * 4
    weights = state + MOST_ROWS * _STATE * 4
    pairs = weights + LANES * SPAN * 4
    scratch[MOST_ROWS * width : MOST_ROWS * (2 * width + _STATE)] = np.float32(0)
    for r in range(rows):
        q = address(qkv[row + r // per_kv, (head * per_kv + r % per_kv) * width :])
        split_query(q, high + r * width * 2, low + r * width * 2, width)
        scratch[MOST_ROWS * 2 * width + r * _STATE] = np.float32(-np.inf)
    position = step.positions[row]
    last = position + count - 1
    page = keys.shape[1] * width * LANES * 2
    key_at = address(keys) + head * width * LANES * 2
    value_at = address(values) + head * width * LANES * 2
    for span in range(last // SPAN + 1):
        first_key = span * SPAN
        block = first_key // LANES
        # a page that no row sees yet may not be there: the span's first stands in, and counts as nothing
        p0 = table[block] * page
        p1 = table[block + 1] * page if first_key + LANES <= last else p0
        p2 = table[block + 2] * page if first_key + 2 * LANES <= last else p0
        p3 = table[block + 3] * page if first_key + 3 * LANES <= last else p0
        if rows <= STREAMING_ROWS and first_key + SPAN <= last:
            for j in range(block + PAGES, min(block + 2 * PAGES, last // LANES + 1)):
                fetch(key_at + table[j] * page, width * LANES * 2)
                fetch(value_at + table[j] * page, width * LANES * 2)
        interleave(value_at + p0, value_at + p1, pairs, width)
        interleave(value_at + p2, value_at + p3, pairs + width * 2 * CHUNK, width)
        for m in range(0, rows, LANES):
            at = m * width * 2
            scores(high + at, low + at, key_at + p0, key_at + p1, key_at + p2, key_at + p3, width, weights)
            for r in range(m, min(m + LANES, rows)):
                visible = position + r // per_kv - first_key + 1
                x, y, z = weights + (r - m) * SPAN * 4, o + r * width * 4, state + r * _STATE * 4
                if visible >= SPAN:
                    softmax(x, y, z, width, visible)
                else:
                    masked_softmax(x, y, z, width, visible)
            mix(weights, pairs, o + m * width * 4, width)
    for r in range(rows):
        inverse = np.float32(1) / fold_sum(state + r * _STATE * 4 + 64)
        out = address(mixed[row + r // per_kv, (head * per_kv + r % per_kv) * width :])
        scale(o + r * width * 4, out, width, inverse)
