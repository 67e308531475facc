"""A measured figure of a benchmark, as one line of JSON, and how every package offers its own."""

import statistics
import time
from collections.abc import Callable, Iterable
from typing import Protocol

from midwatch_contracts.model import Model


class Figure(Model):
    """One figure beside its baseline, both measured in the same run; `ratio` is value ÷ baseline."""

    name: str
    value: float
    unit: str
    baseline: float
    ratio: float
    command: str
    """The command that prints this figure again."""

    @classmethod
    def beside(cls, name: str, value: float, unit: str, *, baseline: float) -> "Figure":
        """Return a figure with its ratio, under the command that runs it alone."""
        command = f"make bench ARGS='--only {name}'"
        rounded, base = float(f"{value:.4g}"), float(f"{baseline:.4g}")
        ratio = float(f"{value / baseline:.4g}")
        return cls(name=name, value=rounded, unit=unit, baseline=base, ratio=ratio, command=command)


class Benchmark(Protocol):
    """What the entry-point group `midwatch.benchmarks` holds: measures when called."""

    def __call__(self) -> Iterable[Figure]:
        """Measure and return the figures."""
        ...


def median_seconds(run: Callable[[], object], *, repeat: int) -> float:
    """Return the median wall time of `repeat` calls, in seconds."""
    times: list[float] = []
    for _ in range(repeat):
        began = time.perf_counter()
        run()
        times.append(time.perf_counter() - began)
    return statistics.median(times)
