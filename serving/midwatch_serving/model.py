"""A tiny model of the Llama family with random weights: real arithmetic, text that means nothing.

RMSNorm, rotary positions, grouped-query attention, SwiGLU and tied embeddings as in Llama (Touvron et al. 2023), in
fp32. The weights follow from a seed, so every process that is given the same seed answers alike.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from midwatch_serving import byte_tokenizer
from midwatch_serving.linear import Floats, pick_tile
from midwatch_serving.tokenizer import Tokenizer


@dataclass(frozen=True)
class ModelConfig:
    """Sizes of a Llama-family model."""

    layers: int
    hidden: int
    heads: int
    kv_heads: int
    ffn: int
    vocab: int
    rope_base: float = 10_000.0
    eps: float = 1e-5
    head_width: int | None = None
    """Width of one head where it is not `hidden / heads` (Qwen3)."""
    context: int = 16_384
    """Longest sequence that the model was made for, in tokens."""
    architecture: str = "llama"
    rope_interleaved: bool = True
    """Rotary pairs are (2i, 2i + 1), as GGUF stores Llama's; else (i, i + head_dim / 2), as for Qwen."""

    @property
    def head_dim(self) -> int:
        """Width of one head."""
        return self.hidden // self.heads if self.head_width is None else self.head_width


TINY = ModelConfig(layers=14, hidden=192, heads=6, kv_heads=2, ffn=384, vocab=byte_tokenizer.VOCAB_SIZE)
"""About 4.5 million weights, 18 MB: a decode step of four sequences takes a few milliseconds of one core."""

_SHARP = 3.0
"""Gain of queries, keys and values: at 1 random heads attend to everything alike and every answer repeats one token."""


@dataclass(frozen=True)
class Layer:
    """Weights of one layer, each (inner, outer)."""

    attention_norm: Floats
    qkv: Floats
    """Query, key and value side by side."""
    out: Floats
    ffn_norm: Floats
    gate: Floats
    up: Floats
    down: Floats
    qkv_bias: Floats | None = None
    """Qwen2's."""
    q_norm: Floats | None = None
    """(head_dim,): RMSNorm of each query head before rotation, Qwen3's; `k_norm` the keys'."""
    k_norm: Floats | None = None


@dataclass(frozen=True)
class Model:
    """Sizes, weights, tokenizer, and the tokens that may be generated."""

    name: str
    about: str
    config: ModelConfig
    embedding: Floats
    """(vocab, hidden)"""
    unembedding: Floats
    """(hidden, vocab): the embedding again, transposed into the layout of a weight."""
    layers: tuple[Layer, ...]
    final_norm: Floats
    forbidden: NDArray[np.bool_]
    """(vocab,): tokens that are never generated."""
    tokenizer: Tokenizer

    @cached_property
    def tile(self) -> int:
        """Rows a product on this machine, see `linear`."""
        return pick_tile(
            [self.unembedding, *(w for y in self.layers[:1] for w in (y.qkv, y.out, y.gate, y.up, y.down))]
        )


def tiny(seed: int, config: ModelConfig = TINY) -> Model:
    """Return the tiny model of this seed. It answers in printable ASCII and never ends before `max_tokens`."""
    c = config
    rng = np.random.default_rng(seed)

    def weight(inner: int, outer: int, gain: float = 1.0) -> Floats:
        return rng.standard_normal((inner, outer), dtype=np.float32) * np.float32(gain / np.sqrt(inner))

    ones = np.ones(c.hidden, dtype=np.float32)
    embedding = rng.standard_normal((c.vocab, c.hidden), dtype=np.float32) * np.float32(0.3)
    kv_width = c.kv_heads * c.head_dim
    layers = tuple(
        Layer(
            attention_norm=ones,
            qkv=weight(c.hidden, c.hidden + 2 * kv_width, gain=_SHARP),
            out=weight(c.hidden, c.hidden, gain=2),
            ffn_norm=ones,
            gate=weight(c.hidden, c.ffn, gain=1.5),
            up=weight(c.hidden, c.ffn, gain=1.5),
            down=weight(c.ffn, c.hidden),
        )
        for _ in range(c.layers)
    )
    forbidden = np.ones(c.vocab, dtype=np.bool_)
    forbidden[byte_tokenizer.PRINTABLE.start : byte_tokenizer.PRINTABLE.stop] = False
    return Model(
        name="tiny",
        about=f"tiny (random weights from seed {seed}; its text means nothing)",
        config=c,
        embedding=embedding,
        unembedding=np.ascontiguousarray(embedding.T),
        layers=layers,
        final_norm=ones,
        forbidden=forbidden,
        tokenizer=byte_tokenizer.ByteTokenizer(),
    )
