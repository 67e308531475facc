"""The scraper: every interval, the page of every target into the store.

A series that its target no longer shows, and every series of a target that fails or is gone, ends with a staleness
marker at that scrape, so that an instant query stops showing it at once. Each target also has the series `up`,
`scrape_duration_seconds`, `scrape_samples_scraped`, `scrape_samples_post_metric_relabeling` and `scrape_series_added`.
"""

import asyncio
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from midwatch_contracts.clock import Clock
from midwatch_lab.load.errors import HttpError
from midwatch_lab.metrics.bounds import AHEAD_MS, BEHIND_MS
from midwatch_lab.metrics.errors import ScrapeError
from midwatch_lab.metrics.exposition import Metadata, Page, Reading, format_of
from midwatch_lab.metrics.gauges import append
from midwatch_lab.metrics.labels import NAME, Labels, from_dict
from midwatch_lab.metrics.local import Exporter, LocalScrape
from midwatch_lab.metrics.pages import Fetch, Fetched, fetch_page
from midwatch_lab.metrics.sample_labels import SeriesOf
from midwatch_lab.metrics.store import STALE, Series, Store
from midwatch_lab.metrics.targets import EXTRA_REPORTS, REPORTS, Dropped, Target

_PRUNE_EVERY_S = 15.0
_SOON_S = 1e-3
"""Times that are nearer than this are the same: intervals are no whole numbers of seconds in floats."""
Key = tuple[str, Labels, str]
"""Job, labels and URL: what makes a target the same."""


@dataclass
class Scrape:
    """One target, and how its scrapes went."""

    target: Target
    labels: Labels
    page: Page
    reports: list[Series]
    interval_s: float
    timeout_s: float
    due_s: float = -math.inf
    """When it is scraped next."""
    live: dict[Series, None] = field(default_factory=dict[Series, None])
    """The series of the last good page."""
    health: str = "unknown"
    last_error: str = ""
    last_scrape_s: float | None = None
    last_duration_s: float = 0.0
    running: bool = False

    @property
    def metadata(self) -> Mapping[str, Metadata]:
        """What its page says about its metrics."""
        return self.page.metadata


@dataclass
class Scraper:
    """Scrapes `targets()` and the exporters into a store; times are those of the clock, timeouts those of the wall."""

    clock: Clock
    store: Store
    targets: Callable[[], Sequence[Target | Dropped]]
    exporters: Sequence[Exporter] = ()
    fetch: Fetch = fetch_page
    interval_s: float = 1.0
    timeout_s: float = 1.0
    scrapes: dict[Key, Scrape] = field(default_factory=dict[Key, Scrape])
    dropped: list[Dropped] = field(default_factory=list[Dropped])
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
        for scrape in self.scrapes.values():
            scrape.due_s = now
        await asyncio.gather(*(self._scrape(scrape, now) for scrape in self.due(now)))

    def due(self, now: float) -> list[Scrape]:
        """Scrape the exporters, end what is gone, and return the targets to scrape at `now` (Unix seconds)."""
        at = round(now * 1000)
        for scrape in self.local:
            scrape.collect(now)
        found = self.targets()
        self.dropped = [target for target in found if isinstance(target, Dropped)]
        active = [target for target in found if isinstance(target, Target)]
        wanted = {(target.job.name, from_dict(target.labels), target.url): target for target in active}
        for key in [key for key in self.scrapes if key not in wanted]:
            self._end(self.scrapes.pop(key), at)
        for key, target in wanted.items():
            before = self.scrapes.get(key)
            if before is None or before.target.job is not target.job:
                self.scrapes[key] = self._start(target)
                self.scrapes[key].live = before.live if before is not None else {}
        if now - self._pruned_s >= _PRUNE_EVERY_S:
            self._pruned_s = now
            self.store.prune(now)
        due = [s for s in self.scrapes.values() if s.due_s <= now + _SOON_S and not s.running]
        for scrape in due:
            scrape.due_s = (math.floor((now + _SOON_S) / scrape.interval_s) + 1) * scrape.interval_s
        return due

    def metadata(self) -> list[tuple[str, Metadata]]:
        """Return what the exporters and the pages say about their metrics, target by target."""
        local = [said for scrape in self.local for said in scrape.metadata.items()]
        return local + [said for scrape in self.scrapes.values() for said in scrape.metadata.items()]

    def _start(self, target: Target) -> Scrape:
        job = target.job
        names = (*REPORTS, *EXTRA_REPORTS) if job.extra_scrape_metrics else REPORTS
        reports = [self.store.series(from_dict({**target.labels, NAME: name})) for name in names]
        page = Page(SeriesOf(self.store, target))
        interval_s, timeout_s = target.interval_s or self.interval_s, target.timeout_s or self.timeout_s
        return Scrape(target, from_dict(target.labels), page, reports, interval_s, timeout_s)

    async def _scrape(self, scrape: Scrape, now: float) -> None:
        at, begin = round(now * 1000), time.perf_counter()
        scrape.running = True
        reading, size = Reading(), 0
        try:
            fetched = await self.fetch(scrape.target.url, scrape.timeout_s, scrape.target.job.body_size_limit)
            size = fetched.size
            reading = self._read(scrape, fetched)
        except (TimeoutError, OSError, HttpError, ScrapeError) as caught:
            reading.error = str(caught) or f"no answer within {scrape.timeout_s:g} s"
        finally:
            scrape.running = False
        target = scrape.target
        if self.scrapes.get((target.job.name, scrape.labels, target.url)) is not scrape:
            return  # the target went away meanwhile; its series are ended already
        kept, added = self._write(scrape, reading, at)
        scrape.health, scrape.last_error = ("down", reading.error) if reading.error else ("up", "")
        scrape.last_scrape_s, scrape.last_duration_s = now, time.perf_counter() - begin
        values = (0.0 if reading.error else 1.0, scrape.last_duration_s, reading.read, kept, added)
        extra = (scrape.timeout_s, target.job.sample_limit, size)
        for series, value in zip(scrape.reports, (*values, *extra), strict=False):
            append(self.store, series, at, float(value))

    def _read(self, scrape: Scrape, fetched: Fetched) -> Reading:
        job = scrape.target.job
        if not fetched.text:
            return Reading()
        reading = scrape.page.read(fetched.text, format_of(fetched.media, job.fallback))
        if job.sample_limit and len(reading.samples) > job.sample_limit and not reading.error:
            reading.error = "sample limit exceeded"
        return reading

    def _write(self, scrape: Scrape, reading: Reading, at: int) -> tuple[int, int]:
        """Write a page's samples, none of one that is wrong; return how many are kept, and how many are new."""
        timeless: list[Series] = []
        values: list[float] = []
        kept = len(reading.samples)
        honoured = scrape.target.job.honor_timestamps
        for series, value, own_time in reading.samples if not reading.error else ():
            if own_time is None or not honoured:
                timeless.append(series)
                values.append(value)
            elif not at - BEHIND_MS <= own_time <= at + AHEAD_MS or not append(self.store, series, own_time, value):
                kept -= 1
        self.store.extend(timeless, at, values)
        live = dict.fromkeys(timeless)
        added = len(live.keys() - scrape.live.keys())
        gone = [series for series in scrape.live if series not in live]
        self.store.extend(gone, at, [STALE] * len(gone))
        scrape.live = live
        return kept, added

    def _end(self, scrape: Scrape, at: int) -> None:
        for series in (*scrape.live, *scrape.reports):
            if series:
                append(self.store, series, max(at, series.last_ms + 1), STALE)
