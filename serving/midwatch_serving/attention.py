"""Causal attention over paged keys and values, with the same arithmetic for a token in every batch.

Keys are taken `SPAN` at a time, whatever the block size; each span is one product of fixed shape a token and KV head,
and spans are added up in order. A span that lies wholly after a token adds exact zeros. So a token's result depends on
the tokens before it only: not on the batch, on how its prompt was cut into chunks, or on what it was computed beside.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from midwatch_serving.linear import Floats

SPAN = 64
"""Keys a product; the block size divides it."""
ROWS = 64
"""Query tokens of one prompt that are computed together: bounds the memory of a long prompt."""


@dataclass(frozen=True)
class Group:
    """Rows of the batch that are attended together: one prompt's tokens, or the decoding tokens of many sequences."""

    rows: slice
    slots: NDArray[np.intp]
    """(sequences, spans * SPAN) cache slots; one sequence's slots serve all rows, or one row has one sequence."""
    bias: Floats
    """(rows, spans, 1, 1, SPAN): 0 for a key that the row may see, -inf for one that it may not."""


def group(rows: slice, positions: NDArray[np.intp], tables: list[list[int]], block_size: int) -> Group:
    """Prepare a group: `positions` (rows,) of its tokens, `tables` one block table, or one a row."""
    spans = int(positions.max()) // SPAN + 1
    blocks = np.zeros((len(tables), spans * SPAN // block_size), dtype=np.intp)
    for i, table in enumerate(tables):
        used = table[: blocks.shape[1]]
        blocks[i, : len(used)] = used
    slots = (blocks[:, :, None] * block_size + np.arange(block_size)).reshape(len(tables), spans * SPAN)
    hidden = np.arange(spans * SPAN)[None, :] > positions[:, None]
    bias = np.where(hidden, np.float32(-np.inf), np.float32(0)).reshape(len(positions), spans, 1, 1, SPAN)
    return Group(rows, slots, bias)


def attend(q: Floats, cache: Floats, group: Group) -> Floats:
    """Return (rows, heads * head_dim) for q (rows, kv_heads, heads a KV head, head_dim), scaled already.

    `cache` is one layer's (slots, 2, kv_heads, head_dim): keys and values.
    """
    rows, kv_heads, per_kv, head_dim = q.shape
    spans = group.bias.shape[1]
    kv = cache[group.slots].reshape(len(group.slots), spans, SPAN, 2, kv_heads, head_dim)
    keys = kv[:, :, :, 0].transpose(0, 1, 3, 4, 2)
    values = kv[:, :, :, 1].transpose(0, 1, 3, 2, 4)
    scores = np.matmul(q[:, None], keys)  # (rows, spans, kv_heads, per_kv, SPAN)
    scores += group.bias
    scores -= scores.max(axis=4).max(axis=1)[:, None, :, :, None]
    np.exp(scores, out=scores)
    sums = scores.sum(axis=4)
    mixed = np.matmul(scores, values)
    total, out = sums[:, 0], mixed[:, 0]
    for span in range(1, spans):  # in order, so that a span of zeros changes nothing
        total = total + sums[:, span]
        out = out + mixed[:, span]
    return (out / total[..., None]).reshape(rows, kv_heads * per_kv * head_dim)
