"""A tiny model of the Llama family with random weights: real arithmetic, text that means nothing.

RMSNorm, rotary positions, grouped-query attention, SwiGLU and tied embeddings as in Llama (Touvron et al. 2023), in
fp32. The weights follow from a seed, so every process that is given the same seed answers alike.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from midwatch_serving import byte_tokenizer
from midwatch_serving.linear import Floats
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


class Weights(Protocol):
    """Weights in fp32, each computed or read when it is asked for: keep what is used more than once."""

    @property
    def embedding(self) -> Floats:
        """(vocab, hidden)"""
        ...

    @property
    def unembedding(self) -> Floats:
        """(hidden, vocab): often the embedding again, in the layout of a weight."""
        ...

    @property
    def layers(self) -> Sequence[Layer]:
        """One a layer."""
        ...

    @property
    def final_norm(self) -> Floats:
        """(hidden,)"""
        ...

    @property
    def rope_factors(self) -> Floats | None:
        """(head_dim / 2,): what rotary frequencies are divided by (Llama 3's long contexts), if anything."""
        ...

    @property
    def identity(self) -> str | None:
        """A hash of the file that they come from; None for weights that nothing should be cached of."""
        ...


@dataclass(frozen=True)
class DenseWeights:
    """Weights that are in memory."""

    embedding: Floats
    unembedding: Floats
    layers: tuple[Layer, ...]
    final_norm: Floats
    rope_factors: Floats | None = None
    identity: str | None = None


@dataclass(frozen=True)
class Model:
    """Sizes, weights, tokenizer, and the tokens that may be generated."""

    name: str
    about: str
    config: ModelConfig
    weights: Weights
    forbidden: NDArray[np.bool_]
    """(vocab,): tokens that are never generated."""
    tokenizer: Tokenizer


def rotary(config: ModelConfig, factors: Floats | None, length: int) -> tuple[Floats, Floats]:
    """Return cosine and sine, (length, head_dim / 2) each, of the rotary position embedding (Su et al. 2021)."""
    frequency = config.rope_base ** (-np.arange(0, config.head_dim, 2) / config.head_dim)
    angles = np.outer(np.arange(length), frequency if factors is None else frequency / factors)
    return np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)


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
        weights=DenseWeights(embedding, np.ascontiguousarray(embedding.T), layers, ones),
        forbidden=forbidden,
        tokenizer=byte_tokenizer.ByteTokenizer(),
    )
