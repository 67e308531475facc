"""How the next token is chosen from logits: greedy, or by temperature and top-p with a seed a request."""

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


def sample(logits: NDArray[np.float32], params: SamplingParams, index: int) -> int:
    """Choose the token at output position `index` from `logits` (vocabulary,).

    The random number depends on the request's seed and `index` alone, so a choice is the same whatever else is in the
    batch, and the same again after a preemption.
    """
    if params.temperature == 0:
        return int(logits.argmax())
    scaled = logits.astype(np.float64) / params.temperature
    weights = np.exp(scaled - scaled.max())
    order = np.argsort(-weights, kind="stable")
    total: NDArray[np.float64] = np.cumsum(weights[order])
    within = int(
        np.searchsorted(total, params.top_p * float(total[-1]))
    )  # the smallest set that holds top_p of the mass
    point = np.random.default_rng((params.seed, index)).random() * float(total[min(within, len(total) - 1)])
    return int(order[int(np.searchsorted(total, point, side="right"))])
