"""The same tokens come out of a request whatever the batch, the chunks, the blocks and the preemptions around it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midwatch_contracts.clock import VirtualClock
from midwatch_serving import linear as linear_module
from midwatch_serving.block_manager import BlockManager
from midwatch_serving.byte_tokenizer import VOCAB_SIZE
from midwatch_serving.executor import CpuExecutor
from midwatch_serving.linear import Floats, linear, pick_tile
from midwatch_serving.model import Model, ModelConfig, tiny
from midwatch_serving.sampling import SamplingParams
from midwatch_serving.scheduler import Limits, Scheduler
from midwatch_serving.sequence import Sequence
from midwatch_serving.work import Work, work_of

SMALL = tiny(5, ModelConfig(layers=3, hidden=64, heads=4, kv_heads=2, ffn=96, vocab=VOCAB_SIZE))
MAX_LEN = 256


def generate(
    model: Model,
    requests: list[tuple[tuple[int, ...], SamplingParams]],
    *,
    blocks: int,
    block_size: int,
    seqs: int,
    budget: int,
) -> tuple[list[list[int]], int]:
    """Serve everything at once; return each answer's tokens and the number of preemptions."""
    scheduler = Scheduler(
        BlockManager(blocks, block_size), Limits(seqs, budget), max_model_len=MAX_LEN, clock=VirtualClock()
    )
    executor = CpuExecutor(model, num_blocks=blocks, block_size=block_size, max_model_len=MAX_LEN)
    sequences = [Sequence(str(i), prompt, params, 0.0) for i, (prompt, params) in enumerate(requests)]
    for sequence in sequences:
        scheduler.add(sequence)
    while scheduler.has_work:
        batch = scheduler.schedule()
        scheduler.complete(batch, executor.execute(work_of(batch)).tokens)
        scheduler.check_integrity()
    return [sequence.output for sequence in sequences], sum(sequence.preemptions for sequence in sequences)


def alone(model: Model, request: tuple[tuple[int, ...], SamplingParams]) -> list[int]:
    outputs, _ = generate(model, [request], blocks=16, block_size=16, seqs=1, budget=MAX_LEN)
    return outputs[0]


REQUESTS = st.lists(
    st.tuples(
        st.lists(st.integers(0, 255), min_size=1, max_size=90).map(tuple),
        st.builds(
            SamplingParams,
            max_tokens=st.integers(1, 14),
            temperature=st.sampled_from([0.0, 0.0, 0.7, 1.5]),
            top_p=st.sampled_from([1.0, 0.9]),
            seed=st.integers(0, 2**63 - 1),
        ),
    ),
    min_size=1,
    max_size=7,
)


