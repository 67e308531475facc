"""How often, and how many at once, a caller may call a tool: by what the tool costs.

A token bucket for each caller and tool: so many calls at once, refilled steadily. A model that calls in a loop is told
to wait, and neither the cluster nor another caller pays for it. A guide of hundreds of steps fits in.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from midwatch_mcp.tool import Cost


@dataclass(frozen=True)
class Rate:
    """What is allowed of tools of one cost, to each caller and tool."""

    per_s: float
    burst: int
    together: int
    """Calls that may run at the same time."""


RATES: dict[Cost, Rate] = {"low": Rate(100, 400, 64), "medium": Rate(50, 200, 32), "high": Rate(5, 20, 8)}
_KEPT = 10_000
"""Callers and tools that are remembered; beyond that those that are idle longest are forgotten."""


@dataclass
class _Bucket:
    left: float
    at: float
    running: int = 0


@dataclass
class Limiter:
    """Counts the calls of a server."""

    rates: dict[Cost, Rate] = field(default_factory=lambda: dict(RATES))
    now: Callable[[], float] = time.monotonic
    _buckets: dict[tuple[str, str], _Bucket] = field(default_factory=dict[tuple[str, str], _Bucket])

    def enter(self, caller: str, tool: str, cost: Cost) -> str | None:
        """Let a call begin, and return None; or return why it must wait, with how long."""
        rate, now = self.rates[cost], self.now()
        bucket = self._bucket(caller, tool, rate, now)
        bucket.left = min(rate.burst, bucket.left + (now - bucket.at) * rate.per_s)
        bucket.at = now
        if bucket.running >= rate.together:
            return f"{rate.together} calls of {tool} are running, the most at once: try again when one has ended"
        if bucket.left < 1:
            wait = (1 - bucket.left) / rate.per_s
            return f"too many calls of {tool}: {rate.per_s:g} a second are allowed; try again in {max(wait, 0.1):.1f} s"
        bucket.left -= 1
        bucket.running += 1
        return None

    def leave(self, caller: str, tool: str) -> None:
        """Say that a call that was let begin has ended."""
        self._buckets[caller, tool].running -= 1

    def _bucket(self, caller: str, tool: str, rate: Rate, now: float) -> _Bucket:
        key = (caller, tool)
        found = self._buckets.pop(key, None) or _Bucket(rate.burst, now)
        self._buckets[key] = found  # the last one is the one asked for last
        if len(self._buckets) > _KEPT:
            idle = next((other for other, bucket in self._buckets.items() if bucket.running == 0), None)
            if idle is not None:
                del self._buckets[idle]
        return found
