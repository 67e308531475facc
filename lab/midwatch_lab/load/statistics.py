"""What a load saw: totals, and figures over the last seconds."""

from collections import deque
from dataclasses import dataclass, field

TTFT_WINDOW_S = 30.0
RATE_WINDOW_S = 10.0


@dataclass
class Statistics:
    """Counts of one load; times are those of the clock.

    A request that timed out before its first token counts with its timeout: its TTFT is at least that, and leaving it
    out would make an overloaded server look fast.
    """

    sent: int = 0
    completed: int = 0
    failed: int = 0
    timed_out: int = 0
    in_flight: int = 0
    started_s: float | None = None
    last_error: str | None = None
    _ttfts: deque[tuple[float, float]] = field(default_factory=deque[tuple[float, float]])
    _completions: deque[float] = field(default_factory=deque[float])
    _sends: deque[float] = field(default_factory=deque[float])

    def send(self, now: float) -> None:
        """Count a request that leaves."""
        self.started_s = now if self.started_s is None else self.started_s
        self.sent += 1
        self.in_flight += 1
        self._sends.append(now)
        _trim(self._sends, now - RATE_WINDOW_S)

    def first_token(self, now: float, ttft_s: float) -> None:
        """Record a time to first token, or the timeout that came before it."""
        self._ttfts.append((now, ttft_s))
        while self._ttfts and self._ttfts[0][0] <= now - TTFT_WINDOW_S:
            self._ttfts.popleft()

    def complete(self, now: float) -> None:
        """Count a request that was answered whole."""
        self.completed += 1
        self._completions.append(now)
        _trim(self._completions, now - RATE_WINDOW_S)

    def ttft_p95_s(self, now: float) -> float | None:
        """Return the 95th percentile of TTFT over the last 30 s (nearest rank), None without any."""
        found = sorted(ttft for at, ttft in self._ttfts if at > now - TTFT_WINDOW_S)
        return found[-(-95 * len(found) // 100) - 1] if found else None

    def completed_per_s(self, now: float) -> float:
        """Return completions per second over the last 10 s (since the start, if that is shorter)."""
        return self._per_second(self._completions, now)

    def sent_per_s(self, now: float) -> float:
        """Return requests sent per second over the last 10 s (since the start, if that is shorter)."""
        return self._per_second(self._sends, now)

    def _per_second(self, times: deque[float], now: float) -> float:
        if self.started_s is None:
            return 0.0
        span = min(RATE_WINDOW_S, max(now - self.started_s, 1e-3))
        return sum(at > now - RATE_WINDOW_S for at in times) / span


def _trim(times: deque[float], oldest: float) -> None:
    while times and times[0] <= oldest:
        times.popleft()
