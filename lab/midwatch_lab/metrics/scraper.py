"""The scraper: every interval, the page of every target into the store.

A series that its target no longer shows, and every series of a target that fails or is gone, ends with a staleness
marker at that scrape, so that an instant query stops showing it at once. Each target also has the series `up`,
`scrape_duration_seconds`, `scrape_samples_scraped`, `scrape_samples_post_metric_relabeling` and `scrape_series_added`.
"""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from midwatch_contracts.clock import Clock
from midwatch_lab.load.errors import HttpError
from midwatch_lab.load.http1 import fetch
from midwatch_lab.metrics.errors import ExpositionError
from midwatch_lab.metrics.exposition import Metadata, Page
from midwatch_lab.metrics.gauges import append
from midwatch_lab.metrics.labels import NAME, Labels, from_dict
from midwatch_lab.metrics.local import Exporter, LocalScrape
from midwatch_lab.metrics.store import STALE, Series, Store
from midwatch_lab.metrics.targets import REPORTS, Target

Fetch = Callable[[str, float], Awaitable[str]]
"""URL and timeout (s) to a page; raises OSError, TimeoutError or HttpError."""

_OK = 200
_ACCEPT = {"Accept": "text/plain;version=0.0.4"}
_PRUNE_EVERY_S = 15.0


async def fetch_page(url: str, timeout_s: float) -> str:
    """Get a page over HTTP."""
    status, body = await fetch(url, timeout_s, _ACCEPT)
    if status != _OK:
        raise HttpError(f"server returned HTTP status {status}")
    return body.decode("utf-8", "replace")


@dataclass
class Scrape:
    """One target, and how its scrapes went."""

    target: Target
    labels: Labels
    page: Page
    reports: list[Series]
    live: dict[Series, None] = field(default_factory=dict[Series, None])
    """The series of the last good page."""
    health: str = "unknown"
    last_error: str = ""
    last_scrape_s: float | None = None
    last_duration_s: float = 0.0
    running: bool = False


def conflict_free(exposed: dict[str, str], target: dict[str, str]) -> Labels:
    """Join the labels of a line and its target; the target's win, a line's own moves to `exported_<name>`."""
    joined = {name: value for name, value in exposed.items() if name not in target}
    for name, value in exposed.items():
        if name in target and value:
            moved = f"exported_{name}"
            while moved in joined or moved in target:
                moved = f"exported_{moved}"
            joined[moved] = value
    return from_dict({**joined, **target})


@dataclass
class Scraper:
    """Scrapes `targets()` and the exporters into a store; times are those of the clock, timeouts those of the wall."""

    clock: Clock
    store: Store
    targets: Callable[[], Sequence[Target]]
    exporters: Sequence[Exporter] = ()
    fetch: Fetch = fetch_page
    interval_s: float = 1.0
    timeout_s: float = 1.0
    scrapes: dict[tuple[Labels, str], Scrape] = field(default_factory=dict[tuple[Labels, str], Scrape])
    local: list[LocalScrape] = field(init=False)
    _pruned_s: float = 0.0

    def __post_init__(self) -> None:
        self.local = [LocalScrape(exporter, self.store) for exporter in self.exporters]

    async def run(self) -> None:
        """Scrape at every multiple of the interval until cancelled; a target that is slow misses its turn."""
        async with asyncio.TaskGroup() as group:
            due = math.ceil(self.clock.now() / self.interval_s) * self.interval_s
            while True:
                await self.clock.sleep(max(0.0, due - self.clock.now()))
                for scrape in self.due(due):
                    group.create_task(self._scrape(scrape, due))
                due = max(due + self.interval_s, math.floor(self.clock.now() / self.interval_s) * self.interval_s)

    async def once(self) -> None:
        """Scrape every target at the clock's time, and return when all are done."""
        now = self.clock.now()
        await asyncio.gather(*(self._scrape(scrape, now) for scrape in self.due(now)))

    def due(self, now: float) -> list[Scrape]:
        """Scrape the exporters, end what is gone, and return the targets to scrape at `now` (Unix seconds)."""
        at = round(now * 1000)
        for scrape in self.local:
            scrape.collect(now)
        wanted = {(from_dict(target.labels), target.url): target for target in self.targets()}
        for key in [key for key in self.scrapes if key not in wanted]:
            self._end(self.scrapes.pop(key), at)
        for key, target in wanted.items():
            if key not in self.scrapes:
                self.scrapes[key] = self._start(target)
        if now - self._pruned_s >= _PRUNE_EVERY_S:
            self._pruned_s = now
            self.store.prune(now)
        return [scrape for scrape in self.scrapes.values() if not scrape.running]

    def metadata(self) -> dict[str, Metadata]:
        """Return what the pages say about their metrics."""
        local = {name: entry for exporter in self.exporters for name, entry in exporter.metadata.items()}
        pages = (scrape.page.metadata for scrape in self.scrapes.values())
        return local | {name: entry for page in pages for name, entry in page.items()}

    def _start(self, target: Target) -> Scrape:
        page = Page(lambda exposed: self.store.series(conflict_free(exposed, target.labels)))
        reports = [self.store.series(from_dict({**target.labels, NAME: name})) for name in REPORTS]
        return Scrape(target, from_dict(target.labels), page, reports)

    async def _scrape(self, scrape: Scrape, now: float) -> None:
        at, begin = round(now * 1000), time.perf_counter()
        scrape.running = True
        scraped, added, error = 0, 0, ""
        try:
            samples = scrape.page.read(await self.fetch(scrape.target.url, self.timeout_s))
        except (TimeoutError, OSError, HttpError, ExpositionError) as caught:
            error = str(caught) or f"no answer within {self.timeout_s:g} s"
            samples = []
        finally:
            scrape.running = False
        if self.scrapes.get((scrape.labels, scrape.target.url)) is not scrape:
            return  # the target went away meanwhile; its series are ended already
        live: dict[Series, None] = {}
        for series, value, own_time in samples:
            if own_time is None:
                live[series] = None
            scraped += append(self.store, series, at if own_time is None else own_time, value)
        added = sum(series not in scrape.live for series in live)
        for series in scrape.live:
            if series not in live:
                append(self.store, series, at, STALE)
        scrape.live = live
        scrape.health, scrape.last_error = ("down", error) if error else ("up", "")
        scrape.last_scrape_s, scrape.last_duration_s = now, time.perf_counter() - begin
        values = (0.0 if error else 1.0, scrape.last_duration_s, len(samples), scraped, added)
        for series, value in zip(scrape.reports, values, strict=True):
            append(self.store, series, at, float(value))

    def _end(self, scrape: Scrape, at: int) -> None:
        for series in (*scrape.live, *scrape.reports):
            if series.times:
                append(self.store, series, max(at, series.times[-1] + 1), STALE)
