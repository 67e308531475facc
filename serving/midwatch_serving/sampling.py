"""What a request asks of the sampler, and what the sampler gives back. `sampler.py` does the choosing."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class SamplingParams:
    """What one request asks of the sampler, and when it ends. Names and meanings as vLLM's."""

    max_tokens: int
    temperature: float = 0.0
    """0 is greedy."""
    top_p: float = 1.0
    top_k: int = 0
    """0 takes all."""
    min_p: float = 0.0
    seed: int = 0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    repetition_penalty: float = 1.0
    logit_bias: tuple[tuple[int, float], ...] = ()
    logprobs: int | None = None
    """Log-probabilities of the chosen token and of this many most likely ones; None for none."""
    stop: tuple[str, ...] = ()
    stop_token_ids: tuple[int, ...] = ()
    ignore_eos: bool = False
    min_tokens: int = 0
    """Neither end-of-sequence nor a stop string ends the answer before this many tokens."""

    @property
    def needs_history(self) -> bool:
        """Whether the sampler must know the tokens so far."""
        return (self.presence_penalty, self.frequency_penalty, self.repetition_penalty) != (0.0, 0.0, 1.0)


@dataclass(frozen=True)
class TokenLogprobs:
    """Natural log-probability of a chosen token, and the most likely ones as (token, log-probability), best first."""

    logprob: float
    top: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True)
class Sample:
    """A chosen token."""

    token: int
    logprobs: TokenLogprobs | None = None


class Constraint(Protocol):
    """What the next token may be, by a grammar. One sequence's, and the step thread's; read between steps."""

    @property
    def ended(self) -> bool:
        """Whether the answer is complete, so that nothing may follow."""
        ...

    @property
    def error(self) -> str | None:
        """Why the grammar could not be followed to its end; None while all is well. An error ends it too."""
        ...

    def mask(self, logits: NDArray[np.float32]) -> None:
        """Set the logits of tokens that may not come next to -inf, in place."""
        ...

    def accept(self, token: int) -> None:
        """Take note of the token that was chosen."""
        ...
