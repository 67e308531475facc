from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from midwatch_contracts.clock import VirtualClock
from midwatch_contracts.entity import Entity
from midwatch_contracts.errors import ContractError
from midwatch_contracts.expectations import (
    Observation,
    Sample,
    UnreadableError,
    Verdict,
    check_expectation,
    freshness_queries,
    judge,
)
from midwatch_contracts.plan import Expectation

pytestmark = pytest.mark.anyio

START = 1_700_000_000.0


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Script:
    """A reader whose value, scrapes and object are functions of the seconds since the end of apply."""

    def __init__(self, clock: VirtualClock) -> None:
        self.clock = clock
        self.values: dict[float, float | None] = {-1e9: 1.0}
        self.scraped_until = 1e18
        self.interval = 1.0
        self.down: tuple[float, float] = (0, 0)
        self.found: Mapping[str, Any] | None = None

    def _t(self) -> float:
        return self.clock.now() - START

    async def query(self, promql: str) -> Sequence[Sample]:
        if self.down[0] < self._t() < self.down[1]:
            raise UnreadableError("connection refused")
        value = self.values[max(at for at in self.values if at <= self._t())]
        if value is None:
            return []
        if promql.startswith("max(timestamp("):
            now = min(self.clock.now(), START + self.scraped_until)
            return [Sample({}, now - now % self.interval)]
        return [Sample({}, value)]

    async def object(self, entity: Entity) -> Mapping[str, Any] | None:
        assert entity.name == "chat"
        return self.found


def expectation(**changed: Any) -> Expectation:
    fields: dict[str, Any] = {"promql": "x", "holds": "value < 0.5", "within_s": 20, "hold_s": 5}
    return Expectation(**(fields | changed))


@pytest.fixture
def script() -> Script:
    return Script(VirtualClock(START, auto=True))


async def judged(script: Script, *expectations: Expectation) -> tuple[Verdict, list[Observation]]:
    seen: list[Observation] = []
    verdict = await judge(expectations, script, script.clock, since=START, on_observation=seen.append)
    return verdict, seen


async def test_a_value_that_becomes_true_and_stays_so_is_met_after_the_hold(script: Script) -> None:
    script.values[7] = 0.2
    verdict, seen = await judged(script, expectation())
    assert verdict.met
    assert seen[-1].at - START == pytest.approx(12)
    assert [o.state for o in seen[:7]] == ["waiting"] * 7


async def test_a_value_that_comes_too_late_fails(script: Script) -> None:
    script.values[21.5] = 0.2
    verdict, seen = await judged(script, expectation())
    assert not verdict.met
    assert seen[-1].at - START == pytest.approx(21)
    assert "not true of 1" in verdict.failed[0]


async def test_a_hold_that_breaks_begins_anew(script: Script) -> None:
    script.values |= {2: 0.2, 5: 1.0, 8: 0.2}
    verdict, seen = await judged(script, expectation())
    assert verdict.met
    assert seen[-1].at - START == pytest.approx(13)


async def test_a_hold_that_breaks_after_the_time_fails(script: Script) -> None:
    script.values |= {18: 0.2, 22: 1.0}
    verdict, _ = await judged(script, expectation())
    assert not verdict.met


async def test_samples_from_before_the_change_are_stale_however_good(script: Script) -> None:
    script.values = {-1e9: 0.1}
    script.scraped_until = 0
    verdict, seen = await judged(script, expectation())
    assert not verdict.met
    assert {o.reading for o in seen} == {"stale"}


async def test_a_value_that_stands_because_scraping_stopped_is_no_hold(script: Script) -> None:
    script.values = {-1e9: 0.1}
    script.scraped_until = 2
    verdict, _ = await judged(script, expectation())
    assert not verdict.met
    assert "no new samples" in verdict.failed[0]


