"""The arithmetic of a rollout: how many pods may be beside the desired ones, how many may be missing, and who scales.

Pure functions over numbers, so that their invariants can be tested without a cluster.
"""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """How far a rolling update may stray from the desired number of pods."""

    surge: int
    unavailable: int


@dataclass(frozen=True)
class Half:
    """One ReplicaSet in a rollout, in numbers."""

    name: str
    desired: int
    """`spec.replicas`."""
    available: int


def limits(desired: int, max_surge: str | int, max_unavailable: str | int) -> Limits:
    """Resolve maxSurge (rounded up) and maxUnavailable (rounded down); both zero would never move, so one may miss."""
    surge = resolved(max_surge, desired, up=True)
    unavailable = min(resolved(max_unavailable, desired, up=False), desired)
    return Limits(surge, 1 if surge == 0 and unavailable == 0 else unavailable)


def resolved(value: str | int, total: int, *, up: bool) -> int:
    """Return a number that may be given as a percentage of a total."""
    if isinstance(value, int):
        return value
    share = int(value.removesuffix("%")) * total / 100
    return math.ceil(share) if up else math.floor(share)


def scale_up(new: Half, others: list[Half], desired: int, allowed: Limits) -> int:
    """Return the size that the new ReplicaSet may have: never more pods than desired and surge together."""
    if new.desired >= desired:
        return desired
    total = new.desired + sum(half.desired for half in others)
    room = desired + allowed.surge - total
    return new.desired + max(0, min(room, desired - new.desired))


def scale_down(new: Half, olds: list[Half], desired: int, allowed: Limits) -> dict[str, int]:
    """Return the new sizes of old ReplicaSets (oldest first): never fewer available pods than desired less unavailable.

    Pods that are not available go first, since they serve nobody.
    """
    total = new.desired + sum(half.desired for half in olds)
    missing_new = max(0, new.desired - new.available)
    budget = total - (desired - allowed.unavailable) - missing_new
    sizes: dict[str, int] = {}
    unhealthy_budget = budget
    for half in olds:
        drop = max(0, min(half.desired - half.available, unhealthy_budget))
        unhealthy_budget -= drop
        sizes[half.name] = half.desired - drop
    available = new.available + sum(min(half.available, sizes[half.name]) for half in olds)
    healthy_budget = available - (desired - allowed.unavailable)
    for half in olds:
        drop = max(0, min(sizes[half.name], healthy_budget))
        healthy_budget -= drop
        sizes[half.name] -= drop
    return {half.name: sizes[half.name] for half in olds if sizes[half.name] != half.desired}


def proportions(halves: list[Half], target: int) -> dict[str, int]:
    """Share `target` pods among ReplicaSets in proportion to their sizes, in the middle of a rollout or a pause."""
    total = sum(half.desired for half in halves)
    if not total:
        return {}
    ordered = sorted(halves, key=lambda half: -half.desired)
    sizes = {half.name: half.desired * target // total for half in ordered}
    left = target - sum(sizes.values())
    for half in ordered:
        if left <= 0:
            break
        sizes[half.name] += 1
        left -= 1
    return {half.name: sizes[half.name] for half in halves if sizes[half.name] != half.desired}
