"""From a target's page to series: the text format, freshness, staleness, and what a failing target leaves behind."""

import asyncio
import math
import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midwatch_contracts.clock import VirtualClock
from midwatch_contracts.promql import Matcher
from midwatch_lab.load.errors import HttpError
from midwatch_lab.metrics import gauges
from midwatch_lab.metrics.engine.evaluate import Limits
from midwatch_lab.metrics.engine.query import instant, read
from midwatch_lab.metrics.exposition import ACCEPT, Page
from midwatch_lab.metrics.gauges import Gauge, Group
from midwatch_lab.metrics.labels import Labels, from_dict
from midwatch_lab.metrics.local import Exporter
from midwatch_lab.metrics.numbers import bound_text
from midwatch_lab.metrics.pages import Fetched
from midwatch_lab.metrics.service import MetricsService
from midwatch_lab.metrics.store import Series, Store
from midwatch_lab.metrics.targets import Target

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def _page() -> Page:
    return Page(lambda labels: Series(from_dict(labels)))


def _read(text: str) -> list[tuple[dict[str, str], float]]:
    reading = _page().read(text)
    assert reading.error == ""
    return [(dict(sample.series.labels), sample.value) for sample in reading.samples]


START = 1_700_000_000.0


async def settle() -> None:
    """Let tasks that were just made reach their first sleep."""
    for _ in range(20):
        await asyncio.sleep(0)


def as_it_is(state: Gauge) -> list[Gauge]:
    """Read the one gauge of an object that is its gauge."""
    return [state]


class World:
    """Two pods whose pages a test writes, and the service that scrapes them on a virtual clock."""

    def __init__(self, timeout_s: float = 1.0, *, exporting: bool = False) -> None:
        self.clock = VirtualClock(START)
        self.pages: dict[str, str | Exception] = {"http://a/metrics": "x 1\ny 2\n", "http://b/metrics": "x 5\n"}
        self.gauges: list[Gauge] = []
        self.hanging: set[str] = set()
        exporters = [Exporter(Target({"job": "lab"}, "lab://lab"), {}, self.groups)] if exporting else []
        self.service = MetricsService(self.clock, self.targets, exporters, fetch=self.fetch, timeout_s=timeout_s)

    def targets(self) -> list[Target]:
        return [Target({"pod": url[7], "job": "chat", "instance": url[7:8] + ":8000"}, url) for url in self.pages]

    async def fetch(self, url: str, _timeout_s: float, _limit: int) -> Fetched:
        if url in self.hanging:
            await asyncio.sleep(0)
            raise TimeoutError
        page = self.pages[url]
        if isinstance(page, Exception):
            raise page
        return Fetched(page, "text/plain; version=0.0.4", len(page))

    def groups(self) -> list[Group]:
        """One object a gauge, which is another once its gauge is."""
        return [Group((gauge[0], *gauge[1].values()), gauge, as_it_is) for gauge in self.gauges]

    async def tick(self) -> None:
        await self.service.scraper.once()
        await self.clock.advance(1.0)

    def ask(self, query: str) -> dict[Labels, float]:
        result = instant(self.service.store, read(query), self.clock.now(), Limits())
        return {labels: points[0][1] for labels, points in result.series}

    def values(self, query: str) -> list[float]:
        return sorted(self.ask(query).values())


def test_every_form_of_line_is_read() -> None:
    text = (
        "# just a comment\n# HELP a An \\\\ a\n# TYPE a counter\n"
        'a 1\na{b="c"} 2.5\na{ b = "q\\"\\n\\\\" , } NaN\n{"utf.8",b="d"} -Inf\na{b="x y} 3"} 1e3 1700000000000\n\n'
    )
    found = _read(text)
    assert [labels for labels, _ in found] == [
        {"__name__": "a"},
        {"__name__": "a", "b": "c"},
        {"__name__": "a", "b": 'q"\n\\'},
        {"__name__": "utf.8", "b": "d"},
        {"__name__": "a", "b": "x y} 3"},
    ]
    assert found[0][1] == 1
    assert math.isnan(found[2][1])
    assert found[3][1] == -math.inf
    page = _page()
    assert page.read(text).samples[4].time_ms == 1_700_000_000_000
    assert (page.metadata["a"].type, page.metadata["a"].help) == ("counter", "An \\ a")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("a", "no value"),
        ("a b", "no number"),
        ("a 1 2 3", "no value behind the labels, or more"),
        ("a 1 x", "no time"),
        ('a{b="c" 1', "not closed"),
        ("a{b=c} 1", "has no value"),
        ('a{b="c",b="d"} 1', "twice"),
        ("1a 1", "no metric name"),
        ('{b="c"} 1', "no metric name"),
        ("# TYPE a gouge", "unknown type"),
        ("a{} 1 # {} 2", "no value behind the labels, or more"),
    ],
)
def test_a_page_with_a_bad_line_is_refused_by_line(line: str, message: str) -> None:
    assert re.match(f"line 2: .*{message}", _page().read(f"ok 1\n{line}\n").error)


