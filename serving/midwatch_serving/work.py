"""What a step is made of: the scheduler's batch as plain `Work`, and what comes back.

An executor knows nothing of queues. `CpuExecutor` runs the model; a simulated one answers from a cost model.
"""

from dataclasses import dataclass, field
from typing import Protocol

from midwatch_serving.sampling import Constraint, Sample, SamplingParams, TokenLogprobs
from midwatch_serving.scheduler import Batch, Chunk


@dataclass(frozen=True)
class Work:
    """Tokens of one sequence to compute: from position `start` on, with the blocks that hold the sequence."""

    tokens: list[int]
    start: int
    block_table: list[int]
    params: SamplingParams
    output_index: int | None
    """The output position whose token is to be chosen; None while the prompt is not through."""
    history: tuple[tuple[int, ...], tuple[int, ...]] | None = None
    """Prompt and output so far, when the sampler needs them for penalties."""
    constraint: Constraint | None = None
    score_from: int | None = None
    """For scoring: log-probabilities are due of the tokens at absolute positions from here on."""
    next_token: int | None = None
    """For scoring: the prompt's token after this work's last one, None at the prompt's end."""

    @property
    def scored(self) -> tuple[int, list[int]]:
        """For scoring: offset of the first row that scores a token, and the tokens that rows from there score."""
        if self.score_from is None:
            return 0, []
        first = max(0, self.score_from - 1 - self.start)
        following = self.tokens[1:] if self.next_token is None else [*self.tokens[1:], self.next_token]
        return first, following[first:]


@dataclass(frozen=True)
class StepResult:
    """Samples in the order of the work (None where none was due), and the seconds of CPU that the step took."""

    samples: list[Sample | None]
    cpu_s: float
    scores: dict[int, tuple[float, ...]] = field(default_factory=dict[int, tuple[float, ...]])
    """By index of the work: natural log-probability of each token that was to be scored.

    The row at position p scores the token at p + 1, so that work over positions a to b yields those from
    max(score_from, a + 1) to b + 1, where there is such a token.
    """

    score_logprobs: dict[int, tuple[TokenLogprobs, ...]] = field(default_factory=dict[int, tuple[TokenLogprobs, ...]])
    """As `scores`, with the likeliest tokens, for scoring work whose `params.logprobs` asks for them."""
    lasts_s: float | None = None
    """Seconds that a simulated step lasts on the engine's clock; None for a real one, which ends when it ends."""

    @property
    def tokens(self) -> list[int]:
        """The tokens alone, -1 where none was due."""
        return [-1 if sample is None else sample.token for sample in self.samples]


class Executor(Protocol):
    """What runs a step."""

    def execute(self, work: list[Work]) -> StepResult:
        """Compute one step; called from one thread at a time."""
        ...


def work_of(batch: Batch) -> list[Work]:
    """Copy what a step needs out of the sequences, so that it can run beside changes to them."""
    return [
        Work(
            tokens=c.sequence.tokens(c.start, c.count),
            start=c.start,
            block_table=list(c.sequence.block_table),
            params=c.sequence.params,
            output_index=len(c.sequence.output) if c.samples else None,
            history=(c.sequence.prompt, tuple(c.sequence.output)) if c.sequence.params.needs_history else None,
            constraint=c.sequence.constraint,
            score_from=c.sequence.score_from,
            next_token=_after(c),
        )
        for c in batch.chunks
    ]


def _after(chunk: Chunk) -> int | None:
    sequence, end = chunk.sequence, chunk.start + chunk.count
    return sequence.prompt[end] if sequence.score_from is not None and end < len(sequence.prompt) else None
