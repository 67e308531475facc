"""Progress of a download on stderr: a bar on a terminal, plain lines elsewhere."""

import contextlib
import sys
from collections.abc import Generator
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from rich.progress import Progress as Bars

_STEP = 10
"""Percent between two plain lines."""


class Task(Protocol):
    """One file on its way."""

    def at(self, count: int) -> None:
        """Say that `count` bytes are there."""
        ...


class Progress(Protocol):
    """Tells a person how far a pull is."""

    def say(self, line: str) -> None:
        """Tell one fact."""
        ...

    def task(self, name: str, total: int | None) -> contextlib.AbstractContextManager[Task]:
        """Follow one file of `total` bytes (None: not known)."""
        ...


class LineProgress:
    """Plain lines: the beginning, every tenth, the end."""

    def say(self, line: str) -> None:
        """Write one line."""
        sys.stderr.write(f"midwatch: {line}\n")
        sys.stderr.flush()

    @contextlib.contextmanager
    def task(self, name: str, total: int | None) -> Generator[Task]:
        """Follow one file."""
        yield _LineTask(self, name, total)


class _LineTask:
    def __init__(self, progress: LineProgress, name: str, total: int | None) -> None:
        self._progress = progress
        self._name = name
        self._total = total
        self._next = 0

    def at(self, count: int) -> None:
        percent = 100 * count // self._total if self._total else 100 * (count >> 26)
        if percent >= self._next:
            self._next = percent // _STEP * _STEP + (_STEP if self._total else 100)
            share = f"{percent} % of {self._total / 1e6:.0f} MB" if self._total else f"{count / 1e6:.0f} MB"
            self._progress.say(f"{self._name}: {share}")


class BarProgress:
    """A bar with speed and remaining time."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)

    def say(self, line: str) -> None:
        """Write one line."""
        self._console.print(f"midwatch: {line}", markup=False, highlight=False)

    @contextlib.contextmanager
    def task(self, name: str, total: int | None) -> Generator[Task]:
        """Follow one file."""
        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
        with Bars(*columns, TransferSpeedColumn(), TimeRemainingColumn(), console=self._console) as bars:
            yield _BarTask(bars, name, total)


class _BarTask:
    def __init__(self, bars: Bars, name: str, total: int | None) -> None:
        self._bars = bars
        self._id = bars.add_task(name, total=total)

    def at(self, count: int) -> None:
        self._bars.update(self._id, completed=count)


def stderr_progress() -> Progress:
    """Return what suits this process's stderr."""
    return BarProgress() if sys.stderr.isatty() else LineProgress()
