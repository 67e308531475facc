"""The samples that both sides of the metrics benchmark are given: pods that serve requests, some of which restart.

Each pod shows a counter of requests by code and path, a gauge of those running, and one classic histogram of latencies
with the client libraries' default bounds: 25 series. Pods are scraped every 15 s, each at its own moment of the
interval, as Prometheus spreads them.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

from midwatch_lab.metrics.labels import NAME, Labels, from_dict

Floats = npt.NDArray[np.float64]

START_MS: Final = 1_700_000_000_000
STEP_MS: Final = 15_000
_PODS_A_JOB: Final = 20
_CODES: Final = ("200", "400", "429", "500", "503")
_PATHS: Final = ("/v1/chat/completions", "/v1/completions")
_BOUNDS: Final = ("0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1.0", "2.5", "5.0", "10.0", "+Inf")
_RESTARTS: Final = 0.1
"""Share of pods that restart once."""


@dataclass(frozen=True)
class Scraped:
    """A stretch of one pod's scrapes: times (ms) are of length N, values S by N."""

    labels: list[Labels]
    times: npt.NDArray[np.int64]
    values: Floats


@dataclass
class Fleet:
    """`pods` pods over `scrapes` scrapes, drawn from a fixed seed."""

    pods: int
    scrapes: int
    _labels: list[list[Labels]] = field(init=False)
    _values: list[Floats] = field(init=False)
    _first_ms: "npt.NDArray[np.int64]" = field(init=False)

    def __post_init__(self) -> None:
        draw = np.random.default_rng(20_260_101)
        self._first_ms = START_MS + draw.integers(0, STEP_MS, self.pods)
        self._labels = [_labels_of(number) for number in range(self.pods)]
        self._values = [self._pod(draw) for _ in range(self.pods)]

    @property
    def series(self) -> int:
        """How many series there are."""
        return sum(map(len, self._labels))

    @property
    def samples(self) -> int:
        """How many samples there are."""
        return self.series * self.scrapes

    @property
    def end_s(self) -> float:
        """When the last pod was scraped last, rounded up to a scrape, in Unix seconds."""
        return (START_MS + self.scrapes * STEP_MS) / 1000

    def stretches(self, scrapes: int) -> Iterator[list[Scraped]]:
        """Return all pods' samples in stretches of so many scrapes, in the order of time."""
        for begin in range(0, self.scrapes, scrapes):
            part = slice(begin, min(begin + scrapes, self.scrapes))
            at = np.arange(part.start, part.stop, dtype=np.int64) * STEP_MS
            yield [
                Scraped(labels, first + at, values[:, part])
                for labels, values, first in zip(self._labels, self._values, self._first_ms, strict=True)
            ]

    def _pod(self, draw: np.random.Generator) -> Floats:
        """Return the values of one pod's series, S by `scrapes`: every one counts up, to a restart and after it."""
        size = self.scrapes
        requests = draw.poisson(draw.lognormal(2.0, 1.0, (len(_CODES) * len(_PATHS), 1)), (_counters(), size))
        seconds = 0.3 * draw.lognormal(0.0, 0.5)
        upper = np.array([float(bound) for bound in _BOUNDS])
        below = 1 - np.exp(-upper / seconds)
        served = draw.multinomial(draw.poisson(draw.lognormal(3.0, 0.5), size), np.diff(below, prepend=0.0)).T
        total = served.sum(axis=0, keepdims=True)
        grown = np.concatenate([requests, served.cumsum(axis=0), total, total * seconds]).astype(np.float64)
        values = grown.cumsum(axis=1)
        if draw.random() < _RESTARTS:
            at = int(draw.integers(1, size))
            values[:, at:] -= values[:, at - 1 : at]
        return np.concatenate([values, draw.poisson(5.0, (1, size)).astype(np.float64)])


def _counters() -> int:
    return len(_CODES) * len(_PATHS)


def _labels_of(number: int) -> list[Labels]:
    job, pod = f"model-{number // _PODS_A_JOB:02}", f"model-{number // _PODS_A_JOB:02}-{number:04}"
    target = {"job": job, "namespace": "llm", "pod": pod, "instance": f"10.0.{number // 250}.{number % 250}:8000"}

    def named(name: str, **labels: str) -> Labels:
        return from_dict({NAME: name, **target, **labels})

    counters = [named("requests_total", code=code, path=path) for code in _CODES for path in _PATHS]
    buckets = [named("latency_seconds_bucket", le=bound) for bound in _BOUNDS]
    rest = [named(name) for name in ("latency_seconds_count", "latency_seconds_sum", "requests_running")]
    return [*counters, *buckets, *rest]
