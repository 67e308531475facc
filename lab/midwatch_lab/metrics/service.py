"""The lab's Prometheus: a store, a scraper, rules and the HTTP API, put together."""

import asyncio
import math
from collections.abc import Callable, Sequence

from midwatch_contracts.clock import Clock
from midwatch_lab.metrics.api import Api
from midwatch_lab.metrics.engine.evaluate import Limits
from midwatch_lab.metrics.local import Exporter
from midwatch_lab.metrics.pages import Fetch, fetch_page
from midwatch_lab.metrics.receiver import Receiver
from midwatch_lab.metrics.retention import Retention
from midwatch_lab.metrics.rules import ActiveAlert, Rules
from midwatch_lab.metrics.scrape_config import Job
from midwatch_lab.metrics.scraper import Scraper
from midwatch_lab.metrics.status import Status
from midwatch_lab.metrics.store import Store
from midwatch_lab.metrics.targets import Dropped, Target


class MetricsService:
    """Scrapes, evaluates rules and answers queries.

    Args:
        clock: tells the time of samples and rules.
        targets: what to scrape, asked at every scrape.
        exporters: parts of the lab that tell figures of their own, scraped without HTTP.
        interval_s: seconds between scrapes, and between evaluations of groups that name no interval.
        timeout_s: seconds (wall clock) after which a scrape has failed.
        retention: when samples go.
        fetch: gets a page; for tests and for simulated targets.
        jobs: what the targets come from, as the API tells it.
        remote_write: take samples by `POST /api/v1/write`.
    """

    def __init__(
        self,
        clock: Clock,
        targets: Callable[[], Sequence[Target | Dropped]],
        exporters: Sequence[Exporter] = (),
        *,
        interval_s: float = 1.0,
        timeout_s: float = 1.0,
        retention: Retention = Retention(),  # noqa: B008 (frozen)
        limits: Limits = Limits(step_ms=1000),  # noqa: B008 (frozen)
        fetch: Fetch = fetch_page,
        jobs: Sequence[Job] = (),
        remote_write: bool = False,
    ) -> None:
        self.clock = clock
        self.store = Store(retention.seconds, retention.size)
        self.scraper = Scraper(clock, self.store, targets, exporters, fetch, interval_s, timeout_s)
        self.rules = Rules(self.store, limits, interval_s)
        receiver = Receiver(clock, self.store) if remote_write else None
        status = Status(clock, self.store, limits, interval_s, timeout_s, jobs, remote_write)
        self.app = Api(clock, self.store, self.scraper, self.rules, limits, status, receiver).app()
        """The ASGI application, with `/api/v1/…` and `/-/ready`; the lab mounts it at `/prometheus`."""

    def set_rules(self, text: str) -> None:
        """Replace the rules by those of a Prometheus rule file.

        Raises:
            RulesError: names what is wrong; the rules then stay as they were.
        """
        self.rules.replace(text)

    def alerts(self) -> list[ActiveAlert]:
        """Return the alerts, pending and firing."""
        return list(self.rules.alerts())

    async def run(self) -> None:
        """Scrape and evaluate until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.scraper.run())
            group.create_task(self._evaluate())

    async def _evaluate(self) -> None:
        """Evaluate rules between two scrapes, so that they see the scrape that was just made."""
        interval = self.rules.interval_s
        while True:
            now = self.clock.now()
            due = (math.floor(now / interval - 0.5) + 1.5) * interval
            await self.clock.sleep(max(due - now, 0.0))
            self.rules.evaluate(due)
