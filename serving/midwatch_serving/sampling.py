"""How the next token is chosen from logits: greedy, or by temperature and top-p with a seed a request."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class SamplingParams:
    """What one request asks of the sampler, and when it ends."""

    max_tokens: int
    temperature: float = 0.0
    """0 is greedy."""
    top_p: float = 1.0
    seed: int = 0
    stop: tuple[str, ...] = ()
    ignore_eos: bool = False
    min_tokens: int = 0
    """Neither end-of-sequence nor a stop string ends the answer before this many tokens."""


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
