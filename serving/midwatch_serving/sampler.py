"""The next token from a row of logits: penalties, bias, grammar, and then greedy or a draw (vLLM's semantics).

Log-probabilities are those of the row as the model gave it, before anything is done to it (vLLM's `raw_logprobs`).
A draw depends on the request's seed and the output position alone, so it is the same whatever else is in the batch, and
the same again after a preemption.

No step sorts the vocabulary with its indices: a filter only needs the weight below which tokens are left out, and that
comes from a partition, or from a sort of the few tokens that hold the mass.
"""

import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from midwatch_serving.sampling import Sample, SamplingParams, TokenLogprobs
from midwatch_serving.work import Work

Row = NDArray[np.float32]
"""(vocab,): one logit a token; -inf where a token is never generated."""

GREEDY_BELOW = 1e-5
"""Temperatures under this are 0 (vLLM's bound): dividing by them overflows."""
TINY = np.float32(np.finfo(np.float32).tiny)
"""A weight that is not 0: under it a token cannot be drawn, above it the arithmetic is normal."""
LEAST = np.float32(np.finfo(np.float32).min)
TAILS = (1e-3, 1e-6)
"""Weights, relative to the likeliest token's, under which tokens are left out before a sort, if the mass allows it."""


class Sampler:
    """Chooses tokens for one model; `eos` are the tokens that end its answers."""

    def __init__(self, eos: frozenset[int] = frozenset()) -> None:
        self._eos = eos

    def choose(self, row: Row, work: Work) -> Sample:
        """Return the token at `work.output_index`, and tell the work's grammar of it. The row is changed."""
        params = work.params
        raw = None if params.logprobs is None else log_softmax(row)
        if work.history is not None:
            penalize(row, params, *work.history)
        for token, bias in params.logit_bias:
            row[token] += bias
        index = work.output_index or 0
        if index < params.min_tokens:
            never = [*(() if params.ignore_eos else self._eos), *params.stop_token_ids]
            row[never] = -np.inf
        if work.constraint is not None:
            work.constraint.mask(row)
        token = sample(row, params, index)
        if work.constraint is not None:
            work.constraint.accept(token)
        return Sample(token, None if raw is None else token_logprobs(raw, token, params.logprobs or 0))

    def score(self, rows: Iterable[Row], work: Work) -> tuple[TokenLogprobs, ...]:
        """Return the log-probabilities of the tokens that scoring work asks for; `rows` are theirs, (vocab,) each."""
        count = work.params.logprobs or 0
        _, tokens = work.scored
        return tuple(token_logprobs(log_softmax(row), token, count) for row, token in zip(rows, tokens, strict=True))


def penalize(row: Row, params: SamplingParams, prompt: tuple[int, ...], output: tuple[int, ...]) -> None:
    """Apply the penalties in place: repetition over prompt and output (Keskar et al. 2019), the others over output."""
    if params.repetition_penalty != 1:
        seen = np.unique(np.array(prompt + output, dtype=np.intp))
        values = row[seen]
        penalty = np.float32(params.repetition_penalty)
        row[seen] = np.where(values > 0, values / penalty, values * penalty)
    if output and (params.frequency_penalty or params.presence_penalty):
        tokens, counts = np.unique(np.array(output, dtype=np.intp), return_counts=True)
        row[tokens] -= (params.frequency_penalty * counts + params.presence_penalty).astype(np.float32)


def sample(logits: Row, params: SamplingParams, index: int) -> int:
    """Choose the token at output position `index` from `logits` (vocabulary,), by temperature and filters alone.

    Order: temperature, top_k, top_p of what is left, min_p. Tokens as likely as the last one taken are taken too.
    """
    best = int(logits.argmax())
    if params.temperature < GREEDY_BELOW or not math.isfinite(logits[best]):  # no finite one: a broken model
        return best
    weights = logits - logits[best]
    weights *= np.float32(1 / params.temperature)
    np.exp(weights, out=weights)
    floor = TINY
    if 0 < params.top_k < len(weights):
        floor = max(floor, np.partition(weights, len(weights) - params.top_k)[-params.top_k])
    if params.top_p < 1:
        floor = _nucleus(weights, floor, params.top_p)
    kept = np.flatnonzero(weights >= max(floor, np.float32(params.min_p)))
    total = np.cumsum(weights[kept], dtype=np.float64)
    point = np.random.default_rng((params.seed, index)).random() * float(total[-1])
    return int(kept[min(int(np.searchsorted(total, point, side="right")), len(kept) - 1)])


def _nucleus(weights: Row, floor: np.float32, top_p: float) -> np.float32:
    """Return the weight of the last token of the smallest set that holds `top_p` of the mass from `floor` on.

    The idea is nucleus sampling (Holtzman et al. 2020).
    """
    whole = weights[weights >= floor]
    wanted = top_p * float(whole.sum(dtype=np.float64))
    for tail in TAILS:
        few = whole[whole >= tail]
        if float(few.sum(dtype=np.float64)) >= wanted:
            break
    else:
        few = whole
    descending = np.sort(few)[::-1]
    mass = np.cumsum(descending, dtype=np.float64)
    return descending[min(int(np.searchsorted(mass, wanted)), len(descending) - 1)]


def log_softmax(row: Row) -> Row:
    """Return natural log-probabilities (vocab,) of a row."""
    shifted = row - row.max()
    shifted -= np.float32(np.log(np.exp(shifted).sum(dtype=np.float64)))
    return shifted


def token_logprobs(logprobs: Row, token: int, count: int) -> TokenLogprobs:
    """Return the chosen token's log-probability and the `count` likeliest tokens, best first."""
    if count == 0:
        return TokenLogprobs(float(logprobs[token]))
    least = np.partition(logprobs, len(logprobs) - count)[-count]
    ids = np.flatnonzero(logprobs >= max(least, LEAST))
    ids = ids[np.argsort(-logprobs[ids], kind="stable")][:count]
    return TokenLogprobs(float(logprobs[token]), tuple((int(i), float(logprobs[i])) for i in ids))
