"""When requests come: arrival processes as endless blocks of times, drawn many at a time.

Every stream of draws has its own generator, named by seed and purpose, so that lengths do not move when arrivals
change, nor one client's draws when another's parameters do.
"""

import zlib
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.random import Generator, SeedSequence
from numpy.typing import NDArray

BLOCK = 1024
Times = NDArray[np.float64]


def stream(seed: int, *names: str) -> Generator:
    """Return the generator of a purpose: the same for the same seed and names, independent of all others."""
    key = tuple(zlib.crc32(name.encode()) for name in names)
    return np.random.default_rng(SeedSequence(seed, spawn_key=key))


def even(rate: float) -> Iterator[Times]:
    """Yield the times of evenly spaced arrivals; the first comes after one gap."""
    number = 0
    while True:
        yield np.arange(number + 1, number + BLOCK + 1, dtype=np.float64) / np.float64(rate)
        number += BLOCK


def gamma(rate: float, cv: float, rng: Generator) -> Iterator[Times]:
    """Yield the times of a renewal process with gamma gaps; `cv` is their coefficient of variation, 1 is Poisson."""
    last, shape = 0.0, cv**-2
    while True:
        gaps = rng.exponential(1 / rate, BLOCK) if cv == 1 else rng.gamma(shape, 1 / (shape * rate), BLOCK)
        times = last + np.cumsum(gaps)
        last = float(times[-1])
        yield times


def bursts(rate: float, size: int) -> Iterator[Times]:
    """Yield times at which `size` requests come at once; bursts come evenly, the first at 0, `rate` on the average."""
    number = 0
    while True:
        yield np.repeat(np.arange(number, number + max(1, BLOCK // size), dtype=np.float64) * (size / rate), size)
        number += max(1, BLOCK // size)


def daily(rate: float, curve: Sequence[float], day_s: float, start: float, rng: Generator) -> Iterator[Times]:
    """Yield the times of a Poisson process whose rate follows `curve` over a day of `day_s` seconds.

    The curve's values hold for equal parts of the day, relative to each other; `rate` is the mean over a day, and
    `start` the share of the day at which the load begins. By inversion: a Poisson process of rate 1, bent by the
    inverse of the expected number of arrivals until a time.
    """
    weights = np.asarray(curve, dtype=np.float64)
    edges = np.linspace(0.0, day_s, len(weights) + 1)
    expected = np.concatenate([[0.0], np.cumsum(weights / weights.sum())]) * (rate * day_s)
    begin = start * day_s
    last = float(np.interp(begin, edges, expected))
    while True:
        counts = last + np.cumsum(rng.exponential(1.0, BLOCK))
        last = float(counts[-1])
        days, rest = np.divmod(counts, expected[-1])
        yield days * day_s + np.interp(rest, expected, edges) - begin