async def test_a_hold_lasts_two_scrape_intervals_even_when_it_asks_for_less(script: Script) -> None:
    script.values = {-1e9: 0.1}
    script.interval = 10.0
    verdict, seen = await judged(script, expectation(hold_s=0, within_s=60))
    assert verdict.met
    held = [o for o in seen if o.state in ("holding", "met")]
    assert held[-1].at - held[0].at >= 10
    newest = [o.at - o.at % 10 for o in held]
    assert len(set(newest)) == 3


async def test_no_data_waits_or_fails_as_the_expectation_says(script: Script) -> None:
    script.values = {-1e9: None, 6: 0.1}
    assert (await judged(script, expectation()))[0].met
    script = Script(VirtualClock(START, auto=True))
    script.values = {-1e9: None, 6: 0.1}
    verdict, seen = await judged(script, expectation(no_data="fail"))
    assert not verdict.met
    assert len(seen) == 1


async def test_nan_is_no_data_and_not_false(script: Script) -> None:
    script.values = {-1e9: float("nan"), 4: 0.1}
    verdict, seen = await judged(script, expectation())
    assert verdict.met
    assert [o.reading for o in seen[:5]] == ["stale"] + ["no data"] * 3 + ["true"]
    assert seen[0].series[0].value is None


async def test_metrics_that_cannot_be_read_are_waited_for_and_break_a_hold(script: Script) -> None:
    script.values = {-1e9: 0.1}
    script.down = (2.5, 6.5)
    verdict, seen = await judged(script, expectation(no_data="fail"))
    assert verdict.met
    assert seen[-1].at - START == pytest.approx(12)


async def test_all_expectations_hold_together_and_one_that_breaks_later_fails(script: Script) -> None:
    script.values = {-1e9: 0.1, 15: 0.9}
    slow = expectation(promql="y", holds="value > 0.8", within_s=30)
    verdict, _ = await judged(script, expectation(within_s=10), slow)
    assert not verdict.met
    assert verdict.failed[0].startswith("expectation 0")


async def test_an_object_is_judged_by_cel_and_a_missing_field_is_no_data(script: Script) -> None:
    by_object = Expectation(
        object=Entity.parse("Deployment/llm/chat"), cel="object.status.ready >= 3", within_s=10, hold_s=2
    )
    script.found = {"status": {"ready": 3}}
    assert (await judged(script, by_object))[0].met
    script.found = {"status": {}}
    verdict, seen = await judged(script, by_object)
    assert not verdict.met
    assert seen[-1].reading == "no data"
    script.found = None
    assert "there is no Deployment/llm/chat" in (await judged(script, by_object))[0].failed[0]


async def test_every_series_must_hold() -> None:
    script = Script(VirtualClock(START, auto=True))

    async def two(promql: str) -> Sequence[Sample]:
        if promql.startswith("max("):
            return [Sample({}, script.clock.now())]
        return [Sample({"pod": "a"}, 0.1), Sample({"pod": "b"}, 2.0)]

    script.query = two
    verdict, _ = await judged(script, expectation())
    assert not verdict.met


def test_freshness_asks_for_each_selector_without_range_offset_and_at() -> None:
    query = 'rate(a{x="1"}[5m] offset 1m) / sum(b @ 1700000000) + a{x="1"} + max_over_time(rate(c[1m])[10m:1m])'
    assert freshness_queries(query) == [
        'max(timestamp(a{x="1"}))',
        "max(timestamp(b))",
        "max(timestamp(c))",
    ]


@pytest.mark.parametrize(
    "fields",
    [
        {"promql": "rate(", "holds": "value > 1"},
        {"promql": "vector(1)", "holds": "value > 1"},
        {"promql": "x", "holds": "value +"},
        {"promql": "x", "holds": "object.a > 1"},
        {"promql": "x", "holds": "value"},
        {"promql": "x", "holds": "true"},
        {"object": "Pod/a/b", "cel": "value > 1"},
    ],
)
def test_an_expectation_that_cannot_be_judged_is_found_beforehand(fields: dict[str, Any]) -> None:
    with pytest.raises(ContractError):
        check_expectation(Expectation.model_validate({**fields, "within_s": 1, "hold_s": 1}))
