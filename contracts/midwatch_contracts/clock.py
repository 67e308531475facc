"""Time as a parameter (DESIGN §1.5, CONTRACTS §7): everything that waits is handed a `Clock`."""

import asyncio
import heapq
import itertools
import time
from typing import Protocol

_YIELDS = 10
"""Turns of the event loop given to ready tasks between two wake-ups."""


class Clock(Protocol):
    """What tells the time and waits. Seconds throughout; `now` counts from the Unix epoch."""

    def now(self) -> float:
        """Return Unix seconds."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return once `seconds` have passed on this clock."""
        ...


class WallClock:
    """The clock on the wall."""

    def now(self) -> float:
        """Return Unix seconds."""
        return time.time()

    async def sleep(self, seconds: float) -> None:
        """Sleep for real."""
        await asyncio.sleep(seconds)


class VirtualClock:
    """A clock that stands still until it is advanced; sleepers wake in the order of their deadlines.

    With `auto=True` the earliest sleeper moves the clock itself once the event loop is idle of other ready work, which
    suits tests and replays with a single flow of time. `start` is in Unix seconds.
    """

    def __init__(self, start: float = 1_700_000_000.0, *, auto: bool = False) -> None:
        self.auto = auto
        self._now = start
        self._order = itertools.count()
        self._woken = 0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []

    def now(self) -> float:
        """Return the virtual Unix seconds."""
        return self._now

    async def sleep(self, seconds: float) -> None:
        """Wait until the clock was advanced by `seconds`."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        deadline = self._now + seconds
        heapq.heappush(self._sleepers, (deadline, next(self._order), woken))
        try:
            while self.auto and not woken.done():
                woken_before = self._woken
                await _let_ready_tasks_run()
                # Whoever was woken meanwhile may be about to sleep for less: it runs first.
                if self._woken == woken_before and self._is_next(woken):
                    self._wake_next()
            await woken
        finally:
            # A sleeper that was cancelled (the loser of a race with a timeout) must not hold up the others.
            woken.cancel()

    def _is_next(self, woken: asyncio.Future[None]) -> bool:
        while self._sleepers and self._sleepers[0][2].done():
            heapq.heappop(self._sleepers)
        return bool(self._sleepers) and self._sleepers[0][2] is woken

    def _wake_next(self) -> None:
        deadline, _, woken = heapq.heappop(self._sleepers)
        if woken.done():
            return
        self._now = max(self._now, deadline)
        woken.set_result(None)
        self._woken += 1

    async def advance(self, by: float = 0.0, *, to: float | None = None) -> None:
        """Move the clock forward and wake, in order, whoever is due; each is run before the next is woken."""
        target = self._now + by if to is None else to
        while self._sleepers and self._sleepers[0][0] <= target:
            self._wake_next()
            await _let_ready_tasks_run()
        self._now = max(self._now, target)


async def _let_ready_tasks_run() -> None:
    """Yield often enough that a task about to sleep for less registers before time moves."""
    for _ in range(_YIELDS):
        await asyncio.sleep(0)
