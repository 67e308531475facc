"""What a container wrote: a bounded list of lines with their times, which others can follow."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Final

BYTES_KEPT: Final = 2 * 1024 * 1024
LINE_MAX: Final = 16 * 1024


@dataclass(frozen=True)
class Line:
    """One line; `at` in Unix seconds."""

    at: float
    text: str


@dataclass
class ContainerLog:
    """The log of one run of a container. At most 2 MiB are kept; the oldest lines go first."""

    _lines: deque[Line] = field(default_factory=deque[Line])
    _bytes: int = 0
    _followers: list[asyncio.Queue[Line | None]] = field(default_factory=list[asyncio.Queue[Line | None]])
    _closed: bool = False

    def append(self, at: float, text: str) -> None:
        """Add a line; one of more than 16 KiB is cut."""
        line = Line(at, text[:LINE_MAX])
        self._lines.append(line)
        self._bytes += len(line.text)
        while self._bytes > BYTES_KEPT:
            self._bytes -= len(self._lines.popleft().text)
        for queue in self._followers:
            queue.put_nowait(line)

    def close(self) -> None:
        """Say that nothing more comes: followers end."""
        self._closed = True
        for queue in self._followers:
            queue.put_nowait(None)

    def lines(self) -> list[Line]:
        """Return what is kept, oldest first."""
        return list(self._lines)

    async def follow(self) -> AsyncIterator[Line]:
        """Yield the lines that come from now on, until the run ends."""
        if self._closed:
            return
        queue: asyncio.Queue[Line | None] = asyncio.Queue()
        self._followers.append(queue)
        try:
            while (line := await queue.get()) is not None:
                yield line
        finally:
            self._followers.remove(queue)
