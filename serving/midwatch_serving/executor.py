"""The model itself on the CPU, as an executor: a runner computes, the sampler chooses."""

import itertools
import time
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from midwatch_serving.linear import Floats
from midwatch_serving.model import Model
from midwatch_serving.reference import ReferenceRunner
from midwatch_serving.runner import LOGIT_ROWS, Runner
from midwatch_serving.sampler import Sampler
from midwatch_serving.sampling import Sample, SamplingParams, TokenLogprobs
from midwatch_serving.work import StepResult, Work


class CpuExecutor:
    """Runs steps with a runner. The same tokens come out whatever the batch."""

    def __init__(
        self, model: Model, *, num_blocks: int, block_size: int, max_model_len: int, runner: Runner | None = None
    ) -> None:
        """Without a `runner` the numpy reference computes."""
        self.runner = runner or ReferenceRunner(
            model, num_blocks=num_blocks, block_size=block_size, max_model_len=max_model_len
        )
        self._sampler = Sampler(model.tokenizer.eos)

    def warm_up(self) -> None:
        """Compute a token for nobody, so that no request pays for first touches; leaves only unused slots written."""
        nobody = SamplingParams(max_tokens=1)
        self.logits([Work([0], 0, [0], nobody, 0), Work([0, 0], 0, [0, 0], nobody, None)])

    def execute(self, work: list[Work]) -> StepResult:
        """Compute one step and choose the tokens that are due."""
        before = time.thread_time()
        rows = self._rows(self.runner.forward(work))
        samples: list[Sample | None] = [None] * len(work)
        scored: dict[int, tuple[TokenLogprobs, ...]] = {}
        for index, w in enumerate(work):
            if w.output_index is not None:
                samples[index] = self._sampler.choose(next(rows), w)
            elif count := len(w.scored[1]):
                scored[index] = self._sampler.score(itertools.islice(rows, count), w)
        return StepResult(
            samples,
            time.thread_time() - before,
            {index: tuple(found.logprob for found in logprobs) for index, logprobs in scored.items()},
            {index: logprobs for index, logprobs in scored.items() if work[index].params.logprobs is not None},
        )

    def logits(self, work: list[Work]) -> Floats:
        """Compute a step and return a copy of all its logits, (due, vocab)."""
        count = self.runner.forward(work)
        return np.concatenate([self.runner.logits(first, size).copy() for first, size in _pieces(count)])

    def _rows(self, count: int) -> Iterator[NDArray[np.float32]]:
        for first, size in _pieces(count):
            yield from self.runner.logits(first, size)


def _pieces(count: int) -> list[tuple[int, int]]:
    return [(first, min(LOGIT_ROWS, count - first)) for first in range(0, max(count, 1), LOGIT_ROWS)]
