"""A CPU limit kept by the process itself: each step is stretched until its CPU time fits the limit.

A pod of the lab has no cgroup; this does to the engine what a CFS quota would. The step is real and measured, only its
end comes later.
"""

SLACK = 0.02
"""Seconds by which a late wake-up may be caught up, so that the share reached is the limit and not a little less."""


class Throttle:
    """Keeps CPU seconds / wall seconds of the engine at or under `limit` cores; None never waits."""

    def __init__(self, limit: float | None) -> None:
        self.limit = limit
        self._due = float("-inf")

    def charge(self, cpu_s: float, started: float, now: float) -> float:
        """Book a step of `cpu_s` that ran from `started` to `now`; return the seconds to wait before it may end."""
        if self.limit is None:
            return 0.0
        self._due = max(self._due, started - SLACK) + cpu_s / self.limit
        return max(0.0, self._due - now)
