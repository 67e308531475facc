"""What a container wrote: a bounded list of lines with their times, which others can follow."""

import asyncio
import weakref
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Final, Self

BYTES_KEPT: Final = 2 * 1024 * 1024
LINE_MAX: Final = 16 * 1024


@dataclass(frozen=True)
class Line:
    """One line; `at` in Unix seconds."""

    at: float
    text: str


def _nobody() -> "weakref.WeakSet[Follower]":
    return weakref.WeakSet()


@dataclass
class ContainerLog:
    """The log of one run of a container. At most 2 MiB are kept; the oldest lines go first."""

    _lines: deque[Line] = field(default_factory=deque[Line])
    _bytes: int = 0
    _dropped: int = 0
    _followers: "weakref.WeakSet[Follower]" = field(default_factory=_nobody)
    closed: bool = False
    """Whether nothing more comes."""

    def append(self, at: float, text: str) -> None:
        """Add a line; one of more than 16 KiB is cut."""
        line = Line(at, text[:LINE_MAX])
        self._lines.append(line)
        self._bytes += len(line.text)
        while self._bytes > BYTES_KEPT:
            self._bytes -= len(self._lines.popleft().text)
            self._dropped += 1
        self._wake()

    def close(self) -> None:
        """Say that nothing more comes: followers end."""
        self.closed = True
        self._wake()

    def _wake(self) -> None:
        for follower in self._followers:
            follower.news.set()

    def lines(self) -> list[Line]:
        """Return what is kept, oldest first."""
        return list(self._lines)

    def line(self, number: int) -> tuple[int, Line] | None:
        """Return the line of a number counted from the run's start, or the oldest that is kept; None at the end."""
        index = max(0, number - self._dropped)
        return (self._dropped + index, self._lines[index]) if index < len(self._lines) else None

    def follow(self) -> "Follower":
        """Return an iterator over the lines that come from now on, until the run ends."""
        follower = Follower(self, self._dropped + len(self._lines))
        self._followers.add(follower)
        return follower


class Follower(AsyncIterator[Line]):
    """Reads a log onwards. It keeps a place and no lines, so one that is slow, or forgotten, costs nothing.

    It is no async generator on purpose: one that a client's leaving suspends for good would be finalised by whatever
    event loop is there later, or by none.
    """

    def __init__(self, log: ContainerLog, place: int) -> None:
        self.log = log
        self.news = asyncio.Event()
        self._place = place

    def __aiter__(self) -> Self:
        """Return itself."""
        return self

    async def __anext__(self) -> Line:
        """Return the next line once it is there."""
        while (found := self.log.line(self._place)) is None:
            if self.log.closed:
                raise StopAsyncIteration
            self.news.clear()
            await self.news.wait()
        number, line = found
        self._place = number + 1
        return line
