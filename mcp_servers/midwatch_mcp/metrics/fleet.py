"""Which members of a fleet differ from the rest: modified z-scores with a threshold for the fleet's size.

The score of a member is 0.6745 · |x - median| / MAD, where MAD is the median of the absolute deviations (Iglewicz and
Hoaglin, How to Detect and Handle Outliers, ASQC 1993). Their threshold of 3.5 is for large samples: in a quiet fleet of
five it flags somebody every fifth time. So the threshold is, by fleet size, the 95th percentile of the largest score in
normally distributed fleets: one quiet fleet in twenty has a member flagged. `differs` also asks for a difference that
matters, and real fleets, whose members are alike within a few percent, are flagged far less often.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean, median

SMALLEST = 3
THRESHOLDS = (
    (3, 21.85), (4, 6.89), (5, 8.00), (6, 5.51), (7, 5.83), (8, 4.92), (9, 5.08), (10, 4.57), (11, 4.67),
    (12, 4.39), (13, 4.43), (14, 4.23), (15, 4.27), (16, 4.13), (17, 4.17), (18, 4.06), (19, 4.09), (20, 4.00),
    (25, 3.93), (30, 3.85), (40, 3.79), (50, 3.76), (75, 3.74), (100, 3.74), (200, 3.82),
)  # fmt: skip
"""(fleet size, 95th percentile of the largest score in a quiet fleet), from 400,000 fleets a size drawn from a normal
distribution (100,000 for 75 and more); tests/mcp_servers/test_fleet.py draws again."""

_NORMAL = 0.6745
"""The 0.75 quantile of the normal distribution: it makes MAD / 0.6745 an estimate of the standard deviation."""
_MEAN_DEVIATION = 1.253314
"""√(π/2), for a mean absolute deviation, which takes the MAD's place where more than half of the members are equal."""


@dataclass(frozen=True)
class Member:
    """One member's place in its fleet."""

    value: float
    score: float
    """Modified z-score; 0 where all members are equal."""
    differs: bool


def threshold(size: int) -> float:
    """Return the score above which a member of a fleet of this size differs."""
    sizes = [known for known, _ in THRESHOLDS]
    place = bisect_right(sizes, size)
    if place == 0:
        raise ValueError(f"a fleet of {size} has no rest to differ from: {SMALLEST} is the least")
    if place == len(THRESHOLDS):
        return THRESHOLDS[-1][1]
    (low, first), (high, last) = list(pairwise(THRESHOLDS))[place - 1]
    return first + (last - first) * (size - low) / (high - low)


def judge(values: Sequence[float], least_difference: float) -> list[Member]:
    """Return each member's score, and whether it differs.

    A member differs when its score is above the threshold and it lies more than `least_difference` (a share of the
    fleet's median) away from the median. Fleets of fewer than three have no member that differs.
    """
    if len(values) < SMALLEST:
        return [Member(value, 0.0, differs=False) for value in values]
    middle = median(values)
    away = [abs(value - middle) for value in values]
    spread = median(away) / _NORMAL or fmean(away) * _MEAN_DEVIATION
    limit, least = threshold(len(values)), least_difference * abs(middle)
    return [
        Member(value, score, differs=score > limit and distance > least)
        for value, distance in zip(values, away, strict=True)
        for score in [distance / spread if spread else 0.0]
    ]