def test_a_known_line_with_a_bad_value_is_refused_too() -> None:
    page = _page()
    page.read("a 1\n")
    for odd in ("one", "1_0", "1\r", "0x1", "1e999", "+nan", "\u0661"):
        assert page.read(f"a {odd}\n").error.startswith("line 1: "), odd
    assert page.read("a 2\n").samples[0].value == 2


def test_bounds_become_floats_when_scraped_and_only_on_histograms_and_summaries() -> None:
    text = (
        "# TYPE h histogram\n"
        'h_bucket{le="1"} 1\nh_bucket{le="0.5"} 1\nh_bucket{le="1000000"} 1\nh_bucket{le="+Inf"} 1\n'
        '# TYPE s summary\ns{quantile="1"} 1\n# TYPE g gauge\ng{le="1"} 1\n'
    )
    shown = [labels.get("le", labels.get("quantile")) for labels, _ in _read(text)]
    assert shown == ["1.0", "0.5", "1e+06", "+Inf", "1.0", "1"]


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0.0"), (5, "5.0"), (0.00005, "5e-05"), (123456, "123456.0"), (1234567.0, "1.234567e+06"), (-2.5, "-2.5")],
)
def test_bounds_are_written_as_go_writes_them(value: float, text: str) -> None:
    assert bound_text(value) == text


_NAMES = st.sampled_from(["a", "b:c", "h_bucket"])
_VALUES = st.text(st.characters(codec="utf-8", exclude_characters="\n\r"), max_size=6)


@given(st.lists(st.tuples(_NAMES, _VALUES, st.floats(allow_nan=False)), max_size=8, unique_by=lambda t: t[:2]))
def test_a_page_read_again_gives_what_a_first_reading_gives(lines: list[tuple[str, str, float]]) -> None:
    def written(shift: float) -> str:
        return "".join(
            '{}{{l="{}"}} {}\n'.format(name, value.replace("\\", "\\\\").replace('"', '\\"'), number + shift)
            for name, value, number in lines
        )

    page = _page()
    page.read(written(0))
    again = [(sample.series.labels, sample.value) for sample in page.read(written(1)).samples]
    assert again == [(sample.series.labels, sample.value) for sample in _page().read(written(1)).samples]
    assert [dict(labels).get("l", "") for labels, _ in again] == [value for _, value, _ in lines]


async def test_scraped_series_carry_their_targets_labels_and_a_clash_is_renamed() -> None:
    world = World()
    world.pages["http://a/metrics"] = 'x{pod="mine",q="r"} 1\n'
    await world.tick()
    assert from_dict(
        {"__name__": "x", "pod": "a", "exported_pod": "mine", "q": "r", "job": "chat", "instance": "a:8000"}
    ) in world.ask("x")


async def test_every_target_reports_on_its_scrape() -> None:
    world = World()
    await world.tick()
    assert world.values("up") == [1, 1]
    assert world.values("scrape_samples_scraped") == [1, 2]
    assert world.values("scrape_series_added") == [1, 2]
    assert all(0 <= seconds < 1 for seconds in world.values("scrape_duration_seconds"))
    await world.tick()
    assert world.values("scrape_series_added") == [0, 0]


async def test_a_series_that_its_target_no_longer_shows_ends_at_once() -> None:
    world = World()
    await world.tick()
    assert world.values("y") == [2]
    world.pages["http://a/metrics"] = "x 2\n"
    await world.tick()
    assert world.values("y") == []
    assert world.values("x") == [2, 5]
    world.pages["http://a/metrics"] = "x 3\ny 4\n"
    await world.tick()
    assert world.values("y") == [4]


