"""A CPU limit kept by the process itself: each step is stretched until its CPU time fits the limit.

A pod of the lab has no cgroup; this does to the engine what a CFS quota would. The step is real and measured, only its
end comes later.
"""

import math

PERIOD_S = 0.1
"""The length of the periods that are counted, as of those in which the kernel gives out a CFS quota."""
SLACK = 0.02
"""Seconds by which a late wake-up may be caught up, so that the share reached is the limit and not a little less."""


class Throttle:
    """Keeps CPU seconds / wall seconds of the engine at or under `limit` cores; None never waits.

    It counts as the kernel counts for a CFS quota: the periods in which the engine had work, those of them in which it
    had to wait, and the seconds for which it did.
    """

    def __init__(self, limit: float | None) -> None:
        self.limit = limit
        self.periods = 0
        self.throttled_periods = 0
        self.throttled_s = 0.0
        self._due = float("-inf")
        self._counted = -1
        self._throttled = -1

    def charge(self, cpu_s: float, started: float, now: float) -> float:
        """Book a step of `cpu_s` that ran from `started` to `now`; return the seconds to wait before it may end."""
        if self.limit is None:
            return 0.0
        self._due = max(self._due, started - SLACK) + cpu_s / self.limit
        wait = max(0.0, self._due - now)
        self._count(started, now, wait)
        return wait

    def _count(self, started: float, now: float, wait: float) -> None:
        """Count the periods that a step touches, each once, though several steps may touch it."""
        last = math.floor((now + wait) / PERIOD_S)
        self.periods += max(0, last - max(self._counted, math.floor(started / PERIOD_S) - 1))
        self._counted = max(self._counted, last)
        if wait:
            self.throttled_periods += max(0, last - max(self._throttled, math.floor(now / PERIOD_S) - 1))
            self._throttled = max(self._throttled, last)
            self.throttled_s += wait
