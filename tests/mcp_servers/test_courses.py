"""What `metrics_range` shows of a series: sparkline, thinned points, changes, and counters that are asked for raw."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midwatch_mcp.metrics.courses import GAP, WIDTH, sparkline, thinned
from midwatch_mcp.shapes import Number
from midwatch_mcp.testing.caller import Caller
from midwatch_mcp.testing.world import World

pytestmark = pytest.mark.anyio
NOW = 1_700_000_000.0


def every(seconds: float, values: list[Number]) -> list[tuple[float, Number]]:
    return [(NOW - seconds * (len(values) - 1 - place), value) for place, value in enumerate(values)]


def test_a_sparkline_goes_from_the_least_to_the_most_and_shows_where_nothing_is() -> None:
    assert sparkline(every(1, [0.0, 1.0, 2.0, 3.0]), NOW - 3, NOW, 4) == "▁▃▆█"
    assert sparkline([(NOW - 3, 1.0), (NOW, 2.0)], NOW - 3, NOW, 4) == f"▁{GAP}{GAP}█"
    assert sparkline(every(1, ["NaN", "+Inf", 1.0, "-Inf"]), NOW - 3, NOW, 4) == f"{GAP}█▁▁"
    assert sparkline(every(1, [5.0, 5.0]), NOW - 1, NOW, 2) == "▁▁"
    assert sparkline([], NOW - 1, NOW, 3) == GAP * 3
    assert sparkline(every(1, [-1e308, 1e308]), NOW - 1, NOW, 2) == "▁█"


numbers = st.one_of(st.floats(-1e9, 1e9), st.sampled_from(["NaN", "+Inf"]))


@given(st.lists(numbers, max_size=300), st.integers(4, 60))
def test_whatever_is_left_out_the_least_and_the_most_stay_and_the_order(values: list[Number], most: int) -> None:
    points = every(1, values)
    kept = thinned(points, most)
    assert len(kept) <= most
    assert kept == sorted(kept, key=lambda point: point[0])
    assert set(kept) <= set(points)
    told, all_told = ([v for _, v in some if isinstance(v, float)] for some in (kept, points))
    assert (min(told, default=None), max(told, default=None)) == (
        min(all_told, default=None),
        max(all_told, default=None),
    )


async def test_a_spike_of_one_sample_stays_among_few_points(metrics: Caller, world: World) -> None:
    values: list[str] = ["1"] * 200
    values[77] = "99"
    world.metrics.courses["busy"] = [({}, [(NOW - 199 + place, value) for place, value in enumerate(values)])]
    found = await metrics.result("metrics_range", query="busy", duration="200s", points=20)
    (course,) = found["data"]["series"]
    assert len(course["points"]) <= 20
    assert [NOW - 122, 99.0] in course["points"]
    assert course["sparkline"].count("█") == 1
    assert len(course["sparkline"]) == WIDTH
    assert course["sparkline"] in found["summary"]
    assert course["changes"] == []
    assert found["evidence"]["truncated"] is True
    whole = await metrics.data("evidence_read", id=found["evidence"]["id"], path="/series/0/points/77")
    assert whole["value"] == [NOW - 122, 99.0]


async def test_a_change_of_level_is_told_with_its_time_and_both_levels(metrics: Caller, world: World) -> None:
    calm = [(NOW - 119 + place, str(1 + place % 3 / 10)) for place in range(120)]
    moved = [(at, value if at < NOW - 40 else "5") for at, value in calm]
    world.metrics.courses["ttft"] = [({}, moved)]
    found = await metrics.result("metrics_range", query="ttft", duration="2m")
    assert found["data"]["series"][0]["changes"] == [{"at": NOW - 40, "before": 1.1, "after": 5.0}]
    assert "Level 1.1 until 2023-11-14T22:12:40.000Z, then 5." in found["summary"]
    world.metrics.courses["ttft"] = [({"pod": "a"}, calm), ({"pod": "b"}, moved)]
    summary = (await metrics.result("metrics_range", query="ttft", duration="2m"))["summary"]
    assert "1 of them changed their level, last 2023-11-14T22:12:40.000Z" in summary


async def test_a_counter_asked_for_raw_is_hinted_at_and_its_resets_are_counted(metrics: Caller, world: World) -> None:
    rises = [(NOW - 59 + place, str(place % 30)) for place in range(60)]
    falls = [(NOW - 59 + place, str(place % 2)) for place in range(60)]
    world.metrics.courses["sum(requests_total)"] = [({}, rises)]
    world.metrics.courses["rate(requests_total[1m])"] = [({}, rises)]
    world.metrics.courses["pods_total"] = [({}, falls)]
    found = await metrics.result("metrics_range", query="sum(requests_total)", duration="1m")
    assert found["data"]["series"][0]["resets"] == 1
    assert "ask rate(requests_total[5m])" in found["summary"]
    for query in ("rate(requests_total[1m])", "pods_total"):
        data = await metrics.data("metrics_range", query=query, duration="1m")
        assert (data["series"][0]["resets"], data["hint"]) == (None, None)


async def test_warnings_of_the_api_are_passed_on(metrics: Caller, world: World) -> None:
    world.metrics.warnings = ["partial response: store 10.0.0.3 is down"]
    for tool in ("metrics_query", "metrics_range"):
        found = await metrics.result(tool, query="up")
        assert found["data"]["warnings"] == ["partial response: store 10.0.0.3 is down"]
        assert "The API warns of its answer" in found["summary"]


async def test_names_and_labels_beyond_the_old_alphabet_are_asked_for(metrics: Caller, world: World) -> None:
    query = 'sum by ("k8s.pod") (rate({"http.server.requests", "url.path"="/v1/chat"}[5m]))'
    world.metrics.vectors[query] = [({"k8s.pod": "a"}, "1")]
    assert (await metrics.data("metrics_query", query=query))["series"][0]["labels"] == {"k8s.pod": "a"}
