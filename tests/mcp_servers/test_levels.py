"""Changes of level: how often quiet series have one, measured, and what is found of those that moved."""

import random
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midwatch_mcp.metrics.levels import LEAST, MOST, changes

Noise = Callable[[random.Random, int], list[float]]


def correlated(share: float) -> Noise:
    """AR(1) noise of variance 1."""

    def draw(chance: random.Random, size: int) -> list[float]:
        value, found = chance.gauss(0, 1), list[float]()
        for _ in range(size):
            found.append(value)
            value = share * value + chance.gauss(0, (1 - share * share) ** 0.5)
        return found

    return draw


def averaged(chance: random.Random, size: int) -> list[float]:
    """As a rate over ten scrapes gives it."""
    raw = [chance.gauss(0, 1) for _ in range(size + 10)]
    return [sum(raw[place : place + 10]) for place in range(size)]


def held(chance: random.Random, size: int) -> list[float]:
    """Every value four times, as where a step is shorter than a scrape."""
    return [value for value in correlated(0.0)(chance, size // 4) for _ in range(4)]


def heavy(chance: random.Random, size: int) -> list[float]:
    """Latencies with a tail that has no variance."""
    return [chance.paretovariate(1.2) for _ in range(size)]


def seldom(chance: random.Random, size: int) -> list[float]:
    """One sample in ten at 1, the rest at 0."""
    return [float(chance.random() < 0.1) for _ in range(size)]


QUIET: dict[str, Noise] = {
    "independent": correlated(0.0),
    "AR(1) 0.5": correlated(0.5),
    "AR(1) 0.8": correlated(0.8),
    "AR(1) 0.95": correlated(0.95),
    "averaged": averaged,
    "held": held,
    "heavy": heavy,
    "seldom": seldom,
}


@pytest.mark.parametrize(
    ("noise", "size", "series"),
    [*((noise, 60, 200) for noise in QUIET), ("independent", 240, 40), ("AR(1) 0.8", 240, 40)],
)
def test_a_quiet_series_has_a_change_in_fewer_than_one_of_twenty(noise: str, size: int, series: int) -> None:
    chance = random.Random(size)  # noqa: S311 (measurements, not secrets)
    alarms = sum(bool(changes(QUIET[noise](chance, size))) for _ in range(series))
    # Two standard errors above a share of 0.05.
    assert alarms / series <= 0.05 + 2 * (0.05 * 0.95 / series) ** 0.5


@pytest.mark.parametrize(("size", "last", "least"), [(60, 15, 0.75), (60, 20, 0.8), (60, 30, 0.9), (240, 30, 0.9)])
def test_a_shift_of_three_deviations_is_found_where_it_began(size: int, last: int, least: float) -> None:
    chance, found = random.Random(last), 0  # noqa: S311
    for _ in range(50):
        values = [value + 3 * (place >= size - last) for place, value in enumerate(correlated(0.3)(chance, size))]
        found += any(abs(change.index - (size - last)) <= 2 for change in changes(values))
    assert found / 50 >= least


def test_a_pulse_has_two_edges_and_the_levels_on_each_side() -> None:
    chance = random.Random(5)  # noqa: S311
    values = [chance.gauss(10.0 if 40 <= place < 80 else 1.0, 0.2) for place in range(120)]
    up, down = changes(values)
    assert (up.index, down.index) == (40, 80)
    assert (up.before, up.after, down.after) == (
        pytest.approx(1.0, abs=0.2),
        pytest.approx(10.0, abs=0.2),
        pytest.approx(1.0, abs=0.2),
    )


def test_a_spike_is_no_level_and_a_step_without_noise_is_one() -> None:
    assert changes([1.0] * 30 + [900.0] * 2 + [1.0] * 30) == []
    (step,) = changes([2.0] * 20 + [3.0] * 15)
    assert (step.index, step.before, step.after) == (20, 2.0, 3.0)


@given(st.lists(st.integers(-3, 3).map(float), max_size=80))
def test_changes_are_few_apart_ordered_and_each_one_is_a_change(values: list[float]) -> None:
    found = changes(values)
    assert len(found) <= MOST
    assert all(change.before != change.after for change in found)
    edges = [0, *(change.index for change in found), len(values)]
    assert all(end - begin >= LEAST for begin, end in pairwise(edges)) or not found


@given(st.lists(st.integers(0, 50), min_size=10, max_size=80))
def test_units_and_direction_of_a_metric_move_no_change(values: list[int]) -> None:
    places = [change.index for change in changes([float(value) for value in values])]
    assert [change.index for change in changes([7.0 * value - 3 for value in values])] == places
    assert [change.index for change in changes([-1.0 * value for value in values])] == places
