"""Scrape configuration, relabelling, discovery in the cluster, and the limits of a target."""

import asyncio
import gzip
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midwatch_contracts.clock import VirtualClock
from midwatch_lab.discovery import Discoverer
from midwatch_lab.metrics.errors import ScrapeError
from midwatch_lab.metrics.exposition import Page, format_of
from midwatch_lab.metrics.exposition_lines import OPEN_METRICS, TEXT, Format
from midwatch_lab.metrics.labels import from_dict
from midwatch_lab.metrics.pages import Fetched, fetch_page
from midwatch_lab.metrics.relabelling import Rule, relabelled
from midwatch_lab.metrics.scrape_config import Job, read_jobs
from midwatch_lab.metrics.service import MetricsService
from midwatch_lab.metrics.store import Series, is_stale
from midwatch_lab.metrics.targets import Dropped, Target, populated
from midwatch_lab.scraping import SERVICES_JOB

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not YAML"),
        ("scrape_configs: [{}]", "job_name is empty"),
        ("scrape_configs: [{job_name: a}, {job_name: a}]", 'multiple scrape configs with job name "a"'),
        ("scrape_configs: [{job_name: a, basic_auth: {}}]", "field basic_auth is not offered"),
        ("scrape_configs: [{job_name: a, scheme: https}]", "over http"),
        ("scrape_configs: [{job_name: a, scrape_interval: soon}]", "not a valid duration string"),
        ("scrape_configs: [{job_name: a, scrape_interval: 1s, scrape_timeout: 2s}]", "greater than scrape interval"),
        ("scrape_configs: [{job_name: a, sample_limit: -1}]", "whole number"),
        ("scrape_configs: [{job_name: a, body_size_limit: 10X}]", "a size such as 10MB"),
        ("scrape_configs: [{job_name: a, honor_labels: maybe}]", "true or false"),
        ("scrape_configs: [{job_name: a, static_configs: [{targets: ['http://b']}]}]", "not a valid hostname"),
        ("scrape_configs: [{job_name: a, kubernetes_sd_configs: [{role: ingress}]}]", "role is one of"),
        ("scrape_configs: [{job_name: a, fallback_scrape_protocol: JSON}]", "fallback_scrape_protocol is one of"),
        ("scrape_configs: [{job_name: a, relabel_configs: [{}]}]", "requires 'target_label' value"),
        ("scrape_configs: [{job_name: a, relabel_configs: [{action: fly}]}]", 'unknown relabel action "fly"'),
        ("scrape_configs: [{job_name: a, relabel_configs: [{action: keep, regex: '('}]}]", "not one of RE2"),
        ("scrape_configs: [{job_name: a, relabel_configs: [{action: hashmod, target_label: b}]}]", "non-zero modulus"),
        ("scrape_configs: [{job_name: a, relabel_configs: [{action: labeldrop, source_labels: [b]}]}]", "only 'regex'"),
        ("scrape_configs: [{job_name: a, relabel_configs: [{foo: b}]}]", "field foo not found"),
    ],
)
def test_a_configuration_that_cannot_be_is_refused_by_name(text: str, message: str) -> None:
    with pytest.raises(ScrapeError, match=message):
        read_jobs(text)


def test_a_job_has_its_own_settings_before_the_global_ones() -> None:
    text = "global: {scrape_interval: 15s}\nscrape_configs: [{job_name: a}, {job_name: b, scrape_interval: 1m}]"
    assert [job.interval_s for job in read_jobs(text)] == [15, 60]
    assert read_jobs("scrape_configs: [{job_name: a, body_size_limit: 1.5MB}]")[0].body_size_limit == 1572864


def test_a_rule_that_matches_nothing_changes_nothing() -> None:
    rules = (Rule(source_labels=("a",), regex="z", target_label="b", replacement="c"),)
    assert relabelled({"a": "x", "empty": ""}, rules) == {"a": "x"}


@pytest.mark.parametrize(
    ("labels", "problem"),
    [
        ({}, "no address"),
        ({"__address__": "a/b"}, "not a valid hostname"),
        ({"__address__": "a", "__scrape_interval__": "soon"}, "error parsing scrape interval"),
        ({"__address__": "a", "__scrape_timeout__": "0s"}, "scrape timeout cannot be 0"),
        ({"__address__": "a", "__scrape_timeout__": "1h"}, "cannot be greater"),
    ],
)
def test_a_target_that_cannot_be_scraped_says_why(labels: dict[str, str], problem: str) -> None:
    found = populated(labels, Job("j"), 15, 10)
    assert isinstance(found, Dropped)
    assert problem in found.problem


