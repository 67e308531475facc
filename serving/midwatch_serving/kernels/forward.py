# pyright: basic
# (numba and llvmlite have no types of their own)
"""One step of a Llama-family model, as every thread of the step runs it.

RMSNorm, rotary positions, grouped-query attention and SwiGLU (Touvron et al. 2023), with Qwen2's biases and Qwen3's
head norms where the model has them. The phases of a layer are parted by barriers; within one the threads take shares.
"""

from typing import Any

import numpy as np
from numba import njit

from midwatch_serving.kernels.attention import paged_attention, store_token
from midwatch_serving.kernels.emit import LANES, address
from midwatch_serving.kernels.linear import gated, linear, store_normed, store_row
from midwatch_serving.kernels.panel import begin_thread, end_thread
from midwatch_serving.kernels.rows import add, add_squares, squares, turn_halves, turn_pairs, weigh
from midwatch_serving.kernels.softmax import LOG2_E
from midwatch_serving.kernels.threads import barrier

COUNTERS = 5
"""Work counters a layer."""


@njit
def _inverse_rms(squares_sum: Any, count: int, eps: Any) -> Any:
    return np.float32(1) / np.sqrt(squares_sum / np.float32(count) + np.float32(eps))


@njit
def _head_norm(row: Any, at: int, width: int, weight: Any, eps: Any) -> None:
    head = address(row) + at * 4
    weigh(head, address(weight), head, width, _inverse_rms(squares(head, width), width, eps))


@njit
def _place_row(row: Any, position: int, slot: int, layer: int, p: Any, shape: Any, cache: Any) -> None:
    """Finish a row of queries, keys and values, and put key and value into their page."""
    width, heads, kv_heads = shape.head_dim, shape.heads, shape.kv_heads
    q, k = address(row), address(row) + heads * width * 4
    if shape.bias:
        add(q, address(p.qkv_bias[layer]), (heads + 2 * kv_heads) * width)
    if shape.head_norm:
        for head in range(heads + kv_heads):
            _head_norm(row, head * width, width, p.q_norm[layer] if head < heads else p.k_norm[layer], shape.eps)
    cosine, sine = address(p.cosine[position]), address(p.sine[position])
    factor = np.float32(LOG2_E) / np.sqrt(np.float32(width))
    if shape.interleaved:
        turn_pairs(q, cosine, sine, width, heads, factor)
        turn_pairs(k, cosine, sine, width, kv_heads, np.float32(1))
    else:
        turn_halves(q, cosine, sine, width, heads, factor)
        turn_halves(k, cosine, sine, width, kv_heads, np.float32(1))
    for head in range(kv_heads):
        store_token(cache, layer, slot // LANES, head, slot % LANES, k + head * width * 4, kv_heads * width * 4, width)


@njit(nogil=True)
def forward(p: Any, shape: Any, cache: Any, b: Any, step: Any, amx: Any, thread: int, threads: int) -> None:
    """Run one thread's part of a step over `b.x`; leaves the final norm's rows in `b.narrow`.

    Rows are dealt to threads in turn where a phase works row by row.
    """
    rows, count = len(step.positions), shape.hidden
    scratch = b.scratch[thread]
    meet, passed = address(b.counters), 0
    begin_thread(p.qkv, amx)
    for t in range(thread, rows, threads):
        factor = _inverse_rms(squares(address(b.x[t]), count), count, shape.eps)
        store_normed(b.narrow, t, address(b.x[t]), p.attention_norm[0], factor)
    passed = barrier(meet, passed, threads)
    for layer in range(shape.layers):
        work = meet + (2 + COUNTERS * layer) * 64
        linear(b.narrow, p.qkv, layer, b.qkv, rows, work, threads, scratch)
        passed = barrier(meet, passed, threads)
        for t in range(thread, rows, threads):
            _place_row(b.qkv[t], step.positions[t], step.slots[t], layer, p, shape, cache)
        passed = barrier(meet, passed, threads)
        paged_attention(b.qkv, cache, layer, step, shape, b.mixed, work + 64, threads, scratch)
        passed = barrier(meet, passed, threads)
        for t in range(thread, rows, threads):
            store_row(b.mixed_rows, t, b.mixed[t])
        passed = barrier(meet, passed, threads)
        linear(b.mixed_rows, p.out, layer, b.y, rows, work + 128, threads, scratch)
        passed = barrier(meet, passed, threads)
        for t in range(thread, rows, threads):
            factor = _inverse_rms(add_squares(address(b.x[t]), address(b.y[t]), count), count, shape.eps)
            store_normed(b.narrow, t, address(b.x[t]), p.ffn_norm[layer], factor)
        passed = barrier(meet, passed, threads)
        gated(b.narrow, p.gate_up, layer, b.wide, rows, work + 192, threads, scratch)
        passed = barrier(meet, passed, threads)
        linear(b.wide, p.down, layer, b.y, rows, work + 256, threads, scratch)
        passed = barrier(meet, passed, threads)
        weight = p.attention_norm[layer + 1] if layer + 1 < shape.layers else p.final_norm
        for t in range(thread, rows, threads):
            factor = _inverse_rms(add_squares(address(b.x[t]), address(b.y[t]), count), count, shape.eps)
            store_normed(b.narrow, t, address(b.x[t]), weight, factor)
        passed = barrier(meet, passed, threads)
    end_thread(p.qkv)


@njit(nogil=True)
def unembed(
    rows: Any, weights: Any, logits: Any, count: int, counters: Any, amx: Any, scratch: Any, threads: int
) -> None:
    """Write the logits of `count` rows, one thread's share of the vocabulary."""
    begin_thread(weights, amx)
    linear(rows, weights, 0, logits, count, address(counters), threads, scratch)
    end_thread(weights)
