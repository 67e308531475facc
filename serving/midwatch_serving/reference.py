"""The model in numpy and fp32: what every other arithmetic is measured against."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from midwatch_serving.attention import ROWS, Group, attend, group
from midwatch_serving.linear import Floats, linear, padded, pick_tile
from midwatch_serving.model import Layer, Model, rotary
from midwatch_serving.runner import due_rows
from midwatch_serving.work import Work


class ReferenceRunner:
    """`Runner` with the matrix products of BLAS in tiles of fixed shape (`linear`, `attention`)."""

    name = "reference"

    def __init__(self, model: Model, *, num_blocks: int, block_size: int, max_model_len: int) -> None:
        c = self._config = model.config
        weights = model.weights
        self._block_size = block_size
        self._cache = np.zeros((c.layers, num_blocks * block_size, 2, c.kv_heads, c.head_dim), dtype=np.float32)
        cosine, sine = rotary(c, weights.rope_factors, max_model_len)
        self._rotation = (cosine + 1j * sine).astype(np.complex64)
        self._layers = [weights.layers[i] for i in range(c.layers)]
        self._embedding, self._unembedding, self._final_norm = (
            weights.embedding,
            weights.unembedding,
            weights.final_norm,
        )
        y = self._layers[0]
        self._tile = pick_tile([self._unembedding, y.qkv, y.out, y.gate, y.up, y.down])
        self._forbidden = model.forbidden
        self._due: Floats = np.zeros((0, c.hidden), dtype=np.float32)

    def forward(self, work: list[Work]) -> int:
        """Compute the work; see `Runner`."""
        plan = _plan(work, self._block_size)
        x = np.zeros((padded(len(plan.positions), self._tile), self._config.hidden), dtype=np.float32)
        x[: len(plan.tokens)] = self._embedding[plan.tokens]
        rotation = self._rotation[plan.positions][:, None, :]
        for layer, cache in zip(self._layers, self._cache, strict=True):
            self._layer(x, layer, cache, plan, rotation)
        self._due = self._norm(x[plan.due], self._final_norm)
        return len(plan.due)

    def logits(self, first: int, count: int) -> Floats:
        """Return the logits of due rows; see `Runner`."""
        rows = np.zeros((padded(count, self._tile), self._config.hidden), dtype=np.float32)
        rows[:count] = self._due[first : first + count]
        logits = linear(rows, self._unembedding, self._tile)[:count]
        logits[:, self._forbidden] = -np.inf
        return logits

    def _layer(self, x: Floats, layer: Layer, cache: Floats, plan: "_Plan", rotation: NDArray[np.complex64]) -> None:
        c = self._config
        count = len(plan.positions)
        qkv = linear(self._norm(x, layer.attention_norm), layer.qkv, self._tile)[:count]
        if layer.qkv_bias is not None:
            qkv += layer.qkv_bias
        heads = qkv.reshape(count, c.heads + 2 * c.kv_heads, c.head_dim)
        turned = heads[:, : c.heads + c.kv_heads]
        if layer.q_norm is not None and layer.k_norm is not None:
            turned[:, : c.heads] = self._norm(turned[:, : c.heads], layer.q_norm)
            turned[:, c.heads :] = self._norm(turned[:, c.heads :], layer.k_norm)
        _turn(turned, rotation, interleaved=c.rope_interleaved)
        cache[plan.slots] = heads[:, c.heads :].reshape(count, 2, c.kv_heads, c.head_dim)
        q = heads[:, : c.heads].reshape(count, c.kv_heads, c.heads // c.kv_heads, c.head_dim)
        q = q * np.float32(c.head_dim**-0.5)
        mixed = np.zeros((len(x), c.heads * c.head_dim), dtype=np.float32)
        for g in plan.groups:
            mixed[g.rows] = attend(q[g.rows], cache, g)
        x += linear(mixed, layer.out, self._tile)
        y = self._norm(x, layer.ffn_norm)
        gate = linear(y, layer.gate, self._tile)
        gate /= 1 + np.exp(-gate)
        gate *= linear(y, layer.up, self._tile)
        x += linear(gate, layer.down, self._tile)

    def _norm(self, x: Floats, weight: Floats) -> Floats:
        scale = np.sqrt(np.square(x).mean(axis=-1, keepdims=True) + np.float32(self._config.eps))
        return x / scale * weight


def _turn(heads: Floats, rotation: NDArray[np.complex64], *, interleaved: bool) -> None:
    """Rotate (rows, heads, head_dim) in place by (rows, 1, head_dim / 2)."""
    if interleaved:  # pairs (2i, 2i + 1) lie side by side: a complex number each
        turned = heads.view(np.complex64)
        turned *= rotation
        return
    half = heads.shape[2] // 2
    pairs = (heads[:, :, :half] + 1j * heads[:, :, half:]) * rotation
    heads[:, :, :half], heads[:, :, half:] = pairs.real, pairs.imag


@dataclass(frozen=True)
class _Plan:
    """A step's rows: decoding tokens first, then each prompt's."""

    tokens: NDArray[np.intp]
    positions: NDArray[np.intp]
    slots: NDArray[np.intp]
    groups: list[Group]
    due: list[int]
    """The rows whose logits are due, in the order of the work."""


def _plan(work: list[Work], block_size: int) -> _Plan:
    decoding = [w for w in work if len(w.tokens) == 1]
    prompts = [w for w in work if len(w.tokens) > 1]
    first_row: dict[int, int] = {}
    row = 0
    for w in [*decoding, *prompts]:
        first_row[id(w)] = row
        row += len(w.tokens)
    rows = [*decoding, *prompts]
    tokens = np.array([token for w in rows for token in w.tokens], dtype=np.intp)
    positions = np.concatenate([np.arange(w.start, w.start + len(w.tokens)) for w in rows])
    slots = np.concatenate([_slots(w, block_size) for w in rows])
    groups: list[Group] = []
    if decoding:
        here = slice(0, len(decoding))
        groups.append(group(here, positions[here], [w.block_table for w in decoding], block_size))
    for w in prompts:
        for offset in range(0, len(w.tokens), ROWS):
            start = first_row[id(w)] + offset
            here = slice(start, min(start + ROWS, first_row[id(w)] + len(w.tokens)))
            groups.append(group(here, positions[here], [w.block_table], block_size))
    due = due_rows(work, [first_row[id(w)] for w in work])
    return _Plan(tokens, positions, slots, groups, due)


def _slots(w: Work, block_size: int) -> NDArray[np.intp]:
    positions = np.arange(w.start, w.start + len(w.tokens))
    return np.array(w.block_table, dtype=np.intp)[positions // block_size] * block_size + positions % block_size
