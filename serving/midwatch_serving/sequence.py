"""One request as the scheduler sees it: its tokens, its blocks, and the times that its metrics are made of."""

from dataclasses import dataclass, field
from enum import Enum
from typing import Literal

from midwatch_serving.sampling import Constraint, SamplingParams, TokenLogprobs

FinishReason = Literal["stop", "length", "abort", "error"]


class State(Enum):
    """Where a sequence is."""

    WAITING = "waiting"
    RUNNING = "running"
    FINISHED = "finished"


@dataclass(eq=False, slots=True)
class Sequence:
    """A prompt and what was generated for it. Times are Unix seconds on the scheduler's clock."""

    id: str
    prompt: tuple[int, ...]
    params: SamplingParams
    arrived: float
    priority: int = 0
    """Lower goes first, under the `priority` policy (vLLM's request field)."""
    session_id: str | None = None
    cache_salt: str | None = None
    """Only prompts of the same salt share cached blocks."""
    constraint: Constraint | None = None
    score_from: int | None = None
    """For a request that scores its prompt instead of generating: log-probabilities of tokens from here on."""
    scores: list[float] = field(default_factory=list[float])
    """Natural log-probability of each prompt token from `score_from` on, as far as computed."""
    logprobs: list[TokenLogprobs] = field(default_factory=list[TokenLogprobs])
    """One a generated token, when they were asked for."""
    num_cached: int = 0
    """Prompt tokens whose keys and values were found in the prefix cache at the first admission."""
    order: int = 0
    """Rank of arrival, given by the scheduler."""
    rank: tuple[int, int] = (0, 0)
    """Place in the order of service, given by the scheduling policy: the lowest goes first."""
    output: list[int] = field(default_factory=list[int])
    block_table: list[int] = field(default_factory=list[int])
    block_hashes: list[bytes] = field(default_factory=list[bytes])
    """Chain hashes of the first full blocks, as many as were asked for; the prefix cache's."""
    num_computed: int = 0
    """Tokens whose keys and values are in the cache."""
    state: State = State.WAITING
    finish_reason: FinishReason | None = None
    preemptions: int = 0
    first_scheduled: float | None = None
    first_token: float | None = None
    last_token: float | None = None
    token_gap: float | None = None
    """Seconds between the last two tokens; None while there is one at most."""
    finished: float | None = None

    @property
    def num_tokens(self) -> int:
        """Prompt and output together."""
        return len(self.prompt) + len(self.output)

    @property
    def most_tokens(self) -> int:
        """Prompt and output at their longest; a scoring request generates nothing."""
        return len(self.prompt) + (self.params.max_tokens if self.score_from is None else 0)

    @property
    def most_cached(self) -> int:
        """Tokens that the cache must hold at the very end: the last one generated is never computed."""
        return self.most_tokens - (1 if self.score_from is None else 0)

    def end_tokens(self, eos: frozenset[int]) -> frozenset[int]:
        """Return the tokens that end the output, once there are more than `min_tokens`."""
        params = self.params
        own = eos if not params.ignore_eos else frozenset[int]()
        return own.union(params.stop_token_ids) if params.stop_token_ids else own

    def end(self, eos: frozenset[int]) -> FinishReason | None:
        """Say why the token generated last ends the output, None where it does not."""
        params, length = self.params, len(self.output)
        token = self.output[-1]
        if (
            ((token in eos and not params.ignore_eos) or token in params.stop_token_ids)
            and length > params.min_tokens
        ):  # fmt: skip
            return "stop"
        return "length" if length >= params.max_tokens else None

    def tokens(self, start: int, count: int) -> list[int]:
        """Return `count` token ids from position `start` of prompt and output; takes time by `count` alone."""
        begin = start - len(self.prompt)
        if begin >= 0:
            return self.output[begin : begin + count]
        if begin + count <= 0:
            return list(self.prompt[start : start + count])
        return [*self.prompt[start:], *self.output[: begin + count]]
