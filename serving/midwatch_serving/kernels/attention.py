# pyright: basic
# (numba and llvmlite have no types of their own)
"""`paged_attention`: causal attention over paged keys and values, in tiles of keys with a running softmax.

Keys are taken `SPAN` at a time from position 0 on, and each row keeps its own maximum, sum and weighted values, as in
FlashAttention (Dao 2022). A row does the same operations in the same order whether it is decoded alone or stands in a
tile of sixteen: keys that it may not see count as exactly nothing. So prefill, chunked prefill and decode agree bit
for bit.
"""

from typing import Any

import numpy as np
from numba import njit
from numba.extending import overload

from midwatch_serving.kernels import amx
from midwatch_serving.kernels.amx import CHUNK, SPAN
from midwatch_serving.kernels.amx_attention import amx_paged_attention, amx_scratch_floats
from midwatch_serving.kernels.arrays import AmxCache, AmxWeights, Cache, Shape, aligned
from midwatch_serving.kernels.emit import LANES, address, is_a
from midwatch_serving.kernels.micro import outer_tile
from midwatch_serving.kernels.rows import fetch, scale, store_key, store_value
from midwatch_serving.kernels.softmax import fold_sum, softmax_tile
from midwatch_serving.kernels.threads import take

MOST_ROWS = 48
"""Rows (tokens x query heads a KV head) that are attended together."""
STREAMING_ROWS = 12
"""Up to this many rows a tile waits for pages, not for arithmetic, and asks for the next span's ahead."""
_PAIR = 2 * LANES
_outer1, _outer2, _outer3, _outer6, _outer12 = (outer_tile(rows) for rows in (1, 2, 3, 6, 12))
_dot1, _dot2, _dot3, _dot6, _dot12 = (outer_tile(rows, fresh=True) for rows in (1, 2, 3, 6, 12))
_softmax, _masked_softmax = softmax_tile(SPAN, masked=False), softmax_tile(SPAN, masked=True)
_STATE = 2 * LANES
"""Floats of state a row."""


@njit
def _outer(
    rows: int, a: Any, b0: Any, b1: Any, c: Any, count: int, a_stride: int, b_stride: int, c_stride: int
) -> None:
    m = 0
    while m < rows:
        left = rows - m
        x, y = a + m * a_stride, c + m * c_stride
        if left >= 12:
            _outer12(x, b0, b1, y, count, a_stride, b_stride, c_stride)
            m += 12
        elif left >= 6:
            _outer6(x, b0, b1, y, count, a_stride, b_stride, c_stride)
            m += 6
        elif left >= 3:
            _outer3(x, b0, b1, y, count, a_stride, b_stride, c_stride)
            m += 3
        elif left == 2:
            _outer2(x, b0, b1, y, count, a_stride, b_stride, c_stride)
            m += 2
        else:
            _outer1(x, b0, b1, y, count, a_stride, b_stride, c_stride)
            m += 1


@njit
def _dot(rows: int, a: Any, b0: Any, b1: Any, c: Any, count: int, a_stride: int, b_stride: int, c_stride: int) -> None:
    m = 0
    while m < rows:
        left = rows - m
        x, y = a + m * a_stride, c + m * c_stride
        if left >= 12:
            _dot12(x, b0, b1, y, count, a_stride, b_stride, c_stride)
            m += 12
        elif left >= 6:
            _dot6(x, b0, b1, y, count, a_stride, b_stride, c_stride)
            m += 6
        elif left >= 3:
            _dot3(x, b0, b1, y, count, a_stride, b_stride, c_stride)
            m += 3
        elif left == 2:
            _dot2(x, b0, b1, y, count, a_stride, b_stride, c_stride)
            m += 2
        else:
            _dot1(x, b0, b1, y, count, a_stride, b_stride, c_stride)
            m += 1


def scratch_floats(head_dim: int) -> int:
    """Return the floats of scratch that a thread needs: queries, scores, mixed values, states."""
    return max(MOST_ROWS * (2 * head_dim + SPAN + _STATE), amx_scratch_floats(head_dim))


def paged_attention(
    qkv: Any, cache: Any, layer: int, step: Any, shape: Any, mixed: Any, counter: Any, threads: int, scratch: Any
) -> None:
    """Write (rows, heads * head_dim) to `mixed`: this thread's share of the step's tiles.

    `cache` holds the step's own tokens already; the queries in `qkv` are rotated, and scaled by
    log2(e) / sqrt(head_dim). Long tiles are taken first.
    """
    raise NotImplementedError  # compiled code only


@overload(paged_attention, strict=False)
def _paged_attention(  # pyright: ignore[reportUnusedFunction]
    qkv: Any, cache: Any, layer: Any, step: Any, shape: Any, mixed: Any, counter: Any, threads: Any, scratch: Any
) -> Any:
    attend = amx_paged_attention if is_a(cache, AmxCache) else _float_paged_attention

    def run(
        qkv: Any, cache: Any, layer: int, step: Any, shape: Any, mixed: Any, counter: Any, threads: int, scratch: Any
    ) -> None:
        attend(qkv, cache.keys[layer], cache.values[layer], step, shape, mixed, counter, threads, scratch)

    return run


