"""`metrics_compare`, `metrics_burn` and `metrics_outliers` over a double of the API."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midwatch_mcp.metrics.comparing import later_is_greater
from midwatch_mcp.testing.caller import Caller
from midwatch_mcp.testing.metrics import Points
from midwatch_mcp.testing.world import World

pytestmark = pytest.mark.anyio
NOW = 1_700_000_000.0
BAD = "sum(rate(bad[{w}])) / sum(rate(all[{w}]))"


def around(end: float, level: float, seed: int = 0) -> Points:
    """Ten minutes of samples up to `end`, every ten seconds, within two percent of a level."""
    draw = random.Random(seed)  # noqa: S311 (measurements, not secrets)
    return [(end - 10 * step, str(level * draw.uniform(0.98, 1.02))) for step in reversed(range(60))]


async def test_the_series_that_moved_comes_first_with_both_medians(metrics: Caller, world: World) -> None:
    world.metrics.courses["ttft"] = [
        ({"pod": "calm"}, [*around(NOW - 3600, 2.0, 1), *around(NOW, 2.0, 2)]),
        ({"pod": "slow"}, [*around(NOW - 3600, 1.0, 3), *around(NOW, 3.0, 4)]),
        ({"pod": "gone"}, around(NOW - 3600, 1.0)),
        ({"pod": "new"}, around(NOW, 1.0)),
    ]
    found = await metrics.result("metrics_compare", query="ttft")
    data = found["data"]
    assert data["before"] == [NOW - 4200, NOW - 3600]
    assert data["after"] == [NOW - 600, NOW]
    assert (data["appeared"], data["vanished"]) == (1, 1)
    assert found["summary"] == "4 series: 1 clearly higher, 0 clearly lower, 1 new, 1 gone."
    by_pod = {entry["labels"]["pod"]: entry for entry in data["series"]}
    assert by_pod["slow"]["ratio"] == pytest.approx(3.0, rel=0.02)
    assert by_pod["slow"]["later_is_greater"] == 1.0
    assert 0.3 < by_pod["calm"]["later_is_greater"] < 0.7
    assert (by_pod["gone"]["after"], by_pod["new"]["before"], by_pod["new"]["ratio"]) == (None, None, None)
    assert data["series"][-1]["labels"]["pod"] == "calm"


async def test_nothing_in_either_window_is_no_data(metrics: Caller) -> None:
    assert "No data" in (await metrics.result("metrics_compare", query="absent_metric"))["summary"]


@pytest.mark.parametrize("arguments", [{"window": "soon"}, {"offset": "0s"}, {"window": "40d"}, {"query": "up["}])
async def test_a_comparison_that_makes_no_sense_is_never_sent(
    metrics: Caller, world: World, arguments: dict[str, str]
) -> None:
    await metrics.error("metrics_compare", **{"query": "up", **arguments})
    assert world.seen == []


@given(st.lists(st.integers(0, 9), min_size=1, max_size=20), st.lists(st.integers(0, 9), min_size=1, max_size=20))
def test_the_chance_is_that_of_all_pairs_with_ties_counted_half(before: list[int], after: list[int]) -> None:
    pairs = [(old, new) for old in before for new in after]
    counted = sum(1.0 if new > old else 0.5 if new == old else 0.0 for old, new in pairs) / len(pairs)
    assert later_is_greater([*map(float, before)], [*map(float, after)]) == pytest.approx(counted)


def ratios(world: World, **by_window: str) -> None:
    for window, value in by_window.items():
        world.metrics.vectors[BAD.format(w=window.removeprefix("_"))] = [({}, value)]


async def test_a_budget_that_both_windows_spend_too_fast_is_burning(metrics: Caller, world: World) -> None:
    ratios(world, _1h="0.2", _5m="0.3", _6h="0.04", _30m="0.2", _3d="0.002")
    found = await metrics.result("metrics_burn", query=BAD.format(w="$window"), objective=0.99)
    first, second, third = found["data"]["pairs"]
    assert (first["factor"], second["factor"], third["factor"]) == (14.4, 6.0, 1.0)
    assert (first["long_burn"], first["short_burn"]) == (pytest.approx(20), pytest.approx(30))
    assert [pair["burning"] for pair in (first, second, third)] == [True, False, False]
    assert "page: 1h and 5m above 14.4" in found["summary"]
    assert found["data"]["bad_ratio"]["3d"] == 0.002


async def test_a_window_without_data_is_neither_burning_nor_fine(metrics: Caller, world: World) -> None:
    ratios(world, _1h="0.2", _5m="NaN")
    pairs = (await metrics.data("metrics_burn", query=BAD.format(w="$window"), objective=0.99))["pairs"]
    assert [pair["burning"] for pair in pairs] == [None, None, None]
    assert (pairs[0]["long_burn"], pairs[0]["short_burn"]) == (pytest.approx(20), None)


async def test_factors_follow_the_period_of_the_objective(metrics: Caller, world: World) -> None:
    ratios(world, _1h="0", _5m="0")
    data = await metrics.data("metrics_burn", query=BAD.format(w="$window"), objective=0.999, period="7d")
    assert data["pairs"][0]["factor"] == pytest.approx(0.02 * 7 * 24)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"query": "sum(rate(bad[5m]))"}, r"\$window"),
        ({"query": "sum(rate(bad[$window]"}, "does not parse"),
        ({"query": "rate(bad[$windows])"}, "does not parse"),
        ({"objective": 1.0}, "less than 1"),
        ({"period": "a while"}, "period"),
    ],
)
async def test_a_burn_that_cannot_be_asked_for_is_refused(
    metrics: Caller, world: World, arguments: dict[str, object], told: str
) -> None:
    text = await metrics.error("metrics_burn", **{"query": BAD.format(w="$window"), "objective": 0.99, **arguments})
    assert told.replace("\\", "") in text
    assert world.seen == []


async def test_several_series_or_a_value_that_is_no_share_are_refused(metrics: Caller, world: World) -> None:
    query = BAD.format(w="$window")
    ratios(world, _1h="3", _5m="0", _6h="0", _30m="0", _3d="0")
    assert "no share of bad events" in await metrics.error("metrics_burn", query=query, objective=0.9)
    world.metrics.vectors[BAD.format(w="1h")] = [({"pod": "a"}, "0"), ({"pod": "b"}, "0")]
    assert "aggregate it" in await metrics.error("metrics_burn", query=query, objective=0.9)


async def test_the_member_that_differs_comes_first_and_is_named(metrics: Caller, world: World) -> None:
    world.metrics.courses["busy"] = [
        *(({"pod": f"p{number}"}, around(NOW, 10.0, number)) for number in range(5)),
        ({"pod": "hot"}, around(NOW, 30.0, 9)),
        ({"pod": "mute"}, [(NOW, "NaN")]),
    ]
    found = await metrics.result("metrics_outliers", query="busy")
    first, *rest = found["data"]["members"]
    assert (first["labels"], first["differs"]) == ({"pod": "hot"}, True)
    assert first["ratio"] == pytest.approx(3.0, rel=0.05)
    assert not any(member["differs"] for member in rest)
    assert (found["data"]["fleet"], found["data"]["without_data"], found["data"]["threshold"]) == (6, 1, 5.51)
    assert "1 differs from the rest" in found["summary"]


async def test_a_quiet_fleet_has_none_and_one_too_small_is_not_judged(metrics: Caller, world: World) -> None:
    world.metrics.courses["busy"] = [({"pod": f"p{number}"}, around(NOW, 10.0, number)) for number in range(5)]
    assert "none differs" in (await metrics.result("metrics_outliers", query="busy"))["summary"]
    world.metrics.courses["busy"] = [({"pod": "a"}, around(NOW, 1.0)), ({"pod": "b"}, around(NOW, 9.0))]
    small = await metrics.result("metrics_outliers", query="busy")
    assert small["data"]["threshold"] is None
    assert "too few" in small["summary"]
    assert "No data" in (await metrics.result("metrics_outliers", query="nothing"))["summary"]
