"""Compiled kernels compute what the fp32 reference computes, for every shape of model they take."""

from dataclasses import replace
from typing import Any, cast

import numpy as np
import platformdirs
import pytest
from numpy.typing import NDArray

from midwatch_serving.byte_tokenizer import VOCAB_SIZE
from midwatch_serving.errors import KernelError
from midwatch_serving.executor import CpuExecutor
from midwatch_serving.kernels.choice import choose
from midwatch_serving.kernels.cpu import available
from midwatch_serving.loading import Arithmetic
from midwatch_serving.model import DenseWeights, Model, ModelConfig, tiny
from midwatch_serving.sampling import SamplingParams
from midwatch_serving.work import Work

BEST, *OTHERS = available() or ("portable",)
KINDS = [BEST, *(pytest.param(kind, marks=pytest.mark.slow) for kind in OTHERS)]
"""The others compile for ten seconds each, the first time."""
LENGTH = 150
NEAR = {"portable": 0.999, "vnni": 0.98, "amx": 0.98}
"""Least correlation of logits: int8 activations cost more on random weights than on a trained model's."""
BLOCKS = {"num_blocks": 24, "block_size": 16, "max_model_len": 256}


def sizes(head_width: int, per_kv: int, **more: Any) -> ModelConfig:
    kv_heads = 2
    heads = kv_heads * per_kv
    return ModelConfig(
        layers=2, hidden=128, heads=heads, kv_heads=kv_heads, ffn=192, vocab=VOCAB_SIZE, head_width=head_width, **more
    )


def random_model(config: ModelConfig, *, bias: bool = False, head_norm: bool = False) -> Model:
    """A model of these sizes with calmer weights than `tiny`'s, and with what Qwen adds."""
    rng = np.random.default_rng(3)
    width, kv_width, c = config.heads * config.head_dim, config.kv_heads * config.head_dim, config

    def weight(inner: int, outer: int) -> NDArray[np.float32]:
        return (rng.standard_normal((inner, outer)) / np.sqrt(inner)).astype(np.float32)

    base = tiny(3, replace(config, head_width=None, heads=4, kv_heads=2))
    dense = cast("DenseWeights", base.weights)
    layers = tuple(
        replace(
            layer,
            qkv=weight(c.hidden, width + 2 * kv_width),
            out=weight(width, c.hidden),
            qkv_bias=rng.standard_normal(width + 2 * kv_width).astype(np.float32) if bias else None,
            q_norm=rng.uniform(0.5, 1.5, c.head_dim).astype(np.float32) if head_norm else None,
            k_norm=rng.uniform(0.5, 1.5, c.head_dim).astype(np.float32) if head_norm else None,
        )
        for layer in dense.layers
    )
    return replace(base, config=config, weights=replace(dense, layers=layers))


MODELS = {
    "llama-1-head-a-kv-head": random_model(sizes(32, 1)),
    "llama-3": random_model(sizes(64, 3)),
    "llama-7-wide": random_model(sizes(128, 7)),
    "qwen2": random_model(sizes(64, 2, rope_interleaved=False), bias=True),
    "qwen3": random_model(sizes(128, 2, rope_interleaved=False), head_norm=True),
}


def executor(model: Model, kind: str, threads: int = 1) -> CpuExecutor:
    cache = platformdirs.user_cache_path("midwatch", appauthor=False) / "kernels"
    return Arithmetic(kind, threads, cache).executor(model, **BLOCKS, max_rows=LENGTH)


def tokens(count: int) -> list[int]:
    return [int(t) for t in np.random.default_rng(1).integers(32, 127, size=count)]


def scored(made: CpuExecutor) -> NDArray[np.float32]:
    """The logits of every position of one prompt."""
    text = tokens(LENGTH)
    table = np.random.default_rng(2).permutation(24)[:10].tolist()
    return made.logits([Work(text[:-1], 0, table, SamplingParams(1), None, score_from=1, next_token=text[-1])])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", MODELS)
def test_logits_agree_with_the_reference(name: str, kind: str) -> None:
    model = MODELS[name]
    allowed = ~model.forbidden
    expected = scored(executor(model, "reference"))[:, allowed].astype(np.float64)
    found = scored(executor(model, kind))[:, allowed].astype(np.float64)
    assert found.shape == (LENGTH - 1, int(allowed.sum()))
    likeness = [np.corrcoef(a, b)[0, 1] for a, b in zip(expected, found, strict=True)]
    assert min(likeness) > NEAR[kind]
    assert np.linalg.norm(found - expected) < 0.2 * np.linalg.norm(expected - expected.mean())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", MODELS)
def test_a_token_has_the_same_bits_alone_in_chunks_in_company_and_on_two_threads(name: str, kind: str) -> None:
    model, greedy, text = MODELS[name], SamplingParams(1), tokens(LENGTH)
    table, other = list(range(10)), list(range(10, 20))
    whole = executor(model, kind).logits([Work(text, 0, table, greedy, 0)])
    twos = executor(model, kind, threads=2)
    company = Work(tokens(90)[::-1], 0, other, greedy, 0)
    for start, end in ((0, 1), (1, 18), (18, 81), (81, LENGTH - 1)):
        twos.logits([company, Work(text[start:end], start, table, greedy, 0)])
    decode = Work(text[-1:], LENGTH - 1, table, greedy, 0)
    assert np.array_equal(twos.logits([company, decode])[1], whole[0])
    assert np.array_equal(executor(model, kind).logits([Work(text, 0, other[::-1], greedy, 0)]), whole)


def test_sizes_that_the_kernels_do_not_take_are_refused_with_the_mend() -> None:
    with pytest.raises(KernelError, match=r"multiples of 64.*--kernel reference"):
        choose("auto", replace(sizes(64, 2), hidden=96), 16)
    with pytest.raises(KernelError, match=r"head_dim must be a multiple of 32.*--kernel reference"):
        choose("auto", replace(sizes(48, 4)), 16)
    with pytest.raises(KernelError, match="multiple of 16 tokens, not 8"):
        choose("auto", sizes(64, 2), 8)


def test_a_kernel_that_this_cpu_lacks_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("midwatch_serving.kernels.choice.available", lambda: ("portable",))
    with pytest.raises(KernelError, match=r"cannot run the amx kernels \(it can run: portable\)"):
        choose("amx", sizes(64, 2), 16)
