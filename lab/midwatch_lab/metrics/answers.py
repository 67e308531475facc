"""Answers of the HTTP API in Prometheus's shapes."""

from typing import Any

from midwatch_contracts.promql import ValueType, duration_literal
from midwatch_contracts.times import rfc3339
from midwatch_lab.metrics.engine.query import Result
from midwatch_lab.metrics.local import LocalScrape
from midwatch_lab.metrics.numbers import sample_text
from midwatch_lab.metrics.scraper import Scrape, Scraper

_NEVER = "0001-01-01T00:00:00Z"


def result(found: Result) -> dict[str, Any]:
    """Return the `data` of a query."""
    if found.type is ValueType.SCALAR and found.scalar is not None:
        return {"resultType": "scalar", "result": [found.scalar[0], sample_text(found.scalar[1])]}
    if found.type is ValueType.STRING and found.text is not None:
        return {"resultType": "string", "result": list(found.text)}
    if found.type is ValueType.VECTOR:
        rows = [
            {"metric": dict(labels), "value": [points[0][0], sample_text(points[0][1])]}
            for labels, points in found.series
        ]
    else:
        rows = [
            {"metric": dict(labels), "values": [[at, sample_text(value)] for at, value in points]}
            for labels, points in found.series
        ]
    return {"resultType": found.type.value, "result": rows}


def targets(scraper: Scraper, state: str) -> dict[str, Any]:
    """Return the scraped targets; `state` is `active`, `dropped` or `any`."""
    scrapes: list[Scrape | LocalScrape] = [*scraper.local, *scraper.scrapes.values()]
    active = [_target(scrape, scraper) for scrape in scrapes] if state != "dropped" else []
    return {"activeTargets": active, "droppedTargets": [], "droppedTargetCounts": None if state == "active" else {}}


def _target(scrape: Scrape | LocalScrape, scraper: Scraper) -> dict[str, Any]:
    return {
        "discoveredLabels": {"__address__": scrape.target.labels.get("instance", "")},
        "labels": dict(scrape.labels),
        "scrapePool": scrape.target.labels.get("job", ""),
        "scrapeUrl": scrape.target.url,
        "globalUrl": scrape.target.url,
        "lastError": scrape.last_error,
        "lastScrape": _NEVER if scrape.last_scrape_s is None else rfc3339(scrape.last_scrape_s),
        "lastScrapeDuration": scrape.last_duration_s,
        "health": scrape.health,
        "scrapeInterval": duration_literal(round(scraper.interval_s * 1000)),
        "scrapeTimeout": duration_literal(round(scraper.timeout_s * 1000)),
    }
