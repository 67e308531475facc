"""How fast an autoscaler may go: stabilization windows and scaling policies of the HorizontalPodAutoscaler.

Pure arithmetic over a history, with the time given. Source: https://kubernetes.io/docs/tasks/run-application/
horizontal-pod-autoscale/ ("Configurable scaling behavior"); reasons and messages are the original's.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from midwatch_lab.objects import Object, dig

_DOWN_WINDOW_S: Final = 300.0
_HASTE: Final = 2
_HASTE_MIN: Final = 4
_FULL: Final = 100

Verdict = tuple[str, str]
"""(reason, message) of a condition."""
_WITHIN: Final = ("DesiredWithinRange", "the desired count is within the acceptable range")
_TOO_MANY: Final = ("TooManyReplicas", "the desired replica count is more than the maximum replica count")
_TOO_FEW: Final = ("TooFewReplicas", "the desired replica count is less than the minimum replica count")
_UP_LIMIT: Final = ("ScaleUpLimit", "the desired replica count is increasing faster than the maximum scale rate")
_DOWN_LIMIT: Final = ("ScaleDownLimit", "the desired replica count is decreasing faster than the maximum scale rate")
_READY: Final = ("ReadyForNewScale", "recommended size matches current size")
_HIGHER: Final = "recent recommendations were higher than current one, applying the highest recent recommendation"
_LOWER: Final = "recent recommendations were lower than current one, applying the lowest recent recommendation"


@dataclass(frozen=True)
class Limited:
    """The size that may be gone to, what the stabilization and what the limits say, and whether these cut it."""

    replicas: int
    stabilized: Verdict
    limit: Verdict
    is_limited: bool


@dataclass
class History:
    """What was recommended for one target, and how it was scaled: (Unix seconds, replicas or their change)."""

    recommendations: list[tuple[float, int]] = field(default_factory=list[tuple[float, int]])
    ups: list[tuple[float, int]] = field(default_factory=list[tuple[float, int]])
    downs: list[tuple[float, int]] = field(default_factory=list[tuple[float, int]])

    def scaled(self, behavior: Object | None, before: int, after: int, now: float) -> None:
        """Note that the target was scaled; without a behavior no policy asks for it."""
        if behavior is None:
            return
        events, rules = (self.ups, "scaleUp") if after > before else (self.downs, "scaleDown")
        policies: list[Object] = dig(behavior, rules, "policies", default=[])
        longest = max((float(policy["periodSeconds"]) for policy in policies), default=0.0)
        events[:] = [event for event in events if event[0] >= now - longest]
        events.append((now, abs(after - before)))

    def recommend(self, replicas: int, keep_s: float, now: float) -> None:
        """Note a recommendation, and drop those that no window reaches."""
        self.recommendations = [item for item in self.recommendations if item[0] >= now - keep_s]
        self.recommendations.append((now, replicas))


@dataclass(frozen=True)
class Bounds:
    """Between which sizes a target may be, and which it has."""

    least: int
    most: int
    current: int


def limited(history: History, behavior: Object | None, bounds: Bounds, wanted: int, now: float) -> Limited:
    """Return how far the target may go at this moment towards what is wanted, and note the recommendation."""
    if behavior is None:
        return _plainly(history, bounds, wanted, now)
    up, down = _window(behavior, "scaleUp", 0.0), _window(behavior, "scaleDown", _DOWN_WINDOW_S)
    lowest = min([wanted, *(value for at, value in history.recommendations if at > now - up)])
    highest = max([wanted, *(value for at, value in history.recommendations if at > now - down)])
    steady = min(max(bounds.current, lowest), highest)
    history.recommend(wanted, max(up, down), now)
    why = ("ScaleUpStabilized", _LOWER) if wanted >= bounds.current else ("ScaleDownStabilized", _HIGHER)
    replicas, limit = _by_policies(history, behavior, bounds, steady, now)
    return Limited(replicas, _READY if steady == wanted else why, limit, replicas != steady)


def _plainly(history: History, bounds: Bounds, wanted: int, now: float) -> Limited:
    steady = max([wanted, *(value for at, value in history.recommendations if at >= now - _DOWN_WINDOW_S)])
    history.recommend(wanted, _DOWN_WINDOW_S, now)
    haste = max(_HASTE * bounds.current, _HASTE_MIN)
    most, limit = (haste, _UP_LIMIT) if bounds.most > haste else (bounds.most, _TOO_MANY)
    replicas = steady
    if steady < bounds.least:
        replicas, limit = bounds.least, _TOO_FEW
    elif steady > most:
        replicas = most
    else:
        limit = _WITHIN
    stabilized = _READY if steady == wanted else ("ScaleDownStabilized", _HIGHER)
    return Limited(replicas, stabilized, limit, replicas != steady)


def _window(behavior: Object, rules: str, default: float) -> float:
    return float(dig(behavior, rules, "stabilizationWindowSeconds", default=default))


def _by_policies(history: History, behavior: Object, bounds: Bounds, steady: int, now: float) -> tuple[int, Verdict]:
    if steady > bounds.current:
        most = max(bounds.current, _reach(history, dig(behavior, "scaleUp", default={}), bounds.current, now, 1))
        most, limit = (most, _UP_LIMIT) if bounds.most > most else (bounds.most, _TOO_MANY)
        return (most, limit) if steady > most else (steady, _WITHIN)
    if steady < bounds.current:
        least = min(bounds.current, _reach(history, dig(behavior, "scaleDown", default={}), bounds.current, now, -1))
        least, limit = (least, _DOWN_LIMIT) if bounds.least < least else (bounds.least, _TOO_FEW)
        return (least, limit) if steady < least else (steady, _WITHIN)
    return steady, _WITHIN


def _reach(history: History, rules: Object, current: int, now: float, direction: int) -> int:
    """Return the size that the policies of one direction (1 up, -1 down) allow, counted from where a period began."""
    policies: list[Object] = rules.get("policies", [])
    if rules.get("selectPolicy") == "Disabled" or not policies:
        return current
    reached: list[int] = []
    for policy in policies:
        since = now - float(policy["periodSeconds"])
        added, removed = (sum(change for at, change in events if at > since) for events in (history.ups, history.downs))
        start, value = current - added + removed, int(policy["value"])
        if policy["type"] == "Pods":
            reached.append(start + direction * value)
        else:
            share = start * (1 + direction * value / _FULL)
            reached.append(math.ceil(share) if direction > 0 else int(share))
    is_least = rules.get("selectPolicy") == "Min"
    pick: Callable[[list[int]], int] = max if (direction > 0) != is_least else min
    return pick(reached)
