"""Loads to serve: when requests arrive, how long they are, and which of them begin alike. Seeded, so repeatable."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from midwatch_serving.errors import WorkloadError

MAX_REQUESTS = 1_000_000


@dataclass(frozen=True, slots=True)
class Request:
    """One request of a load. `arrival_s` counts from the start; a closed loop does not look at it."""

    arrival_s: float
    prompt_tokens: int
    output_tokens: int
    prefix: tuple[tuple[int, int], ...] = ()
    """Pieces (id, tokens) that the prompt begins with; requests share what their first ids share."""


@dataclass(frozen=True)
class Workload:
    """A load: requests by arrival, and how many run at once when clients wait for their answers (a closed loop)."""

    requests: tuple[Request, ...]
    concurrency: int | None = None
    about: str = ""

    @property
    def rate(self) -> float | None:
        """Requests a second that arrive on the average; None in a closed loop, or when all come at once."""
        span = self.requests[-1].arrival_s if self.requests else 0.0
        return None if self.concurrency is not None or span <= 0 else len(self.requests) / span


class Arrivals(Protocol):
    """When requests arrive."""

    def times(self, count: int, rng: Generator) -> NDArray[np.float64]:
        """Return `count` times in seconds since the start, rising."""
        ...


@dataclass(frozen=True)
class Gamma:
    """Independent gaps of a gamma distribution: `cv` 1 is Poisson, above it bursts, 0 is a constant gap.

    A coefficient of variation above 1 is what real traces show (ServeGen, Xiang et al. 2025; BurstGPT, Wang et al.
    2024).
    """

    rate: float
    cv: float = 1.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.rate) and self.rate > 0):
            raise WorkloadError(f"a rate of {self.rate} requests/s: give a number above 0")
        if not (math.isfinite(self.cv) and 0 <= self.cv <= 20):  # noqa: PLR2004 (beyond it one gap outlasts any run)
            raise WorkloadError(f"a coefficient of variation of {self.cv}: give one from 0 to 20")

    def times(self, count: int, rng: Generator) -> NDArray[np.float64]:
        """Return `count` times."""
        if self.cv == 0:
            return np.arange(count) / self.rate
        shape = self.cv**-2
        return np.cumsum(rng.gamma(shape, 1 / (shape * self.rate), count))


class Lengths(Protocol):
    """How long prompts and answers are."""

    def draw(self, count: int, rng: Generator) -> NDArray[np.int64]:
        """Return (count, 2): prompt and output tokens, each at least 1."""
        ...


@dataclass(frozen=True)
class Fixed:
    """All alike."""

    prompt: int
    output: int

    def __post_init__(self) -> None:
        if self.prompt < 1 or self.output < 1:
            raise WorkloadError(f"{self.prompt} prompt and {self.output} output tokens: give 1 or more of each")

    def draw(self, count: int, rng: Generator) -> NDArray[np.int64]:
        """Return the same for all."""
        del rng
        return np.tile(np.array([[self.prompt, self.output]], dtype=np.int64), (count, 1))


@dataclass(frozen=True)
class LogNormal:
    """Log-normal lengths, drawn again while they lie outside the bounds."""

    prompt_median: float
    prompt_sigma: float
    output_median: float
    output_sigma: float
    least: int = 4
    most: int = 1024

    def draw(self, count: int, rng: Generator) -> NDArray[np.int64]:
        """Return prompt and output lengths, independent of each other."""
        columns = [
            self._column(self.prompt_median, self.prompt_sigma, count, rng),
            self._column(self.output_median, self.output_sigma, count, rng),
        ]
        return np.stack(columns, axis=1)

    def _column(self, median: float, sigma: float, count: int, rng: Generator) -> NDArray[np.int64]:
        kept = np.empty(0)
        while len(kept) < count:
            drawn = rng.lognormal(math.log(median), sigma, 2 * count)
            kept = np.concatenate([kept, drawn[(drawn >= self.least) & (drawn <= self.most)]])
        return np.maximum(np.rint(kept[:count]), 1).astype(np.int64)


SHAREGPT = LogNormal(prompt_median=168.6, prompt_sigma=1.3, output_median=144.5, output_sigma=1.0)
"""Like the first turns of ShareGPT as `vllm bench serve` draws them (4 to 1,024 tokens each).