@settings(max_examples=60, deadline=None)
@given(
    requests=REQUESTS,
    block_size=st.sampled_from([1, 4, 16, 64]),
    spare=st.integers(0, 3),
    seqs=st.integers(1, 7),
    budget=st.integers(7, 200),
)
def test_tokens_are_equal_alone_batched_chunked_and_preempted(
    requests: list[tuple[tuple[int, ...], SamplingParams]], block_size: int, spare: int, seqs: int, budget: int
) -> None:
    largest = max(len(prompt) + params.max_tokens - 1 for prompt, params in requests)
    blocks = -(-largest // block_size) + spare
    together, _ = generate(SMALL, requests, blocks=blocks, block_size=block_size, seqs=seqs, budget=budget)
    assert together == [alone(SMALL, request) for request in requests]


def test_tokens_of_the_served_model_are_equal_under_heavy_preemption(model: Model) -> None:
    rng = np.random.default_rng(3)
    requests = [
        (tuple(rng.integers(256, size=int(rng.integers(4, 20))).tolist()), SamplingParams(max_tokens=60))
        for _ in range(5)
    ]
    together, preemptions = generate(model, requests, blocks=9, block_size=16, seqs=5, budget=48)
    assert preemptions >= 5
    assert together == [alone(model, request) for request in requests]
    assert len({tuple(answer) for answer in together}) == 5  # the model listens to its prompt


def test_logits_are_bitwise_equal_in_any_company(model: Model) -> None:
    rng = np.random.default_rng(1)
    text: list[int] = rng.integers(256, size=140).tolist()
    greedy = SamplingParams(max_tokens=1)
    reference = CpuExecutor(model, num_blocks=40, block_size=16, max_model_len=MAX_LEN)
    expected = [reference.logits([Work([t], i, list(range(9)), greedy, 0)])[0] for i, t in enumerate(text)]
    for _ in range(6):
        executor = CpuExecutor(model, num_blocks=40, block_size=16, max_model_len=MAX_LEN)
        blocks: list[int] = rng.permutation(40).tolist()
        position = 0
        while position < len(text):
            count = min(int(rng.choice([1, 2, 3, 17, 64, 140])), len(text) - position)
            mine = Work(text[position : position + count], position, blocks[:9], greedy, 0)
            company = [
                Work([65 + i] * n, 0, blocks[10 + 6 * i : 16 + 6 * i], greedy, 0)
                for i, n in enumerate(rng.choice([1, 1, 5, 90], size=int(rng.integers(5))).tolist())
            ]
            batch = list(company)
            batch.insert(int(rng.integers(len(company) + 1)), mine)
            position += count
            assert np.array_equal(executor.logits(batch)[batch.index(mine)], expected[position - 1])


def test_the_reference_arithmetic_agrees_with_a_plain_forward_pass() -> None:
    text = list(b"The quick brown fox jumps over the lazy dog, and then over the whole of a second fence.")
    executor = CpuExecutor(SMALL, num_blocks=8, block_size=16, max_model_len=MAX_LEN)
    got = executor.logits([Work(text, 0, list(range(8)), SamplingParams(max_tokens=1), 0)])[0]
    allowed = ~SMALL.forbidden
    np.testing.assert_allclose(got[allowed], plain_forward(SMALL, text)[allowed], rtol=2e-3, atol=2e-3)


def plain_forward(model: Model, tokens: list[int]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """A Llama forward pass in float64, without cache, batch or tiles, written for nothing but to be read."""
    c, length = model.config, len(tokens)
    x = model.weights.embedding[tokens].astype(np.float64)
    frequency = c.rope_base ** (-np.arange(0, c.head_dim, 2) / c.head_dim)
    angle = np.outer(np.arange(length), frequency)

    def norm(v: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
        return v / np.sqrt((v**2).mean(-1, keepdims=True) + c.eps)

    def turn(v: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
        out = np.empty_like(v)
        out[:, 0::2] = v[:, 0::2] * np.cos(angle) - v[:, 1::2] * np.sin(angle)
        out[:, 1::2] = v[:, 0::2] * np.sin(angle) + v[:, 1::2] * np.cos(angle)
        return out

    for layer in model.weights.layers:
        qkv = norm(x) @ layer.qkv
        heads = np.split(qkv, c.heads + 2 * c.kv_heads, axis=1)
        answers: list[np.ndarray[tuple[int, ...], np.dtype[np.float64]]] = []
        for h in range(c.heads):
            shared = h // (c.heads // c.kv_heads)
            key, value = heads[c.heads + shared], heads[c.heads + c.kv_heads + shared]
            scores = turn(heads[h]) @ turn(key).T / np.sqrt(c.head_dim)
            scores[np.triu_indices(length, 1)] = -np.inf
            weights = np.exp(scores - scores.max(1, keepdims=True))
            answers.append(weights / weights.sum(1, keepdims=True) @ value)
        x = x + np.concatenate(answers, axis=1) @ layer.out
        gate = norm(x) @ layer.gate
        x = x + (gate / (1 + np.exp(-gate)) * (norm(x) @ layer.up)) @ layer.down
    return norm(x[-1:])[0] @ model.weights.unembedding


def test_a_product_has_the_same_shape_in_every_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    shapes: set[tuple[int, ...]] = set()
    real = np.matmul

    def matmul(x: Floats, weight: Floats) -> Floats:
        shapes.add(x.shape[1:])
        return real(x, weight)

    monkeypatch.setattr(np, "matmul", matmul)
    weight = np.ones((8, 3), dtype=np.float32)
    for rows in (4, 8, 100):
        assert linear(np.ones((rows, 8), dtype=np.float32), weight, 4).shape == (rows, 3)
    assert shapes == {(4, 8)}


def test_a_machine_whose_products_depend_on_the_place_gets_one_row_a_tile(monkeypatch: pytest.MonkeyPatch) -> None:
    weight = np.ones((8, 8), dtype=np.float32)
    assert pick_tile([weight]) == linear_module.TILE

    def by_place(x: Floats, weight: Floats, tile: int) -> Floats:
        out = linear(x, weight, tile)
        out[-1] = np.nextafter(out[-1], np.float32(np.inf))
        return out

    monkeypatch.setattr(linear_module, "linear", by_place)
    assert pick_tile([weight]) == 1


def test_the_same_seed_makes_the_same_weights_and_another_seed_others() -> None:
    assert np.array_equal(tiny(3, SMALL.config).weights.embedding, tiny(3, SMALL.config).weights.embedding)
    assert not np.array_equal(tiny(3, SMALL.config).weights.embedding, tiny(4, SMALL.config).weights.embedding)