@pytest.mark.parametrize("failure", [OSError("refused"), HttpError("HTTP status 500"), "not a page at all"])
async def test_a_failed_scrape_ends_the_targets_series_and_says_why(failure: str | Exception) -> None:
    world = World()
    await world.tick()
    world.pages["http://a/metrics"] = failure
    await world.tick()
    assert world.values("x") == [5]
    assert world.values("up") == [0, 1]
    scrape = next(s for s in world.service.scraper.scrapes.values() if s.labels[-1] == ("pod", "a"))
    assert scrape.health == "down"
    assert scrape.last_error


async def test_a_target_that_does_not_answer_in_time_is_down() -> None:
    world = World()
    world.hanging.add("http://a/metrics")
    await world.tick()
    assert world.values("up") == [0, 1]
    assert "no answer within 1 s" in {s.last_error for s in world.service.scraper.scrapes.values()}


async def test_a_target_that_goes_away_leaves_no_fresh_series() -> None:
    world = World()
    await world.tick()
    del world.pages["http://a/metrics"]
    await world.tick()
    assert world.values("x") == [5]
    assert world.values("up") == [1]
    assert world.values("scrape_duration_seconds") == [pytest.approx(0, abs=1)]


async def test_gauges_of_the_lab_are_collected_and_end_when_they_are_gone() -> None:
    world = World(exporting=True)
    world.gauges = [("kube_pod_status_phase", {"pod": "a", "phase": "Running"}, 1.0)]
    await world.tick()
    assert world.values("kube_pod_status_phase") == [1]
    world.gauges = []
    await world.tick()
    assert world.values("kube_pod_status_phase") == []


async def test_what_changes_in_a_large_lab_is_written_at_once_and_the_rest_in_turns(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(gauges, "A_SCRAPE", 2)
    world = World(exporting=True)
    world.gauges = [("kube_pod_info", {"pod": str(number)}, 1.0) for number in range(5)]
    for _ in range(10):
        await world.tick()
    written = [series for series in world.service.store if series.lookup["__name__"] == "kube_pod_info"]
    found = {series.lookup["pod"]: [at for at, _ in series.samples()] for series in written}
    assert {len(times) for times in found.values()} <= {4, 5}, "every third scrape, and at once in the first"
    assert max(later - sooner for times in found.values() for sooner, later in pairwise(times)) == 3000
    world.gauges[1] = ("kube_pod_info", {"pod": "1"}, 2.0)
    del world.gauges[4]
    await world.tick()
    assert sorted(world.values("kube_pod_info")) == [1, 1, 1, 2]


async def test_a_running_service_scrapes_at_every_multiple_of_the_interval() -> None:
    world = World()
    task = asyncio.create_task(world.service.run())
    await settle()
    for _ in range(20):
        await world.clock.advance(0.5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    series = world.service.store.select([Matcher("__name__", "=", "x"), Matcher("pod", "=", "a")])[0]
    start = round(START * 1000)
    assert [at for at, _ in series.samples()] == [start + 1000 * second for second in range(11)]
    world.clock = VirtualClock(START + 10)
    assert world.values("time() - timestamp(x) < 1.001") == [0, 0]


async def test_a_slow_target_misses_its_turn_and_does_not_hold_up_the_others() -> None:
    world = World()
    gate = asyncio.Event()
    fetch = world.service.scraper.fetch

    async def slow(url: str, timeout_s: float, limit: int) -> Fetched:
        if url.startswith("http://a"):
            await gate.wait()
        return await fetch(url, timeout_s, limit)

    world.service.scraper.fetch = slow
    task = asyncio.create_task(world.service.run())
    await settle()
    await world.clock.advance(3.0)
    assert world.values("count_over_time(x[1h])") == [4]
    gate.set()
    await world.clock.advance(1.0)
    assert world.values("count_over_time(x[1h])") == [2, 5]
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_page_is_fetched_over_http_and_a_bad_status_is_a_failure() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        body = b"7\r\nx{} 4.5\r\n1\r\n\n\r\n0\r\n\r\n"
        if b"/bad" in request:
            writer.write(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n")
        else:
            assert f"Accept: {ACCEPT}".encode() in request
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n" + body)
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    targets = [Target({"pod": path}, f"http://127.0.0.1:{port}/{path}") for path in ("good", "bad")]
    service = MetricsService(VirtualClock(), lambda: targets)
    async with server:
        await service.scraper.once()
    store: Store = service.store
    assert [series.last for series in store.select([Matcher("__name__", "=", "x")])] == [4.5]
    assert {s.target.labels["pod"]: s.last_error for s in service.scraper.scrapes.values()} == {
        "good": "",
        "bad": "server returned HTTP status 503 Busy",
    }