The means, 229.7 and 203.1 tokens, are those of 1,000 requests of Aeala/ShareGPT_Vicuna_unfiltered with Llama 3.1's
tokenizer (vllm-project/vllm pull request 18566). The widths are ours: we found no published percentiles to fit.
"""


@dataclass(frozen=True)
class Empirical:
    """Lengths drawn from pairs seen in a trace."""

    pairs: tuple[tuple[int, int], ...]

    def draw(self, count: int, rng: Generator) -> NDArray[np.int64]:
        """Return pairs, prompt and output of one request together."""
        return np.array(self.pairs, dtype=np.int64)[rng.integers(0, len(self.pairs), count)]


def synthesise(
    lengths: Lengths, count: int, *, seed: int, arrivals: Arrivals | None = None, concurrency: int | None = None
) -> Workload:
    """Return `count` requests, arriving as `arrivals` say or in a closed loop of `concurrency`.

    Raises:
        WorkloadError: when neither or both are given, or the numbers make no sense.
    """
    if not 1 <= count <= MAX_REQUESTS:
        raise WorkloadError(f"{count} requests: give 1 to {MAX_REQUESTS}")
    if (arrivals is None) == (concurrency is None):
        raise WorkloadError("a load has a rate or a concurrency: give one of them")
    if concurrency is not None and concurrency < 1:
        raise WorkloadError(f"a concurrency of {concurrency}: give 1 or more")
    rng = np.random.default_rng(seed)
    drawn = lengths.draw(count, rng).tolist()
    times = [0.0] * count if arrivals is None else arrivals.times(count, rng).tolist()
    requests = tuple(Request(float(at), int(p), int(o)) for at, (p, o) in zip(times, drawn, strict=True))
    return Workload(requests, concurrency)


def fitted(workload: Workload, max_model_len: int) -> Workload:
    """Shrink lengths so that 99 of 100 requests fit the model as they are; the rest are cut to fit.

    Prompt and answer shrink by the same factor, so that their proportion stays; nothing is ever lengthened.
    """
    totals = [r.prompt_tokens + r.output_tokens for r in workload.requests]
    if not totals or max(totals) <= max_model_len:
        return workload
    factor = min(1.0, max_model_len / float(np.percentile(totals, 99)))
    requests = tuple(_shrunk(r, factor, max_model_len) for r in workload.requests)
    return replace(workload, requests=requests)


def _shrunk(request: Request, factor: float, most: int) -> Request:
    prompt = max(1, min(round(factor * request.prompt_tokens), most - 1))
    output = max(1, min(round(factor * request.output_tokens), most - prompt))
    pieces = ((name, round(factor * tokens)) for name, tokens in request.prefix)
    return Request(request.arrival_s, prompt, output, tuple((n, t) for n, t in pieces if t > 0))


def at_rate(workload: Workload, rate: float) -> Workload:
    """Stretch or squeeze the arrivals of a trace so that `rate` requests a second come; its bursts stay."""
    present = workload.rate
    if present is None:
        raise WorkloadError("the requests all arrive at once, so that they have no rate to change")
    factor = present / Gamma(rate).rate
    return replace(workload, requests=tuple(replace(r, arrival_s=factor * r.arrival_s) for r in workload.requests))


def prompts(workload: Workload, tokens: range, seed: int) -> list[tuple[int, ...]]:
    """Return a prompt of random `tokens` for each request; pieces of the same id begin with the same tokens."""
    pieces: dict[int, list[int]] = {}
    return [_prompt(request, index, tokens, seed, pieces) for index, request in enumerate(workload.requests)]


def _prompt(request: Request, index: int, tokens: range, seed: int, pieces: dict[int, list[int]]) -> tuple[int, ...]:
    prompt: list[int] = []
    for name, length in request.prefix:
        if len(pieces.get(name, ())) < length:
            pieces[name] = _random(tokens, length, (seed, 1, name))  # a longer draw begins as a shorter one does
        prompt += pieces[name][:length]
    missing = request.prompt_tokens - len(prompt)
    if missing > 0:
        prompt += _random(tokens, missing, (seed, 0, index))
    return tuple(prompt[: request.prompt_tokens])


def _random(tokens: range, count: int, seed: Sequence[int]) -> list[int]:
    return np.random.default_rng(seed).integers(tokens.start, tokens.stop, count).tolist()
