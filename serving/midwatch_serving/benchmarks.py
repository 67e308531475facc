"""Benchmarks of the engine: what batching and paging buy, in process and without a CPU limit."""

import time
from collections.abc import Iterable

import numpy as np

from midwatch_contracts.clock import WallClock
from midwatch_contracts.figure import Figure, median_seconds
from midwatch_serving.block_manager import BlockManager
from midwatch_serving.executor import CpuExecutor
from midwatch_serving.model import tiny
from midwatch_serving.sampler import sample
from midwatch_serving.sampling import SamplingParams
from midwatch_serving.scheduler import Limits, Scheduler
from midwatch_serving.sequence import Sequence
from midwatch_serving.work import work_of

BLOCKS = 64
BLOCK_SIZE = 16
PROMPT = 96
DECODED = 96
"""Tokens that each sequence generates; the first comes out of the prefill."""

VOCABULARY = 49_152
"""SmolLM2's."""
SAMPLES = 201


def decode_batching() -> Iterable[Figure]:
    """Measure decode at batch 4, in tokens/s, beside the same at batch 1."""
    one = _decode_rate(1)
    yield Figure.beside("decode_b4_tok_s", _decode_rate(4), "tokens/s", baseline=one)


def sampling() -> Iterable[Figure]:
    """Measure the choice of a token by temperature and top-p out of a vocabulary, beside the greedy choice."""
    row = np.random.default_rng(0).standard_normal(VOCABULARY, dtype=np.float32)
    greedy, drawn = SamplingParams(1), SamplingParams(1, temperature=1, top_p=0.9)
    baseline = median_seconds(lambda: sample(row, greedy, 0), repeat=SAMPLES)
    value = median_seconds(lambda: sample(row, drawn, 0), repeat=SAMPLES)
    yield Figure.beside("sample_top_p_ms", value * 1000, "ms", baseline=baseline * 1000)


def _decode_rate(batch_size: int) -> float:
    """Return tokens per second of the decode steps, scheduling included."""
    limits = Limits(max_num_seqs=batch_size, max_num_batched_tokens=PROMPT * batch_size)
    blocks = BlockManager(BLOCKS, BLOCK_SIZE)
    scheduler = Scheduler(blocks, limits, max_model_len=PROMPT + DECODED, clock=WallClock())
    executor = CpuExecutor(tiny(0), num_blocks=BLOCKS, block_size=BLOCK_SIZE, max_model_len=PROMPT + DECODED)
    params = SamplingParams(max_tokens=DECODED, ignore_eos=True)
    for index in range(batch_size):
        scheduler.add(Sequence(str(index), tuple(range(32, 32 + PROMPT)), params, 0.0))
    _step(scheduler, executor)
    began = time.perf_counter()
    while scheduler.has_work:
        _step(scheduler, executor)
    return batch_size * (DECODED - 1) / (time.perf_counter() - began)


def _step(scheduler: Scheduler, executor: CpuExecutor) -> None:
    batch = scheduler.schedule()
    scheduler.complete(batch, executor.execute(work_of(batch)).tokens)
