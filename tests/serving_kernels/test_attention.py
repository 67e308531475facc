"""Paged attention: right against float64, and a row's bits depend on nothing but the tokens before it."""

import threading
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from numba import njit

from midwatch_serving.kernels import linear as lin
from midwatch_serving.kernels.arrays import Shape, Step, aligned
from midwatch_serving.kernels.attention import MOST_ROWS, paged_attention, pages_for, store_token
from midwatch_serving.kernels.emit import address
from midwatch_serving.kernels.packing import KINDS
from midwatch_serving.kernels.panel import begin_thread, end_thread
from midwatch_serving.kernels.softmax import LOG2_E

TOKENS = 150
BLOCKS = 40
SHAPES = [(3, 3, 64), (6, 2, 32), (7, 1, 64), (4, 4, 128), (3, 1, 96), (8, 1, 32)]
"""Heads, KV heads, head_dim."""


@njit(nogil=True)
def run_attention(a: Any, step: Any, qkv: Any, mixed: Any, room: Any, thread: int, threads: int) -> None:  # noqa: PLR0917 (compiled)
    weights, cache, shape = a
    counter, scratch, amx = room
    begin_thread(weights, amx)
    paged_attention(qkv, cache, 0, step, shape, mixed, address(counter), threads, scratch[thread])
    end_thread(weights)


@njit
def run_store(cache: Any, shape: Any, step: Any, qkv: Any) -> None:
    width = shape.head_dim
    for t in range(len(step.positions)):
        block, place = step.slots[t] // 16, step.slots[t] % 16
        for head in range(shape.kv_heads):
            at = address(qkv[t]) + (shape.heads + head) * width * 4
            store_token(cache, 0, block, head, place, at, shape.kv_heads * width * 4, width)


