"""Benchmarks of the command line."""

import subprocess
import sys
from collections.abc import Iterable

from midwatch_contracts.figure import Figure, median_seconds

RUNS = 11


def help_time() -> Iterable[Figure]:
    """Measure `midwatch --help`, as a process, beside a Python that does nothing."""
    ours = median_seconds(lambda: _run("-m", "midwatch_agents", "--help"), repeat=RUNS)
    bare = median_seconds(lambda: _run("-c", "pass"), repeat=RUNS)
    yield Figure.beside("help_ms", ours * 1000, "ms", baseline=bare * 1000)


def _run(*arguments: str) -> None:
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
