"""What it costs to take samples in: by batches into the store, and as pages of text through the scraper."""

import asyncio
import time
from typing import Final

from midwatch_contracts.clock import VirtualClock
from midwatch_lab.bench.fleet import START_MS, STEP_MS, Fleet, Scraped
from midwatch_lab.metrics.labels import NAME, Labels
from midwatch_lab.metrics.pages import Fetched
from midwatch_lab.metrics.scraper import Scraper
from midwatch_lab.metrics.store import Store
from midwatch_lab.metrics.targets import Target

STRETCH: Final = 40
"""Scrapes that are drawn at once, and that one remote write carries."""
_TARGET: Final = frozenset({"job", "namespace", "pod", "instance"})


def append(fleet: Fleet, store: Store) -> float:
    """Put all samples into a store, one batch a pod and scrape; return the CPU time (s) of that."""
    pods = [[store.series(labels) for labels in pod.labels] for pod in next(fleet.stretches(1))]
    seconds = 0.0
    for stretch in fleet.stretches(STRETCH):
        scrapes = [(pod.times.tolist(), pod.values.T.tolist()) for pod in stretch]
        began = time.process_time()
        for number in range(len(scrapes[0][0])):
            for series, (times, values) in zip(pods, scrapes, strict=True):
                store.extend(series, times[number], values[number])
        seconds += time.process_time() - began
    return seconds


def scrape(fleet: Fleet) -> tuple[int, float]:
    """Scrape every pod's pages from memory; return how many samples they had, and the CPU time (s) of that.

    The first scrape, which makes the series, counts too.
    """
    stretches = list(fleet.stretches(STRETCH))
    pages: dict[str, str] = {}
    targets = [
        Target({name: value for name, value in pod.labels[0] if name in _TARGET}, str(number))
        for number, pod in enumerate(stretches[0])
    ]

    async def fetch(url: str, timeout_s: float, limit: int) -> Fetched:
        del timeout_s, limit
        return Fetched(pages[url], "text/plain;version=0.0.4", len(pages[url]))

    async def run() -> tuple[int, float]:
        clock = VirtualClock(START_MS / 1000)
        scraper = Scraper(clock, Store(retention_s=1e9), lambda: targets, (), fetch)
        samples, seconds = 0, 0.0
        for stretch in stretches:
            for number in range(len(stretch[0].times)):
                pages.update((str(pod), _page(scraped, number)) for pod, scraped in enumerate(stretch))
                began = time.process_time()
                await scraper.once()
                seconds += time.process_time() - began
                samples += sum(len(scraped.labels) for scraped in stretch)
                await clock.advance(STEP_MS / 1000)
        return samples, seconds

    return asyncio.run(run())


def _page(scraped: Scraped, number: int) -> str:
    """Return a pod's page at one of its scrapes, as a client library writes it."""
    values = scraped.values[:, number].tolist()
    lines = [
        "# HELP requests_total Requests served.",
        "# TYPE requests_total counter",
        "# HELP latency_seconds Time to answer.",
        "# TYPE latency_seconds histogram",
        "# HELP requests_running Requests being served.",
        "# TYPE requests_running gauge",
        *(f"{_own(labels)} {value!r}" for labels, value in zip(scraped.labels, values, strict=True)),
    ]
    return "\n".join(lines) + "\n"


def _own(labels: Labels) -> str:
    name = dict(labels)[NAME]
    pairs = ",".join(f'{key}="{value}"' for key, value in labels if key != NAME and key not in _TARGET)
    return f"{name}{{{pairs}}}" if pairs else name
