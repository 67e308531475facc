"""Targets within the lab: what changed is read, what is gone ends, and the API tells of them as of any target."""

from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import httpx2
import pytest

from midwatch_contracts.clock import VirtualClock
from midwatch_lab.exporters.state.kinds import StateMetrics
from midwatch_lab.kinds.resources import CONFIGMAPS
from midwatch_lab.metrics.engine.evaluate import Limits
from midwatch_lab.metrics.engine.query import instant, read
from midwatch_lab.metrics.gauges import Gauge, Gauges, Group
from midwatch_lab.metrics.labels import Labels
from midwatch_lab.metrics.service import MetricsService
from midwatch_lab.metrics.store import Store
from midwatch_lab.plane import ControlPlane
from midwatch_lab.store.audit import Origin

pytestmark = pytest.mark.anyio
ORIGIN = Origin("admin", "create", "/")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class World:
    def __init__(self) -> None:
        self.clock = VirtualClock(1_700_000_000.0)
        self.plane = ControlPlane(self.clock)
        self.state = StateMetrics(self.plane.store)
        self.service = MetricsService(self.clock, tuple, [self.state.exporter])

    def make(self, name: str) -> None:
        self.plane.registry.create(CONFIGMAPS, "default", {"metadata": {"name": name}, "data": {"a": "b"}}, ORIGIN)

    async def tick(self) -> None:
        await self.service.scraper.once()
        await self.clock.advance(1.0)

    def ask(self, query: str) -> dict[Labels, float]:
        result = instant(self.service.store, read(query), self.clock.now(), Limits())
        return {labels: points[0][1] for labels, points in result.series}

    async def get(self, path: str, **parameters: str) -> Any:
        transport = httpx2.ASGITransport(app=self.service.app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://lab") as client:
            return (await client.get(path, params=parameters)).json()["data"]


async def test_a_scrape_reads_only_what_was_written_since_the_one_before() -> None:
    world = World()
    world.make("one")
    await world.tick()
    assert list(world.state.groups()) == []
    world.make("two")
    assert [group.state["metadata"]["name"] for group in world.state.groups()] == ["two"]
    world.make("three")
    await world.tick()
    names = {dict(labels)["configmap"] for labels in world.ask('kube_configmap_info{namespace="default"}')}
    assert names == {"one", "three"}, "the second was taken by the test"


async def test_of_very_many_objects_a_scrape_reads_a_part_and_the_next_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World()
    while world.state.pending:
        await world.tick()
    monkeypatch.setattr("midwatch_lab.exporters.state.kinds._AT_ONCE", 2)
    for name in ("one", "two", "three"):
        world.make(name)
    read = [[group.state["metadata"]["name"] for group in world.state.groups()] for _ in range(3)]
    assert read == [["one", "two"], ["three"], []]


async def test_an_object_that_is_gone_has_no_series_and_its_successor_has_its_own() -> None:
    world = World()
    world.make("one")
    await world.tick()
    version = world.ask('kube_configmap_metadata_resource_version{configmap="one"}')
    found = world.plane.registry.read(CONFIGMAPS, "default", "one")
    world.plane.store.delete(CONFIGMAPS, found, ORIGIN)
    await world.tick()
    assert world.ask('kube_configmap_info{configmap="one"}') == {}
    world.make("one")
    await world.tick()
    after = world.ask('kube_configmap_metadata_resource_version{configmap="one"}')
    assert after.keys() == version.keys()
    assert list(after.values()) > list(version.values())


async def test_an_object_that_was_made_again_between_two_scrapes_has_its_series_at_once() -> None:
    world = World()
    world.make("one")
    await world.tick()
    found = world.plane.registry.read(CONFIGMAPS, "default", "one")
    world.plane.store.delete(CONFIGMAPS, found, ORIGIN)
    world.make("one")
    await world.tick()
    made = world.plane.registry.read(CONFIGMAPS, "default", "one")
    ((_, version),) = world.ask('kube_configmap_metadata_resource_version{configmap="one"}').items()
    assert version == float(made["metadata"]["resourceVersion"])
    assert len(world.ask('kube_configmap_info{configmap="one"}')) == 1


async def test_the_api_lists_the_target_with_its_reports_and_tells_what_its_series_mean() -> None:
    world = World()
    world.make("one")
    await world.tick()
    (target,) = (await world.get("/api/v1/targets"))["activeTargets"]
    assert target["labels"] == {"job": "kube-state-metrics", "instance": "lab"}
    assert (target["health"], target["lastError"], target["scrapePool"]) == ("up", "", "kube-state-metrics")
    assert list(world.ask('up{job="kube-state-metrics"}').values()) == [1]
    samples = next(iter(world.ask("scrape_samples_scraped").values()))
    assert samples == next(iter(world.ask('count({__name__=~"kube_.+"})').values()))
    said = await world.get("/api/v1/metadata", metric="kube_pod_container_status_restarts_total")
    assert said["kube_pod_container_status_restarts_total"][0]["type"] == "counter"
    assert (await world.get("/api/v1/metadata", metric="kube_node_info"))["kube_node_info"][0]["help"]


def broken(_state: object) -> Iterable[Gauge]:
    raise KeyError("spec")


def as_it_is(state: Gauge) -> list[Gauge]:
    return [state]


async def test_an_object_that_cannot_be_read_has_no_series_and_ends_nothing_else() -> None:
    gauges = Gauges(Store(), {"job": "lab"})
    good: Gauge = ("x", {"name": "good"}, 1.0)
    bad: Gauge = ("x", {"name": "bad"}, 1.0)
    assert gauges.collect([Group("good", good, as_it_is), Group("bad", bad, as_it_is)], 1000) == 2
    gauges.collect([Group("good", good, as_it_is), Group("bad", object(), broken)], 2000)
    assert (gauges.size, gauges.faults) == (1, {"bad": "bad: KeyError: 'spec'"})
    gauges.collect([Group("good", good, as_it_is)], 3000)
    assert gauges.faults == {}


async def test_what_is_measured_is_written_once_a_measurement_so_that_counters_keep_their_rates() -> None:
    store = Store()
    gauges = Gauges(store)
    measured: Gauge = ("cpu", {}, 0.0)
    for second in range(1, 11):
        if second % 5 == 0:
            measured = ("cpu", {}, float(second))
        gauges.collect([Group("a", measured, as_it_is, measured=True)], second * 1000)
    (series,) = store
    assert [at for at, _ in series.samples()] == [1000, 5000, 10_000]
    gauges.collect([], 11_000)
    assert [at for at, _ in series.samples()] == [1000, 5000, 10_000, 11_000], "a staleness marker"


async def test_a_series_waits_for_its_turn_two_minutes_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("midwatch_lab.metrics.gauges.A_SCRAPE", 1)
    store = Store()
    gauges = Gauges(store)
    objects: list[Gauge] = [("x", {"n": str(number)}, 1.0) for number in range(600)]
    for second in range(300):
        gauges.collect([Group(one[1]["n"], one, as_it_is) for one in objects], second * 1000)
    pauses = {later - sooner for series in store for sooner, later in pairwise(at for at, _ in series.samples())}
    assert max(pauses) <= 120_000
