"""Answers about targets in Prometheus's shapes: what is scraped, what is dropped, and what pages say of metrics."""

from collections.abc import Mapping, Sequence
from typing import Any

from midwatch_contracts.promql import Matcher, duration_literal
from midwatch_contracts.times import rfc3339
from midwatch_lab.metrics.errors import BadDataError
from midwatch_lab.metrics.exposition import Metadata
from midwatch_lab.metrics.local import LocalScrape
from midwatch_lab.metrics.patterns import holds
from midwatch_lab.metrics.relabelling import Rule, relabelled
from midwatch_lab.metrics.scraper import Scrape, Scraper

_NEVER = "0001-01-01T00:00:00Z"


def targets(scraper: Scraper, state: str, pool: str | None) -> dict[str, Any]:
    """Return the targets of a pool, or of all; `state` is `active`, `dropped` or `any`."""
    active = [_target(scrape, scraper) for scrape in _scrapes(scraper, pool)] if state in ("active", "any") else []
    dropped = [target for target in scraper.dropped if not target.problem and pool in (None, target.job.name)]
    told = state in ("dropped", "any")
    shown = [{"discoveredLabels": dict(target.discovered), "scrapePool": target.job.name} for target in dropped]
    counts = {name: sum(target.job.name == name for target in dropped) for name in pools(scraper)}
    return {
        "activeTargets": active,
        "droppedTargets": shown if told else [],
        "droppedTargetCounts": counts if told else None,
    }


def pools(scraper: Scraper) -> list[str]:
    """Return the names of the jobs."""
    found = {scrape.target.pool for scrape in _scrapes(scraper, None)}
    return sorted(found | {target.job.name for target in scraper.dropped})


def relabel_steps(scraper: Scraper, pool: str, labels: Mapping[str, str]) -> dict[str, Any]:
    """Return what each rule of a job makes of labels.

    Raises:
        BadDataError: when there is no such job.
    """
    jobs = [scrape.target.job for scrape in _scrapes(scraper, pool)]
    jobs += [target.job for target in scraper.dropped if target.job.name == pool]
    if not jobs:
        raise BadDataError(f'error retrieving scrape config: scrape pool "{pool}" not found')
    rules = jobs[0].relabel
    steps: list[dict[str, Any]] = []
    for count, rule in enumerate(rules, 1):
        output = relabelled(labels, rules[:count])
        steps.append({"rule": _rule(rule), "output": dict(sorted((output or {}).items())), "keep": output is not None})
    return {"steps": steps}


def _rule(rule: Rule) -> dict[str, Any]:
    texts = ("separator", "regex", "replacement", "action")
    seldom = {"source_labels": list(rule.source_labels), "modulus": rule.modulus, "target_label": rule.target_label}
    return {name: getattr(rule, name) for name in texts} | {name: value for name, value in seldom.items() if value}


def metadata(found: Sequence[tuple[str, Metadata]], wanted: str | None, limit: int, per_metric: int) -> dict[str, Any]:
    """Return what pages say of each metric, each thing once; limits below 0 are none, one of 0 a metric is too."""
    told: dict[str, list[dict[str, str]]] = {}
    for name, entry in found:
        if wanted not in (None, name) or (name not in told and 0 <= limit <= len(told)):
            continue
        said = {"type": entry.type, "unit": entry.unit, "help": entry.help}
        entries = told.setdefault(name, [])
        if said not in entries and not 0 < per_metric <= len(entries):
            entries.append(said)
    return told


def target_metadata(
    scraper: Scraper, matchers: Sequence[Matcher], metric: str | None, limit: int
) -> list[dict[str, Any]]:
    """Return what each target's page says of its metrics, or of one metric; a limit below 0 is none."""
    told: list[dict[str, Any]] = []
    for scrape in _scrapes(scraper, None):
        labels = dict(scrape.labels)
        if not all(holds(matcher, labels.get(matcher.name, "")) for matcher in matchers):
            continue
        for name, entry in scrape.metadata.items():
            if metric not in (None, name):
                continue
            shown = {"metric": name} if metric is None else {}
            told.append({"target": labels, **shown, "type": entry.type, "help": entry.help, "unit": entry.unit})
    return told if limit < 0 else told[:limit]


def _scrapes(scraper: Scraper, pool: str | None) -> list[Scrape | LocalScrape]:
    every: list[Scrape | LocalScrape] = [*scraper.local, *scraper.scrapes.values()]
    found = [scrape for scrape in every if pool in (None, scrape.target.pool)]
    return sorted(found, key=lambda scrape: scrape.target.pool)


def _target(scrape: Scrape | LocalScrape, scraper: Scraper) -> dict[str, Any]:
    target = scrape.target
    interval_s, timeout_s = target.interval_s or scraper.interval_s, target.timeout_s or scraper.timeout_s
    return {
        "discoveredLabels": dict(target.discovered) or {"__address__": target.labels.get("instance", "")},
        "labels": dict(scrape.labels),
        "scrapePool": target.pool,
        "scrapeUrl": target.url,
        "globalUrl": target.url,
        "lastError": scrape.last_error,
        "lastScrape": _NEVER if scrape.last_scrape_s is None else rfc3339(scrape.last_scrape_s),
        "lastScrapeDuration": scrape.last_duration_s,
        "health": scrape.health,
        "scrapeInterval": duration_literal(round(interval_s * 1000)),
        "scrapeTimeout": duration_literal(round(timeout_s * 1000)),
    }
