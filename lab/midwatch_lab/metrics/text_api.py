"""The paths that answer in text: `/federate` for another Prometheus, and `/samples` for whoever wants all there is."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Final

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse

from midwatch_contracts.clock import Clock
from midwatch_lab.metrics.errors import MetricsError
from midwatch_lab.metrics.labels import NAME
from midwatch_lab.metrics.parameters import Parameters
from midwatch_lab.metrics.store import Series, Store, is_stale
from midwatch_lab.metrics.writing import exported, federated

_OPEN_METRICS: Final = "application/openmetrics-text; version=1.0.0; charset=utf-8"


def selected(store: Store, parameters: Parameters, *, required: bool) -> list[Series]:
    """Return the series that `match[]` selects and that have samples between `start` and `end`, sorted.

    Raises:
        BadDataError: when a parameter is wrong, or there is no `match[]` where one is required.
    """
    start, end = span(parameters)
    chosen = parameters.selectors(required=required)
    every = dict.fromkeys(s for one in chosen for s in store.select(one.all_matchers())) if chosen else store
    found = (s for s in every if s.first_ms is not None and s.last_ms >= start and s.first_ms <= end)
    return sorted(found, key=lambda series: series.labels)


def span(parameters: Parameters) -> tuple[int, int]:
    """Return the parameters `start` and `end` in Unix milliseconds, or times before and after everything.

    Raises:
        BadDataError: when one is no time.
    """
    return round(parameters.moment("start", -1e12) * 1000), round(parameters.moment("end", 1e12) * 1000)


@dataclass(frozen=True)
class Texts:
    """Answers with series as text."""

    clock: Clock
    store: Store
    lookback_ms: int

    async def federate(self, request: Request) -> Response:
        """Return the newest samples of the series that `match[]` selects, to be scraped by another Prometheus."""
        try:
            chosen = (await Parameters.of(request)).selectors(required=False)
        except MetricsError as error:
            return _refused(error)
        now = round(self.clock.now() * 1000)
        found: list[tuple[Series, int, float]] = []
        for series in dict.fromkeys(s for one in chosen for s in self.store.select(one.all_matchers())):
            samples = series.between(now - self.lookback_ms, now)
            if samples and NAME in series.lookup and not is_stale(samples[-1][1]):
                found.append((series, *samples[-1]))
        found.sort(key=lambda one: (one[0].lookup[NAME], one[0].labels))
        utf8 = "escaping=allow-utf-8" in request.headers.get("accept", "")
        media = f"text/plain; version=0.0.4; charset=utf-8; escaping={'allow-utf-8' if utf8 else 'underscores'}"
        return Response("".join(federated(found, utf8=utf8)), headers={"content-type": media})

    async def samples(self, request: Request) -> Response:
        """Return in OpenMetrics every sample of what `match[]` selects, or of all, between `start` and `end`."""
        try:
            parameters = await Parameters.of(request)
            found = selected(self.store, parameters, required=False)
            start, end = span(parameters)
        except MetricsError as error:
            return _refused(error)
        named = [series for series in found if NAME in series.lookup]
        return StreamingResponse(_pieces(named, start, end), headers={"content-type": _OPEN_METRICS})


async def _pieces(found: Sequence[Series], start: int, end: int) -> AsyncIterator[str]:
    """Yield series by series, between which the lab does its other work."""
    for piece in exported(found, start, end):
        yield piece
        await asyncio.sleep(0)


def _refused(error: MetricsError) -> Response:
    return PlainTextResponse(f"{error}\n", 400, {"X-Content-Type-Options": "nosniff"})
