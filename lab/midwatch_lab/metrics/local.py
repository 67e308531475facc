"""Targets within the lab: parts that tell their figures without a page and without HTTP, scraped as others are."""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from midwatch_lab.metrics.exposition import Metadata
from midwatch_lab.metrics.gauges import Gauges, Group, append
from midwatch_lab.metrics.labels import NAME, from_dict
from midwatch_lab.metrics.store import Store
from midwatch_lab.metrics.targets import REPORTS, Target


@dataclass(frozen=True)
class Exporter:
    """A part of the lab that tells figures: `groups` gives its objects, `whole` as for `Gauges.collect`.

    Labels of the target are those of a series only where it has no label of that name, as with `honor_labels`.
    """

    target: Target
    metadata: Mapping[str, Metadata]
    groups: Callable[[], Iterable[Group]]
    whole: bool = True


class LocalScrape:
    """One exporter, and how its scrapes went."""

    def __init__(self, exporter: Exporter, store: Store) -> None:
        self.exporter = exporter
        self.target = exporter.target
        self.metadata = exporter.metadata
        self.labels = from_dict(exporter.target.labels)
        self.health = "unknown"
        self.last_error = ""
        self.last_scrape_s: float | None = None
        self.last_duration_s = 0.0
        self._store = store
        self._gauges = Gauges(store, exporter.target.labels)
        self._reports = [store.series(from_dict({**exporter.target.labels, NAME: name})) for name in REPORTS]

    def collect(self, now: float) -> None:
        """Write the figures at `now` (Unix seconds)."""
        at, begin = round(now * 1000), time.perf_counter()
        added = self._gauges.collect(self.exporter.groups(), at, whole=self.exporter.whole)
        self.health, self.last_error = "up", next(iter(self._gauges.faults.values()), "")
        self.last_scrape_s, self.last_duration_s = now, time.perf_counter() - begin
        values = (1, self.last_duration_s, self._gauges.size, self._gauges.size, added)
        for series, value in zip(self._reports, values, strict=True):
            append(self._store, series, at, float(value))