def _pod(name: str, phase: str = "Running") -> dict[str, Any]:
    return {
        "metadata": {"name": name, "namespace": "chat", "uid": name, "labels": {"app": "chat"}},
        "spec": {"nodeName": "n", "containers": [{"name": "server", "ports": [{"containerPort": 8000}]}]},
        "status": {"phase": phase, "podIP": f"127.0.0.{len(name)}"},
    }


class _Objects:
    """One Service with two ports, and the pods behind it."""

    def __init__(self) -> None:
        ports = [{"name": "other", "port": 1}, {"name": "http", "port": 80, "targetPort": 8000}]
        service = {
            "metadata": {"name": "chat", "namespace": "chat", "annotations": {"prometheus.io/scrape": "yes"}},
            "spec": {"selector": {"app": "chat"}, "ports": ports},
        }
        self.found = {"services": [service], "pods": [_pod("a"), _pod("bb", "Pending")]}

    def items(self, key: tuple[str, str], namespace: str = "") -> list[dict[str, Any]]:
        assert namespace in ("", "chat")
        return self.found.get(key[1], [])


def test_pods_behind_services_are_found_with_the_labels_of_the_original_and_the_rest_is_shown_as_dropped() -> None:
    objects = _Objects()
    discoverer = Discoverer(objects, (SERVICES_JOB,))
    active = [one for one in discoverer.targets() if isinstance(one, Target)]
    dropped = [one for one in discoverer.targets() if isinstance(one, Dropped)]
    assert [(one.labels, one.url) for one in active] == [
        (
            {
                "namespace": "chat",
                "pod": "a",
                "container": "server",
                "service": "chat",
                "endpoint": "http",
                "job": "chat",
                "instance": "127.0.0.1:8000",
            },
            "http://127.0.0.1:8000/metrics",
        )
    ]
    known = active[0].discovered
    assert known["__meta_kubernetes_service_annotation_prometheus_io_scrape"] == "yes"
    assert known["__meta_kubernetes_pod_label_app"] == "chat"
    assert known["__meta_kubernetes_pod_container_port_number"] == "8000"
    assert [one.discovered["__meta_kubernetes_endpoint_port_name"] for one in dropped] == ["other", "other", "http"]
    assert discoverer.targets()[1] is active[0], "what did not change is not made again"
    objects.found["pods"] = [_pod("a"), _pod("bb")]
    assert sum(isinstance(one, Target) for one in discoverer.targets()) == 2
    objects.found["pods"] = []
    assert discoverer.targets() == []


def test_a_job_of_pods_finds_each_port_in_its_namespaces() -> None:
    text = "scrape_configs: [{job_name: p, kubernetes_sd_configs: [{role: pod, namespaces: {names: [%s]}}]}]"
    found = Discoverer(_Objects(), read_jobs(text % "chat")).targets()
    assert [one.url for one in found if isinstance(one, Target)] == [
        "http://127.0.0.1:8000/metrics",
        "http://127.0.0.2:8000/metrics",
    ]
    assert Discoverer(_Objects(), read_jobs(text % "elsewhere")).targets() == []


class _Scraped:
    """A service that scrapes one job, whose page a test writes."""

    def __init__(self, job: Job) -> None:
        self.clock = VirtualClock(1_700_000_000)
        self.page = "a 1\n"
        found = populated({"__address__": "x:1"}, job, 1, 1)
        self.service = MetricsService(self.clock, lambda: [found], fetch=self.fetch)

    async def fetch(self, _url: str, _timeout_s: float, _limit: int) -> Fetched:
        return Fetched(self.page, "text/plain", len(self.page))

    async def scrape(self) -> str:
        await self.service.scraper.once()
        await self.clock.advance(1)
        return next(iter(self.service.scraper.scrapes.values())).last_error

    def values(self, name: str) -> list[float]:
        found = [series for series in self.service.store if series.lookup["__name__"] == name]
        return [value for series in found for _, value in series.samples()]


async def test_a_page_beyond_a_limit_counts_for_nothing_and_says_which() -> None:
    world = _Scraped(Job("j", sample_limit=2, label_value_length_limit=20, extra_scrape_metrics=True))
    assert await world.scrape() == ""
    world.page = "a 1\nb 1\nc 1\n"
    assert await world.scrape() == "sample limit exceeded"
    world.page = 'a{b="123456789012345678901"} 1\n'
    assert "label_value_length_limit exceeded (metric: a, label name: b" in await world.scrape()
    assert world.values("up") == [1, 0, 0]
    assert world.values("scrape_samples_scraped") == [1, 3, 1]
    assert world.values("scrape_sample_limit") == [2, 2, 2]
    assert world.values("scrape_body_size_bytes") == [4, 12, 31]