class Attention:
    """A cache of one layer, and queries that are rotated and scaled already."""

    def __init__(self, kind: str, heads: int, kv_heads: int, head_dim: int, *, stale: bool = False) -> None:
        self.kind, self.shape = kind, Shape(1, 64, heads, kv_heads, head_dim, 64, 1e-5, True, False, False)
        rng = np.random.default_rng(heads * 100 + head_dim)
        self.qkv = aligned((TOKENS, (heads + 2 * kv_heads) * head_dim), np.float32)
        self.qkv[:] = rng.standard_normal(self.qkv.shape)
        self.qkv[:, : heads * head_dim] *= LOG2_E / np.sqrt(head_dim)
        self.cache = pages_for(KINDS[kind], self.shape, BLOCKS)
        self.weights: Any = lin.pack(KINDS[kind], [np.zeros((32, 64), np.float32)])
        self.table = rng.permutation(BLOCKS - 1)[: TOKENS // 16 + 1].astype(np.int64) + 1
        if stale:  # what other sequences left behind
            old = aligned(self.qkv.shape, np.float32)
            old[:] = rng.standard_normal(old.shape) * 100
            for blocks in (self.table, np.array([0], np.int64)):
                places = np.arange(min(16 * len(blocks), TOKENS), dtype=np.int64)
                slots = blocks[places // 16] * 16 + places % 16
                run_store(self.cache, self.shape, self.step(places, slots), old)

    def step(self, positions: Any, slots: Any | None = None, tokens_a_tile: int | None = None) -> Step:
        places: Any = self.table[positions // 16] * 16 + positions % 16 if slots is None else slots
        most = tokens_a_tile or MOST_ROWS // (self.shape.heads // self.shape.kv_heads)
        tiles = [(t, min(most, len(positions) - t), 0) for t in range(0, len(positions), most)]
        last = int(positions[-1]) // 16 + 1
        table = np.zeros((1, last + 4), np.int64)
        table[0, :last] = self.table[:last] if last <= len(self.table) else 0
        return Step(positions, places, np.array(tiles, np.int64), table)

    def run(self, first: int, end: int, *, threads: int = 1, tokens_a_tile: int | None = None) -> Any:
        """Store and attend to the tokens from `first` to `end` as one step."""
        step = self.step(np.arange(first, end, dtype=np.int64), tokens_a_tile=tokens_a_tile)
        qkv = aligned((end - first, self.qkv.shape[1]), np.float32)
        qkv[:] = self.qkv[first:end]
        run_store(self.cache, self.shape, step, qkv)
        mixed = aligned((end - first, self.shape.heads * self.shape.head_dim), np.float32)
        space = aligned((8,), np.int64), aligned((threads, 65536), np.float32), lin.tile_configuration()
        arguments = ((self.weights, self.cache, self.shape), step, qkv, mixed, space)
        helpers = [threading.Thread(target=run_attention, args=(*arguments, n, threads)) for n in range(1, threads)]
        for helper in helpers:
            helper.start()
        run_attention(*arguments, 0, threads)
        for helper in helpers:
            helper.join()
        return mixed

    def exact(self) -> Any:
        """Return the same in float64, unrounded."""
        s, x = self.shape, self.qkv.astype(np.float64)
        parts = x.reshape(TOKENS, -1, s.head_dim)
        out = np.zeros((TOKENS, s.heads, s.head_dim))
        for head in range(s.heads):
            kv = head // (s.heads // s.kv_heads)
            k, v = parts[:, s.heads + kv], parts[:, s.heads + s.kv_heads + kv]
            scores = np.where(np.tri(TOKENS, dtype=bool), parts[:, head] @ k.T, -np.inf)
            weights = np.exp2(scores - scores.max(axis=1, keepdims=True))
            out[:, head] = weights / weights.sum(axis=1, keepdims=True) @ v
        return out.reshape(TOKENS, -1)


@pytest.mark.parametrize("sizes", SHAPES)
def test_attention_is_that_of_float64_but_for_the_pages_rounding(kind: str, sizes: tuple[int, int, int]) -> None:
    a = Attention(kind, *sizes)
    assert np.abs(a.run(0, TOKENS) - a.exact()).max() < (0.02 if kind == "amx" else 0.003)


@pytest.mark.parametrize("sizes", SHAPES)
def test_chunks_decodes_and_stale_pages_change_no_bit(kind: str, sizes: tuple[int, int, int]) -> None:
    whole = Attention(kind, *sizes).run(0, TOKENS)
    other = Attention(kind, *sizes, stale=True)
    cuts = [0, 37, 38, 64, 65, 66, 67, 119, TOKENS]
    pieces = [other.run(first, end) for first, end in pairwise(cuts)]
    assert np.array_equal(np.concatenate(pieces), whole)


def test_one_token_at_a_time_gives_the_bits_of_the_whole(kind: str) -> None:
    whole = Attention(kind, 3, 1, 64).run(0, TOKENS)
    other = Attention(kind, 3, 1, 64)
    assert np.array_equal(np.concatenate([other.run(t, t + 1) for t in range(TOKENS)]), whole)


def test_tiles_of_any_height_give_the_same_bits(kind: str) -> None:
    whole = Attention(kind, 3, 1, 64).run(0, TOKENS)
    for tokens in (1, 2, 5, 6, 11):
        assert np.array_equal(Attention(kind, 3, 1, 64).run(0, TOKENS, tokens_a_tile=tokens), whole), tokens


def test_two_threads_give_the_bits_of_one_thread(kind: str) -> None:
    assert np.array_equal(Attention(kind, 6, 2, 32).run(0, TOKENS, threads=2), Attention(kind, 6, 2, 32).run(0, TOKENS))


def test_no_page_holds_an_infinity_even_if_a_key_or_value_is_one(kind: str) -> None:
    a = Attention(kind, 3, 1, 64)
    width = 64
    a.qkv[20, 3 * width : 3 * width + 3] = (np.inf, -np.inf, np.nan)
    a.qkv[20, 4 * width : 4 * width + 3] = (1e38, -3.4e38, np.nan)
    whole = a.run(0, TOKENS)
    assert np.isfinite(whole[:20]).all()
    pages = (
        [part.view(np.float16) for part in a.cache]
        if kind != "amx"
        else [(part.astype(np.uint32) << 16).view(np.float32) for part in a.cache]
    )
    assert all(np.isfinite(page).all() for page in pages)
