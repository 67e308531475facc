"""Estimates of the model's arithmetic, held against sums by hand and published sizes."""

from midwatch_serving.batch import Batch, Chunk
from midwatch_serving.mfu import Estimates
from midwatch_serving.model import ModelConfig
from midwatch_serving.sampling import SamplingParams
from midwatch_serving.sequence import Sequence

SMOLLM2 = ModelConfig(layers=30, hidden=576, heads=9, kv_heads=3, ffn=1536, vocab=49152)
SMALL = ModelConfig(layers=2, hidden=8, heads=2, kv_heads=1, ffn=16, vocab=10)


def chunk(start: int, count: int, *, samples: bool) -> Chunk:
    sequence = Sequence("a", tuple(range(100)), SamplingParams(1), arrived=0.0)
    return Chunk(sequence, start, count, samples)


def test_the_sizes_of_smollm2_are_the_published_ones() -> None:
    assert round(Estimates(SMOLLM2).parameters / 1e6, 1) == 134.5


def test_a_prompt_token_of_smollm2_takes_the_measured_operations() -> None:
    estimates = Estimates(SMOLLM2)
    estimates.book(Batch([chunk(0, 1, samples=False)]))
    assert round(estimates.flops / 1e9, 3) == 0.212


def test_a_step_of_a_prompt_and_a_decode_is_the_sum_by_hand() -> None:
    estimates = Estimates(SMALL, bytes_per_weight=1)
    estimates.book(Batch([chunk(4, 3, samples=False), chunk(9, 1, samples=True)]))
    layer = 8 * 8 + 2 * 8 * 4 + 8 * 8 + 3 * 8 * 16  # q, k and v, output, feed-forward
    pairs = (5 + 6 + 7) + 10
    assert estimates.flops == 2 * 4 * 2 * layer + 2 * 8 * 10 + pairs * 4 * 2 * 8
    cached = 2 * 2 * 4 * 4  # bytes: layers, keys and values, one head of 4, floats
    assert estimates.read_bytes == 2 * layer + 8 * 10 + (7 + 10) * cached
    assert estimates.written_bytes == 4 * cached


def test_a_step_that_chooses_no_token_does_not_read_the_unembedding() -> None:
    estimates = Estimates(SMALL, bytes_per_weight=1)
    estimates.book(Batch([chunk(0, 1, samples=False)]))
    alone = estimates.read_bytes
    estimates.book(Batch([chunk(0, 1, samples=True)]))
    assert estimates.read_bytes - 2 * alone == 8 * 10