async def test_a_job_is_scraped_at_its_own_interval() -> None:
    world = _Scraped(Job("j", interval_s=3, timeout_s=3))
    task = asyncio.create_task(world.service.scraper.run())
    for _ in range(7):
        for _ in range(20):
            await asyncio.sleep(0)
        await world.clock.advance(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    samples = next(series.samples() for series in world.service.store if series.lookup["__name__"] == "up")
    assert [at - 1_700_000_000_000 for at, _ in samples] == [0, 1000, 4000, 7000]


async def test_a_target_whose_job_changes_is_scraped_by_the_new_one_and_old_series_end() -> None:
    world = _Scraped(Job("j"))
    world.page = "a 1\nb 1\n"
    await world.scrape()
    drop = (Rule("drop", ("__name__",), regex="b"),)
    found = populated({"__address__": "x:1"}, Job("j", metric_relabel=drop), 1, 1)
    world.service.scraper.targets = lambda: [found]
    await world.scrape()
    assert [is_stale(value) for value in world.values("b")] == [False, True]
    assert world.values("a") == [1, 1]
    assert world.values("scrape_samples_post_metric_relabeling") == [2, 1]


async def test_a_sample_whose_own_time_is_far_off_is_left_out() -> None:
    world = _Scraped(Job("j"))
    now = round(world.clock.now() * 1000)
    world.page = f"a 1 {now + 600_001}\nb 2 {now + 600_000}\nc 3 {now - 3_600_001}\nd 4 {now - 3_600_000}\n"
    assert await world.scrape() == ""
    assert [world.values(name) for name in "abcd"] == [[], [2], [], [4]]
    assert world.values("scrape_samples_post_metric_relabeling") == [2]


def test_lines_of_a_page_whose_labels_come_and_go_are_not_kept_for_ever() -> None:
    resolved: list[str] = []

    def resolve(labels: dict[str, str]) -> Series:
        resolved.append(labels["id"])
        return Series(from_dict(labels))

    page = Page(resolve)
    for number in (*range(3000), 2999, 0):
        page.read(f'a{{id="{number}"}} 1\n')
    assert resolved[2999:] == ["2999", "0"], "the last line was known, the first of so many is not any more"


async def test_a_packed_page_is_unpacked_and_never_beyond_its_limit() -> None:
    body = gzip.compress(b"a 1\n" * 100_000)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/metrics"
        assert (await fetch_page(url, 5, 0)).size == 400_000
        with pytest.raises(ScrapeError, match="body size limit exceeded"):
            await fetch_page(url, 5, 399_999)


def test_a_page_in_openmetrics_is_read_by_its_content_type() -> None:
    page = Page(lambda labels: Series(from_dict(labels)))
    text = '# TYPE h histogram\n# UNIT h_seconds seconds\nh_bucket{le="1"} 2 1.5 # {id="x"} 0.5\n# EOF\n'
    for _ in range(2):
        reading = page.read(text, format_of("application/openmetrics-text; version=1.0.0"))
        assert (reading.error, reading.samples[0].value, reading.samples[0].time_ms) == ("", 2, 1500)
        assert reading.samples[0].series.lookup["le"] == "1.0"
    assert page.metadata["h_seconds"].unit == "seconds"
    assert page.read(text, format_of("text/plain")).error.startswith("line 3: ")
    with pytest.raises(ScrapeError, match='unsupported Content-Type "text/html"'):
        format_of("text/html")
    assert format_of("text/html", "application/openmetrics-text").tight


_PIECES = st.sampled_from(
    [
        "a",
        "a_total",
        " ",
        "\t",
        "{",
        "}",
        '"',
        "=",
        ",",
        "\n",
        "1",
        "NaN",
        "# ",
        "TYPE ",
        "HELP ",
        "EOF",
        "\\",
        "\r",
        "é",
        "\udcff",
    ]
)


@given(st.lists(_PIECES, max_size=40).map("".join), st.sampled_from([TEXT, OPEN_METRICS]))
def test_any_text_is_a_page_or_says_what_is_wrong_and_the_same_again(text: str, form: Format) -> None:
    page = Page(lambda labels: Series(from_dict(labels)))
    first, second = page.read(text, form), page.read(text, form)
    shown = [(sample.series.labels, repr(sample.value), sample.time_ms) for sample in first.samples]
    again = [(sample.series.labels, repr(sample.value), sample.time_ms) for sample in second.samples]
    assert (first.error, first.read, shown) == (second.error, second.read, again)
