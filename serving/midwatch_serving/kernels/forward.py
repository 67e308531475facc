# pyright: basic
# (numba and llvmlite have no types of their own)
"""One step of a Llama-family model, as every thread of the step runs it.

RMSNorm, rotary positions, grouped-query attention and SwiGLU (Touvron et al. 2023), with Qwen2's biases and Qwen3's
head norms where the model has them. The phases of a layer are parted by barriers; within one the threads take shares.
"""

from typing import Any

from numba import njit

from midwatch_serving.kernels.attention import paged_attention
from midwatch_serving.kernels.emit import address
from midwatch_serving.kernels.linear import gated, linear, store_normed, store_row
from midwatch_serving.kernels.panel import begin_thread, end_thread
from midwatch_serving.kernels.projection import inverse_rms, project
from midwatch_serving.kernels.rows import add_squares, squares
from midwatch_serving.kernels.threads import barrier

COUNTERS = 5
"""Work counters a layer."""


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
        factor = inverse_rms(squares(address(b.x[t]), count), count, shape.eps)
        store_normed(b.narrow, t, address(b.x[t]), p.attention_norm[0], factor)
    passed = barrier(meet, passed, threads)
    for layer in range(shape.layers):
        work = meet + (2 + COUNTERS * layer) * 64
        project(b.narrow, p, layer, shape, cache, step, b.queries, work, threads, scratch)
        passed = barrier(meet, passed, threads)
        paged_attention(b.queries, cache, layer, step, shape, b.mixed, work + 64, threads, scratch)
        passed = barrier(meet, passed, threads)
        for t in range(thread, rows, threads):
            store_row(b.mixed_rows, t, b.mixed[t])
        passed = barrier(meet, passed, threads)
        linear(b.mixed_rows, p.out, layer, b.y, rows, work + 128, threads, scratch)
        passed = barrier(meet, passed, threads)
        for t in range(thread, rows, threads):
            factor = inverse_rms(add_squares(address(b.x[t]), address(b.y[t]), count), count, shape.eps)
            store_normed(b.narrow, t, address(b.x[t]), p.ffn_norm[layer], factor)
        passed = barrier(meet, passed, threads)
        gated(b.narrow, p.gate_up, layer, b.wide, rows, work + 192, threads, scratch)
        passed = barrier(meet, passed, threads)
        linear(b.wide, p.down, layer, b.y, rows, work + 256, threads, scratch)
        passed = barrier(meet, passed, threads)
        weight = p.attention_norm[layer + 1] if layer + 1 < shape.layers else p.final_norm
        for t in range(thread, rows, threads):
            factor = inverse_rms(add_squares(address(b.x[t]), address(b.y[t]), count), count, shape.eps)
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
