"""An executor that computes nothing: tokens of a fixed text, and steps that last as long as a cost model says.

The model that it stands for holds every token for equally likely; its log-probabilities and scores follow from that.
What it says depends on the request's seed and the position alone, never on the batch. An answer ends by `max_tokens`,
a stop string or its grammar.
"""

import math

import numpy as np

from midwatch_serving.cost_model import CostModel
from midwatch_serving.sampling import Sample, TokenLogprobs
from midwatch_serving.step_shape import shape_of_work
from midwatch_serving.tokenizer import Tokenizer
from midwatch_serving.work import StepResult, Work

TEXT = (
    "The watch is quiet and every replica answers. This text was not thought of by a model: it is said by a simulated "
    "engine, word after word, so that queues, batches and caches behave as they would, while no weight is read. "
)


class SimulatedExecutor:
    """`work.Executor` by prediction. `StepResult.lasts_s` tells the engine how long the step is to last.

    It takes microseconds, and under a virtual clock no time may pass beside it: give the engine `inline=True`.
    """

    def __init__(self, cost: CostModel, tokenizer: Tokenizer) -> None:
        self._cost = cost
        self._text = tokenizer.encode(TEXT)
        self._vocab = tokenizer.vocab_size
        self._eos = sorted(tokenizer.eos)
        self._logprob = -math.log(tokenizer.vocab_size)

    def execute(self, work: list[Work]) -> StepResult:
        """Return the tokens that are due at once, and the seconds that the step would take."""
        seconds = self._cost.step_s(shape_of_work(work))
        samples = [None if w.output_index is None else self._sample(w, w.output_index) for w in work]
        scores = {i: self._scores(w) for i, w in enumerate(work) if w.score_from is not None}
        return StepResult(samples, seconds, scores, lasts_s=seconds)

    def _sample(self, w: Work, position: int) -> Sample:
        start = w.params.seed if w.params.temperature > 0 else 0
        token = self._text[(start + position) % len(self._text)]
        if w.constraint is not None:
            allowed = np.zeros(self._vocab, dtype=np.float32)
            w.constraint.mask(allowed)
            wanted = [t for t in (*self._eos, token) if allowed[t] == 0]
            token = wanted[0] if wanted else int(allowed.argmax())
            w.constraint.accept(token)
        if w.params.logprobs is None:
            return Sample(token)
        top = tuple((t, self._logprob) for t in range(min(w.params.logprobs, self._vocab)))
        return Sample(token, TokenLogprobs(self._logprob, top))

    def _scores(self, w: Work) -> tuple[float, ...]:
        first = max(w.score_from or 0, w.start + 1)
        end = w.start + len(w.tokens) + (w.next_token is not None)
        return (self._logprob,) * max(end - first, 0)
