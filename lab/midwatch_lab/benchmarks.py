"""Benchmarks of the lab: what its API lists, and what its Prometheus evaluates."""

import asyncio
import itertools
import time
from collections.abc import Iterable

import httpx2

from midwatch_contracts.clock import WallClock
from midwatch_contracts.figure import Figure, median_seconds
from midwatch_lab.api.server import ApiServer
from midwatch_lab.api.users import ADMIN, fresh_users
from midwatch_lab.exporters.state.kinds import StateMetrics
from midwatch_lab.kinds.resources import NAMESPACES, PODS
from midwatch_lab.kubelet.logs import ContainerLog
from midwatch_lab.metrics.engine.evaluate import Limits
from midwatch_lab.metrics.engine.query import instant, read
from midwatch_lab.metrics.labels import from_dict
from midwatch_lab.metrics.local import LocalScrape
from midwatch_lab.metrics.store import Store
from midwatch_lab.objects import dig
from midwatch_lab.plane import ControlPlane
from midwatch_lab.store.audit import Origin
from midwatch_lab.topology import chat_topology

ROWS = 1000
LISTS = 7
"""Timed lists of each form."""
SCRAPED_PODS = 3
BUCKETS = 40
SCRAPES = 60
START_S = 1_700_000_000
RUNS = 51
RATES = "rate(ttft_seconds_bucket[20s])"
_TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
_WRITER = Origin("benchmark", "create", "/api/v1/pods", manager="benchmark")


class _NoLogs:
    """The log source of a cluster that runs nothing."""

    def log_of(self, uid: str, container: str, *, previous: bool) -> ContainerLog | None:  # noqa: ARG002 (a protocol)
        return None


def pod_table() -> Iterable[Figure]:
    """Measure a Table of 1,000 pods that carries no objects, beside the list of the objects, both as bytes of HTTP."""
    plane = _plane_with_pods(ROWS)
    users, tokens = fresh_users()
    app = ApiServer(plane.registry, plane.clock, users, _NoLogs())
    headers = {"Authorization": f"Bearer {tokens[ADMIN.name]}"}
    with asyncio.Runner() as runner:
        client = httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://lab", headers=headers)

        def listed(accept: str, include: str) -> httpx2.Response:
            request = client.get(PODS.path("llm"), headers={"Accept": accept}, params={"includeObject": include})
            return runner.run(request).raise_for_status()

        try:
            _check_rows(listed(_TABLE, "None"), "rows")
            _check_rows(listed("application/json", ""), "items")
            table = median_seconds(lambda: listed(_TABLE, "None"), repeat=LISTS)
            objects = median_seconds(lambda: listed("application/json", ""), repeat=LISTS)
        finally:
            runner.run(client.aclose())
    yield Figure.beside("lab_table_1000_ms", table * 1000, "ms", baseline=objects * 1000)


def state_scrape() -> Iterable[Figure]:
    """Measure a scrape of kube-state-metrics' series of 1,000 unchanged pods, beside those that read them."""
    plane = _plane_with_pods(ROWS)
    state = StateMetrics(plane.store)
    scrape = LocalScrape(state.exporter, Store())
    times = itertools.count(START_S)
    begin = time.perf_counter()
    while state.pending:
        scrape.collect(next(times))
    first = time.perf_counter() - begin
    steady = median_seconds(lambda: scrape.collect(next(times)), repeat=RUNS)
    yield Figure.beside("lab_scrape_1000_pods_ms", steady * 1000, "ms", baseline=first * 1000)


def _plane_with_pods(count: int) -> ControlPlane:
    plane = ControlPlane(WallClock())
    plane.registry.create(NAMESPACES, "", {"metadata": {"name": "llm"}}, _WRITER)
    template = dig(chat_topology("llm", "chat")[1], "spec", "template")
    for number in range(count):
        metadata = {**template["metadata"], "name": f"chat-{number:04}"}
        plane.registry.create(PODS, "llm", {**template, "metadata": metadata}, _WRITER)
    return plane


def _check_rows(response: httpx2.Response, key: str) -> None:
    found = len(response.json()[key])
    if found != ROWS:
        raise RuntimeError(f"the lab listed {found} {key} of {ROWS} pods: it is not what should be timed")


def histogram_quantile() -> Iterable[Figure]:
    """Measure a p95 over 3 pods of 40 buckets at 1 s scrapes, in ms, beside the bare rates of the same series.

    `sum(rate(...))` is no baseline: adding 120 series up in one group costs more than 40 groups of three.
    """
    store = _scraped()
    quantile = _evaluation_seconds(store, f"histogram_quantile(0.95, sum by (le) ({RATES}))", series=1)
    rates = _evaluation_seconds(store, RATES, series=SCRAPED_PODS * BUCKETS)
    yield Figure.beside("promql_histogram_quantile_ms", quantile * 1000, "ms", baseline=rates * 1000)


def _evaluation_seconds(store: Store, query: str, *, series: int) -> float:
    expr, now, limits = read(query), START_S + SCRAPES, Limits()
    answer = [points[0][1] for _, points in instant(store, expr, now, limits).series]
    if len(answer) != series or not all(value > 0 for value in answer):
        raise RuntimeError(f"{query} answered {answer}, not {series} values over 0: it is not what should be timed")
    return median_seconds(lambda: instant(store, expr, now, limits), repeat=RUNS)


def _scraped() -> Store:
    store = Store()
    bounds = [f"{(bucket + 1) / 10:.1f}" for bucket in range(BUCKETS - 1)] + ["+Inf"]
    for pod in range(SCRAPED_PODS):
        for count, bound in enumerate(bounds, start=1):
            labels = {"__name__": "ttft_seconds_bucket", "pod": f"chat-{pod}", "le": bound}
            series = store.series(from_dict(labels))
            for scrape in range(SCRAPES):
                store.append(series, (START_S + scrape) * 1000, float(scrape * count))
    return store
