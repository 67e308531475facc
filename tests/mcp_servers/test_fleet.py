"""The outlier score: its false alarms on quiet fleets, measured, and what it finds."""

import random
from itertools import pairwise
from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midwatch_mcp.metrics.fleet import SMALLEST, THRESHOLDS, judge, threshold

FLEETS = 4_000


def flagged(size: int, least_difference: float, spread: float, seed: int) -> float:
    """The share of quiet fleets in which somebody is said to differ."""
    draw = random.Random(seed)  # noqa: S311 (measurements, not secrets)
    fleets = ([draw.gauss(1.0, spread) for _ in range(size)] for _ in range(FLEETS))
    return sum(any(member.differs for member in judge(fleet, least_difference)) for fleet in fleets) / FLEETS


@pytest.mark.parametrize("size", [3, 4, 5, 8, 15, 30])
def test_one_quiet_fleet_in_twenty_has_a_member_flagged_whatever_its_size(size: int) -> None:
    # Four standard errors of a share of 0.05 over 4,000 fleets.
    assert flagged(size, 0.0, 0.05, seed=size) == pytest.approx(0.05, abs=4 * (0.05 * 0.95 / FLEETS) ** 0.5)


@pytest.mark.parametrize("size", [4, 8])
def test_members_alike_within_three_percent_are_flagged_in_fewer_than_one_fleet_in_a_hundred(size: int) -> None:
    assert flagged(size, 0.1, 0.03, seed=size) < 0.01


@pytest.mark.parametrize("size", [4, 5, 6, 8])
def test_a_member_at_three_times_the_rest_is_found_in_nearly_every_fleet(size: int) -> None:
    draw = random.Random(size)  # noqa: S311 (measurements, not secrets)
    found = 0
    for _ in range(1_000):
        fleet = [draw.gauss(1.0, 0.05) for _ in range(size)]
        fleet[0] *= 3
        verdict = judge(fleet, 0.1)
        found += verdict[0].differs
        assert max(verdict, key=lambda member: member.score) is verdict[0]
    assert found >= 980


def test_two_of_seven_do_not_hide_each_other() -> None:
    verdict = judge([1.0, 1.02, 0.99, 1.01, 0.98, 5.0, 5.2], 0.1)
    assert [member.differs for member in verdict] == [False] * 5 + [True, True]


def test_a_silent_member_among_busy_ones_differs() -> None:
    assert [member.differs for member in judge([0.0, 100.0, 101.0, 99.0, 100.5], 0.1)] == [True] + [False] * 4


def test_where_most_are_equal_the_one_that_is_not_differs() -> None:
    verdict = judge([0.0] * 11 + [7.0], 0.1)
    assert [member.differs for member in verdict] == [False] * 11 + [True]


def test_equal_members_and_fleets_too_small_have_nobody_that_differs() -> None:
    assert not any(member.differs for member in judge([4.0] * 6, 0.0))
    assert not any(member.differs for member in judge([1.0, 900.0], 0.0))
    assert judge([], 0.0) == []
    with pytest.raises(ValueError, match="3 is the least"):
        threshold(2)


def test_thresholds_between_the_table_lie_between_their_neighbours() -> None:
    for (low, first), (high, last) in pairwise(THRESHOLDS):
        for size in range(low, high + 1):
            assert min(first, last) <= threshold(size) <= max(first, last)
    assert threshold(10_000) == THRESHOLDS[-1][1]


values = st.lists(
    st.floats(-1e6, 1e6, allow_nan=False).map(lambda value: round(value, 3)), min_size=SMALLEST, max_size=30
)


@given(values, st.floats(0.001, 1000))
def test_the_unit_of_a_metric_changes_no_verdict(fleet: list[float], factor: float) -> None:
    plain, scaled = judge(fleet, 0.1), judge([value * factor for value in fleet], 0.1)
    for one, other, value in zip(plain, scaled, fleet, strict=True):
        near = (
            abs(one.score - threshold(len(fleet))) < 1e-6
            or abs(abs(value - median(fleet)) - 0.1 * abs(median(fleet))) < 1e-6
        )
        assert near or one.differs == other.differs
