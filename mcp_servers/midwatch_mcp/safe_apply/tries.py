"""How often a step is tried, and how long it is waited for."""

import asyncio
from dataclasses import dataclass

from midwatch_contracts.clock import Clock

ATTEMPTS = 8
"""Tries of one step before it is given up."""
_BACK_OFF_S = 0.25
_MAX_BACK_OFF_S = 5.0
_MAX_COME_BACK_S = 60.0
"""A target that asks for more is asked again all the same: a change that is half done does not wait for hours."""


@dataclass
class Tries:
    """How often something was tried, and how long to wait before the next time."""

    clock: Clock
    patience_s: float = 0.0
    """For so long a target that asks to come back costs no try."""
    count: int = 0

    def __post_init__(self) -> None:
        self._patient_until = self.clock.now() + self.patience_s

    @property
    def left(self) -> bool:
        """Whether it is worth another try."""
        return self.count < ATTEMPTS

    async def back_off(self) -> None:
        """Wait, twice as long each time."""
        await asyncio.sleep(0)
        await self.clock.sleep(min(_MAX_BACK_OFF_S, _BACK_OFF_S * 2**self.count))
        self.count += 1

    async def come_back(self, after_s: float) -> None:
        """Wait as long as the target asked for, a minute at most."""
        self.count += self.clock.now() >= self._patient_until
        await self.clock.sleep(min(after_s, _MAX_COME_BACK_S))