def store_token(
    cache: Any, layer: int, block: int, head: int, place: int, key: Any, value_after: int, width: int
) -> None:
    """Put a head's key, at the address `key`, and its value, `value_after` bytes on, into their page."""
    raise NotImplementedError  # compiled code only


@overload(store_token, strict=False)
def _store_token(  # pyright: ignore[reportUnusedFunction]
    cache: Any, layer: Any, block: Any, head: Any, place: Any, key: Any, value_after: Any, width: Any
) -> Any:
    put_key, put_value, size = (
        (amx.store_key, amx.store_value, 4) if is_a(cache, AmxCache) else (store_key, store_value, 2)
    )

    def run(cache: Any, layer: int, block: int, head: int, place: int, key: Any, value_after: int, width: int) -> None:
        put_key(key, address(cache.keys[layer, block, head]) + place * size, width)
        put_value(key + value_after, address(cache.values[layer, block, head, place]), width)

    return run


@njit(nogil=True)
def _float_paged_attention(
    qkv: Any, keys: Any, values: Any, step: Any, shape: Any, mixed: Any, counter: Any, threads: int, scratch: Any
) -> None:
    tiles = len(step.tile_rows)
    kv_heads = shape.kv_heads
    while True:
        first, end = take(counter, tiles * kv_heads, threads, 1)
        if first >= end:
            break
        for item in range(first, end):
            _attend(qkv, keys, values, step, shape, mixed, scratch, tiles - 1 - item // kv_heads, item % kv_heads)


@njit
def _attend(
    qkv: Any, keys: Any, values: Any, step: Any, shape: Any, mixed: Any, scratch: Any, tile: int, head: int
) -> None:
    width, per_kv = shape.head_dim, shape.heads // shape.kv_heads
    row, count = step.tile_rows[tile, 0], step.tile_rows[tile, 1]
    table = step.tables[step.tile_rows[tile, 2]]
    rows = count * per_kv
    at = MOST_ROWS * width
    q = scratch[:at].reshape(MOST_ROWS, width)
    o = scratch[at : 2 * at].reshape(MOST_ROWS, width)
    scores = scratch[2 * at : 2 * at + MOST_ROWS * SPAN].reshape(MOST_ROWS, SPAN)
    state = scratch[2 * at + MOST_ROWS * SPAN : 2 * at + MOST_ROWS * (SPAN + _STATE)].reshape(MOST_ROWS, _STATE)
    for t in range(count):
        for g in range(per_kv):
            r = t * per_kv + g
            start = (head * per_kv + g) * width
            for d in range(width):
                q[r, d] = qkv[row + t, start + d]
                o[r, d] = np.float32(0)
            state[r, :] = np.float32(0)
            state[r, 0] = np.float32(-np.inf)
    last = step.positions[row + count - 1]
    page = keys.shape[1] * width * LANES * 2
    key_at = address(keys) + head * width * LANES * 2
    value_at = address(values) + head * width * LANES * 2
    for span in range(last // SPAN + 1):
        first_key = span * SPAN
        if rows <= STREAMING_ROWS and first_key + SPAN <= last:
            for j in range(0, min(SPAN, last - first_key - SPAN + 1), LANES):
                ahead = table[(first_key + SPAN + j) // LANES] * page
                fetch(key_at + ahead, width * LANES * 2)
                fetch(value_at + ahead, width * LANES * 2)
        block = first_key // LANES
        seen = min(SPAN, (last - first_key) // _PAIR * _PAIR + _PAIR)
        for j in range(0, seen, _PAIR):
            left = key_at + table[block + j // LANES] * page
            right = key_at + table[block + j // LANES + 1] * page
            _dot(rows, address(q), left, right, address(scores) + j * 4, width, width * 4, LANES * 2, SPAN * 4)
        for r in range(rows):
            visible = step.positions[row + r // per_kv] - first_key + 1
            x, y, z = address(scores[r]), address(o[r]), address(state[r])
            if visible >= SPAN:
                _softmax(x, y, z, width, visible)
            else:
                _masked_softmax(x, y, z, width, visible)
        for j in range(0, seen, LANES):
            v = value_at + table[block + j // LANES] * page
            for d in range(0, width, _PAIR):
                s = address(scores) + j * 4
                _outer(rows, s, v + d * 2, v + d * 2 + 32, address(o) + d * 4, LANES, SPAN * 4, width * 2, width * 4)
    for t in range(count):
        for g in range(per_kv):
            r = t * per_kv + g
            inverse = np.float32(1) / fold_sum(address(state[r, LANES:]))
            scale(address(o[r]), address(mixed[row + t, (head * per_kv + g) * width :]), width, inverse)


def pages_for(kind: type[Any], shape: Shape, lane_blocks: int) -> Cache | AmxCache:
    """Return empty pages for the weights' kind."""
    pages = (shape.layers, lane_blocks, shape.kv_heads)
    if kind is AmxWeights:
        pairs = shape.head_dim // CHUNK
        keys = aligned((*pages, pairs, LANES, LANES, 2), np.uint16)
        return AmxCache(keys, aligned((*pages, LANES, pairs, LANES, 2), np.uint16))
    keys = aligned((*pages, shape.head_dim, LANES), np.uint16)
    return Cache(keys, aligned((*pages, LANES, shape.head_dim), np.uint16))
