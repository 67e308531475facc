"""What a run of requests was like: TTFT, TPOT, ITL, end to end, throughput and goodput, measured or predicted alike.

The figures are those of `vllm bench serve`. TTFT counts from arrival to the first token, TPOT is a request's mean
time a token after the first, ITL is every gap between two tokens. Goodput (Zhong et al., DistServe, OSDI 2024) counts
the requests a second that kept every objective.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

PERCENTILES = (50, 95, 99)


@dataclass(frozen=True)
class Objectives:
    """Seconds that a request may take to count as good; None asks for nothing."""

    ttft_s: float | None = None
    tpot_s: float | None = None
    e2e_s: float | None = None

    @property
    def any(self) -> bool:
        """Whether there is one."""
        return (self.ttft_s, self.tpot_s, self.e2e_s) != (None, None, None)


@dataclass(frozen=True)
class Timing:
    """One request that ended well. Seconds; `arrived` since the start of the run."""

    arrived: float
    ttft: float
    e2e: float
    prompt_tokens: int
    output_tokens: int
    queue: float | None = None

    @property
    def tpot(self) -> float | None:
        """Mean seconds a token after the first; None when there was one only."""
        return (self.e2e - self.ttft) / (self.output_tokens - 1) if self.output_tokens > 1 else None

    def meets(self, objectives: Objectives) -> bool:
        """Say whether every objective was kept; one on TPOT binds answers of two tokens and more."""
        tpot = self.tpot
        return (
            (objectives.ttft_s is None or self.ttft <= objectives.ttft_s)
            and (objectives.tpot_s is None or tpot is None or tpot <= objectives.tpot_s)
            and (objectives.e2e_s is None or self.e2e <= objectives.e2e_s)
        )


@dataclass
class Gaps:
    """Every gap between two tokens, with how many tokens had it: one entry stands for a whole batch."""

    seconds: list[float] = field(default_factory=list[float])
    counts: list[int] = field(default_factory=list[int])

    def add(self, seconds: float, count: int = 1) -> None:
        """Book a gap that `count` tokens had."""
        self.seconds.append(seconds)
        self.counts.append(count)

    def extend(self, other: "Gaps") -> None:
        """Book all of another's."""
        self.seconds += other.seconds
        self.counts += other.counts


@dataclass(frozen=True)
class Spread:
    """Mean and percentiles, in seconds."""

    mean: float
    p50: float
    p95: float
    p99: float

    def milliseconds(self) -> dict[str, float]:
        """Return them in ms, to a microsecond."""
        return {name: round(1000 * value, 3) for name, value in vars(self).items()}


def spread(values: Iterable[float], counts: Sequence[int] | None = None) -> Spread | None:
    """Return the spread of values, each counted `counts` times; None when there are none.

    Unweighted percentiles are interpolated linearly; weighted ones are the smallest value that the share reaches.
    """
    array = np.asarray(list(values), dtype=np.float64)
    if array.size == 0:
        return None
    if counts is None:
        p50, p95, p99 = (float(value) for value in np.percentile(array, PERCENTILES))
        return Spread(float(array.mean()), p50, p95, p99)
    weights = np.asarray(counts, dtype=np.float64)
    order = np.argsort(array, kind="stable")
    reached: NDArray[np.float64] = np.cumsum(weights[order])
    at = [int(np.searchsorted(reached, share / 100 * float(reached[-1]))) for share in PERCENTILES]
    p50, p95, p99 = (float(array[order[i]]) for i in at)
    return Spread(float((array * weights).sum() / reached[-1]), p50, p95, p99)


@dataclass(frozen=True)
class Report:
    """The figures of one run."""

    completed: int
    failed: int
    duration_s: float
    prompt_tokens: int
    output_tokens: int
    ttft: Spread | None
    tpot: Spread | None
    itl: Spread | None
    e2e: Spread | None
    queue: Spread | None
    good: int | None
    """Requests that kept every objective; None when there was none to keep."""

    @property
    def request_throughput(self) -> float:
        """Requests completed a second."""
        return self.completed / self.duration_s if self.duration_s else 0.0

    @property
    def output_throughput(self) -> float:
        """Tokens generated a second, by the requests that were completed."""
        return self.output_tokens / self.duration_s if self.duration_s else 0.0

    @property
    def total_throughput(self) -> float:
        """Tokens a second, prompts too."""
        return (self.prompt_tokens + self.output_tokens) / self.duration_s if self.duration_s else 0.0

    @property
    def goodput(self) -> float | None:
        """Requests a second that kept every objective."""
        return None if self.good is None else self.good / self.duration_s if self.duration_s else 0.0

    def figure(self, name: str) -> float | None:
        """Return a figure in seconds by a name such as `ttft_p95`."""
        which, _, part = name.partition("_")
        found: Spread | None = getattr(self, which)
        return None if found is None else float(getattr(found, part))

    def body(self) -> dict[str, Any]:
        """Return the JSON body; times in milliseconds."""
        times = {
            f"{name}_ms": None if found is None else found.milliseconds()
            for name, found in (
                ("ttft", self.ttft),
                ("tpot", self.tpot),
                ("itl", self.itl),
                ("e2e", self.e2e),
                ("queue", self.queue),
            )
        }
        return {
            "completed": self.completed,
            "failed": self.failed,
            "duration_s": round(self.duration_s, 3),
            "prompt_tokens": self.prompt_tokens,
            "output_tokens": self.output_tokens,
            "request_throughput": round(self.request_throughput, 4),
            "output_throughput": round(self.output_throughput, 2),
            "total_throughput": round(self.total_throughput, 2),
            **times,
            "goodput": None if self.goodput is None else round(self.goodput, 4),
            "good_share": None if self.good is None else round(self.good / max(self.completed + self.failed, 1), 4),
        }


def report(timings: Sequence[Timing], gaps: Gaps, *, failed: int, duration_s: float, objectives: Objectives) -> Report:
    """Draw the figures of a run together."""
    return Report(
        completed=len(timings),
        failed=failed,
        duration_s=duration_s,
        prompt_tokens=sum(t.prompt_tokens for t in timings),
        output_tokens=sum(t.output_tokens for t in timings),
        ttft=spread(t.ttft for t in timings),
        tpot=spread(t.tpot for t in timings if t.tpot is not None),
        itl=spread(gaps.seconds, gaps.counts),
        e2e=spread(t.e2e for t in timings),
        queue=spread(t.queue for t in timings if t.queue is not None),
        good=sum(t.meets(objectives) for t in timings) if objectives.any else None,
    )
