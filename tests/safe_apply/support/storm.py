"""What goes wrong around an API server, drawn from a seed, and a time in which nobody has to wait for it."""

import asyncio
import heapq
import itertools
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

REFUSALS = ("conflict", "throttled", "overloaded", "no connection")
"""The call is certainly not carried out."""
LOSSES = ("500", "504", "bad gateway", "reset", "half an answer", "no JSON", "no object", "hangs", "late")
"""Whether it was carried out the client cannot know; `late`: it is, up to a minute after the client gave up."""
METRICS = ("metrics stop", "metrics break")
OTHERS = ("webhook mutates", "webhook denies", "somebody writes")
KINDS = (*REFUSALS, *LOSSES, *METRICS, *OTHERS)

Due = Callable[[], Awaitable[None]]


class JumpingLoop(asyncio.SelectorEventLoop):
    """A loop whose time can be put forward, so that a client's time-out is over at once."""

    ahead_s = 0.0

    def time(self) -> float:
        return super().time() + self.ahead_s


class LateClock:
    """A clock that moves when somebody sleeps; what is due until then happens first, in order."""

    def __init__(self, start: float = 1_700_000_000.0) -> None:
        self._now = start
        self._due: list[tuple[float, int, Due]] = []
        self._order = itertools.count()

    def now(self) -> float:
        return self._now

    def later(self, seconds: float, happen: Due) -> None:
        heapq.heappush(self._due, (self._now + seconds, next(self._order), happen))

    async def sleep(self, seconds: float) -> None:
        until = self._now + seconds
        while self._due and self._due[0][0] <= until:
            at, _, happen = heapq.heappop(self._due)
            self._now = max(self._now, at)
            await happen()
        self._now = max(self._now, until)
        await asyncio.sleep(0)

    async def quiet(self) -> None:
        """Let everything happen that is still to come."""
        while self._due:
            await self.sleep(self._due[0][0] - self._now)


@dataclass
class Storm:
    """Draws the faults of one apply. Quiet until `raging`."""

    seed: int
    raging: bool = False
    begun: bool = False
    """Whether the change has begun; until then nobody writes the values that it is about."""
    told: list[str] = field(default_factory=list[str])

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)  # noqa: S311 (a seeded test)
        self.kinds = self.rng.sample(KINDS, self.rng.randint(1, 6))
        self.likely = self.rng.choice((0.05, 0.2, 0.5, 0.9))
        self.left = self.rng.choice((20, 60, 100_000))

    def draw(self, *among: str) -> str | None:
        """Return the fault of this call, or None."""
        if not self.raging or self.left <= 0:
            return None
        self.left -= 1
        kinds = [kind for kind in self.kinds if kind in among]
        if not kinds or self.rng.random() > self.likely:
            return None
        self.told.append(self.rng.choice(kinds))
        return self.told[-1]
