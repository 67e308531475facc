"""What the kernels work on: named tuples of arrays, which numba passes as they are and chooses its code by."""

import contextlib
import mmap
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from midwatch_serving.kernels.micro import GROUP, PANEL

Floats = NDArray[np.float32]
Int8s = NDArray[np.int8]
Int16s = NDArray[np.int16]
Halves = NDArray[np.uint16]
Bytes = NDArray[np.uint8]
Indices = NDArray[np.int64]

CACHE_LINE = 64
HUGE_PAGE = 2 << 20


class VnniWeights(NamedTuple):
    """Matrices of equal shape, one a layer, for `vpdpbusd`: signed bytes with a scale a group and column."""

    values: Int8s
    """(layers, outer / 32, inner / 4, 32, 4)"""
    scales: Halves
    """(layers, outer / 32, inner / 64, 32) bfloat16"""
    offsets: Int16s
    """Like `scales`: minus the sum of the group's values."""


class AmxWeights(NamedTuple):
    """`VnniWeights` for a core with AMX: the same bytes."""

    values: Int8s
    scales: Halves
    offsets: Int16s


class PortableWeights(NamedTuple):
    """The same numbers laid out for floats: no instruction of a particular machine."""

    values: Int8s
    """(layers, outer / 32, inner, 32)"""
    scales: Halves
    """(layers, outer / 32, inner / 64, 32) bfloat16"""


Weights = VnniWeights | AmxWeights | PortableWeights


class QuantizedRows(NamedTuple):
    """Activations as unsigned bytes (128 is zero), a scale a row and group of 64."""

    values: Bytes
    """(rows, inner)"""
    scales: Floats
    """(rows, inner / 64)"""


class SignedRows(NamedTuple):
    """`QuantizedRows`, and the bytes signed as well: AMX multiplies those."""

    values: Bytes
    scales: Floats
    signed: Int8s
    """(rows, inner)"""


class FloatRows(NamedTuple):
    """Activations as they are."""

    values: Floats
    """(rows, inner)"""


Rows = QuantizedRows | SignedRows | FloatRows


class Shape(NamedTuple):
    """Sizes and switches of a model."""

    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    ffn: int
    eps: float
    interleaved: bool
    bias: bool
    head_norm: bool


class Parameters(NamedTuple):
    """A model's weights, packed."""

    qkv: Weights
    out: Weights
    gate_up: Weights
    down: Weights
    unembedding: Weights
    """One layer."""
    attention_norm: Floats
    """(layers, hidden)"""
    ffn_norm: Floats
    final_norm: Floats
    """(hidden,)"""
    qkv_bias: Floats
    """(layers, qkv width), or empty"""
    q_norm: Floats
    """(layers, head_dim), or empty"""
    k_norm: Floats
    cosine: Floats
    """(positions, head_dim / 2)"""
    sine: Floats


class Cache(NamedTuple):
    """Paged keys and values as half floats (their bits); a lane block is 16 tokens."""

    keys: Halves
    """(layers, lane blocks, kv heads, head_dim, 16)"""
    values: Halves
    """(layers, lane blocks, kv heads, 16, head_dim)"""


class AmxCache(NamedTuple):
    """Paged keys and values as bfloat16, in pairs of the values n and 16 + n of every 32."""

    keys: Halves
    """(layers, lane blocks, kv heads, head_dim / 32, 16 pairs, 16 tokens, 2)"""
    values: Halves
    """(layers, lane blocks, kv heads, 16 tokens, head_dim / 32, 16 pairs, 2)"""


class Buffers(NamedTuple):
    """Where a step works. Rows are a multiple of 16, so that a tile may compute rows that no one reads."""

    x: Floats
    """(rows, hidden): the residual stream."""
    narrow: Rows
    """(rows, hidden): input of a linear."""
    wide: Rows
    """(rows, ffn)"""
    mixed_rows: Rows
    """(rows, heads * head_dim): input of the output projection."""
    qkv: Floats
    """(rows, qkv width)"""
    mixed: Floats
    """(rows, heads * head_dim): what attention gives."""
    y: Floats
    """(rows, hidden): what a linear adds to the stream."""
    scratch: Floats
    """(threads, floats): each thread's own."""
    counters: Indices
    """Barrier and work counters, each on a cache line of its own: (2 + 5 * layers, 8), zero at the start of a step."""


class Step(NamedTuple):
    """The rows of a step. A tile is a run of rows of one sequence that are attended together."""

    positions: Indices
    """(rows,)"""
    slots: Indices
    """(rows,): lane block * 16 + place"""
    tile_rows: Indices
    """(tiles, 3): first row, number of rows, row of `tables`"""
    tables: Indices
    """(sequences, lane blocks)"""


def aligned(shape: tuple[int, ...], kind: Any) -> NDArray[Any]:
    """Return zeros that start on a cache line: a vector load that straddles two lines costs two.

    Large arrays are asked for in huge pages where the system has them: they are read in long sweeps and in small pieces
    all over, and every small page would be looked up again.
    """
    dtype = np.dtype(kind)
    size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    if size < HUGE_PAGE:
        raw = np.zeros(size + CACHE_LINE, dtype=np.uint8)
    else:
        memory = mmap.mmap(-1, size + HUGE_PAGE)
        if hasattr(mmap, "MADV_HUGEPAGE"):
            with contextlib.suppress(OSError):  # a kernel built without them
                memory.madvise(mmap.MADV_HUGEPAGE)
        raw = np.frombuffer(memory, dtype=np.uint8)
    start = -raw.ctypes.data % (CACHE_LINE if size < HUGE_PAGE else HUGE_PAGE)
    return raw[start : start + size].view(dtype).reshape(shape)


def quantize(weight: Floats) -> tuple[Int8s, Halves]:
    """Return (outer, inner) signed bytes and (outer, inner / 64) scales, as bfloat16, of a matrix (outer, inner)."""
    groups = weight.reshape(len(weight), -1, GROUP)
    exact: Floats = (np.abs(groups).max(axis=2) / np.float32(127)).astype(np.float32)
    exact[exact == 0] = 1
    high = (-(-exact.view(np.uint32).astype(np.int64) // 65536)).astype(np.uint32)  # rounded up: no value above 127
    scales = (high << 16).view(np.float32)
    values = np.rint(groups / scales[:, :, None]).astype(np.int8).reshape(weight.shape)
    return values, high.astype(np.uint16)


def panels(scales: NDArray[Any]) -> NDArray[Any]:
    """Lay (outer, groups) out as (outer / 32, groups, 32)."""
    outer, groups = scales.shape
    return scales.reshape(outer // PANEL, PANEL, groups).transpose(0, 2, 1)


def whole_panels(weight: Floats) -> Floats:
    """Return the matrix with zero rows added up to a multiple of 32."""
    missing = -len(weight) % PANEL
    return weight if missing == 0 else np.concatenate([weight, np.zeros((missing, weight.shape[1]), np.float32)])
