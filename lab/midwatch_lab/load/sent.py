"""What a load sent, in bounded memory: counts, moments, and quantiles of a fair sample."""

import math
import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from midwatch_lab.load.traffic import Arrival, Call, Session

SAMPLE = 2048
SHARES = (0.5, 0.9, 0.99)


class Summary:
    """Mean, spread and extremes of numbers that go by (Welford), and their quantiles from a sample (algorithm R).

    Args:
        seed: of the sample's choice, so that a report of the same traffic is the same.
    """

    def __init__(self, seed: int = 1) -> None:
        self.count = 0
        self.mean = 0.0
        self.least = math.inf
        self.most = -math.inf
        self._squares = 0.0
        self._sample: list[float] = []
        self._random = random.Random(seed).random  # noqa: S311 (a sample, not a secret)

    def add(self, value: float) -> None:
        """Take a number."""
        self.count += 1
        off = value - self.mean
        self.mean += off / self.count
        self._squares += off * (value - self.mean)
        self.least = min(self.least, value)
        self.most = max(self.most, value)
        if self.count <= SAMPLE:
            self._sample.append(value)
        elif (place := int(self._random() * self.count)) < SAMPLE:
            self._sample[place] = value

    @property
    def cv(self) -> float:
        """The coefficient of variation: standard deviation over mean."""
        return math.sqrt(self._squares / self.count) / self.mean if self.count and self.mean else 0.0

    def describe(self) -> dict[str, Any] | None:
        """Return `{mean, cv, min, p50, p90, p99, max}`, or None while there is nothing."""
        if not self.count:
            return None
        quantiles = np.quantile(self._sample, SHARES, method="inverted_cdf").tolist()
        figures = {"mean": self.mean, "cv": self.cv, "min": self.least, "max": self.most}
        return figures | {f"p{share * 100:g}": value for share, value in zip(SHARES, quantiles, strict=True)}


@dataclass
class Sent:
    """What a load sent. Lengths are those that were asked for, in tokens; a chat template adds its own."""

    gaps_s: Summary = field(default_factory=Summary)
    """Between arrivals, as they were due."""
    prompt_tokens: Summary = field(default_factory=Summary)
    output_tokens: Summary = field(default_factory=Summary)
    late_s: Summary = field(default_factory=Summary)
    """How much later than due an arrival left."""
    clients: Counter[str] = field(default_factory=Counter[str])
    sessions: int = 0
    turns: int = 0
    dropped: int = 0
    """Arrivals that were not sent, since `max_in_flight` were open."""
    cut: int = 0
    """Requests cut to `context`, and conversations that ended at it."""
    broken: int = 0
    """Conversations that ended at a failed call."""
    _last: float | None = None

    def arrival(self, arrival: Arrival) -> None:
        """Note that something was due."""
        if self._last is not None:
            self.gaps_s.add(arrival.at_s - self._last)
        self._last = arrival.at_s
        self.clients[arrival.work.client] += 1

    def call(self, prompt_tokens: int, output_tokens: int) -> None:
        """Note a request that leaves."""
        self.prompt_tokens.add(prompt_tokens)
        self.output_tokens.add(output_tokens)

    def begin(self, work: Call | Session, *, late_s: float) -> None:
        """Note that an arrival was sent."""
        self.late_s.add(late_s)
        self.sessions += isinstance(work, Session)

    def describe(self) -> dict[str, Any]:
        """Return the figures under their names on the wire."""
        total = self.clients.total()
        shares = {name: count / total for name, count in self.clients.most_common() if name}
        late = self.late_s.describe()
        return {
            "gap_s": self.gaps_s.describe(),
            "prompt_tokens": self.prompt_tokens.describe(),
            "output_tokens": self.output_tokens.describe(),
            "clients": shares,
            "sessions": self.sessions,
            "turns": self.turns,
            "dropped": self.dropped,
            "cut": self.cut,
            "broken": self.broken,
            "late_s": None if late is None else {"mean": late["mean"], "p99": late["p99"], "max": late["max"]},
        }
