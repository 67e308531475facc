"""`metrics_targets` and `metrics_alerts`: what is scraped, and what fires."""

import asyncio
from typing import Annotated, Any, Literal

from pydantic import Field

from midwatch_contracts.errors import ContractError
from midwatch_contracts.model import Model
from midwatch_contracts.times import unix_seconds
from midwatch_mcp.errors import RefusedError
from midwatch_mcp.metrics.client import sample
from midwatch_mcp.metrics.room import MetricsRoom, entries, labels, part
from midwatch_mcp.shapes import Name, Namespace, Number, Outside
from midwatch_mcp.tool import Answer, tool

_SHOWN = 200


class Target(Model):
    """One scraped endpoint."""

    labels: dict[str, Outside]
    health: Literal["up", "down", "unknown"]
    last_error: Outside
    last_scrape_s: float | None
    """Unix seconds; None before the first scrape."""
    scrape_duration_s: float | None = None
    """How long the last scrape took."""


class MetricsTargetsData(Model):
    """Scraped endpoints, those that are down first."""

    targets: list[Target]
    up: int
    down: int


class FiringAlert(Model):
    """One alert of the rules."""

    name: Outside
    state: Literal["pending", "firing", "inactive"]
    """`inactive` is a rule of which nothing is pending or firing: it has no value."""
    labels: dict[str, Outside]
    annotations: dict[str, Outside]
    active_at: str | None
    """RFC 3339."""
    value: Number
    expr: Outside | None = None
    """Of the rule; None where the API lists no rules."""
    for_s: float | None = None
    """How long the expression must hold before the alert fires."""


class BrokenRule(Model):
    """A rule that could not be evaluated: what it watches over is not watched over."""

    name: Outside
    error: Outside


class MetricsAlertsData(Model):
    """Alerts, firing ones first, of each state the oldest first."""

    alerts: list[FiringAlert]
    broken: list[BrokenRule] = Field(default_factory=list[BrokenRule])


@tool(
    name="metrics_targets",
    title="Scrape targets",
    description="Which endpoints are scraped, which of them are down and why. Check this when a query has no data.",
    cluster="metrics",
    cost="low",
    read_only=True,
    destructive=False,
    idempotent=True,
    open_world=False,
)
async def metrics_targets(
    room: MetricsRoom, namespace: Namespace | None = None, service: Name | None = None
) -> Answer[MetricsTargetsData]:
    """Read the active targets and keep those with the labels asked for."""
    found = await room.client.get_if_offered("targets", {"state": "active"})
    listed = await _by_up(room) if found is None else [_target(one) for one in entries(part(found, "activeTargets"))]
    wanted = {"namespace": namespace, "service": service}
    targets = [
        target
        for target in listed
        if all(value is None or target.labels.get(name) == value for name, value in wanted.items())
    ]
    targets.sort(key=lambda target: target.health == "up")
    up = sum(target.health == "up" for target in targets)
    data = MetricsTargetsData(targets=targets[:_SHOWN], up=up, down=len(targets) - up)
    summary = f"{up} of {len(targets)} targets are up." if targets else "No target is scraped."
    summary += " This API lists no targets: read from the metric up." if found is None else ""
    return Answer(summary, data, full={"targets": targets}, truncated=len(targets) > _SHOWN)


@tool(
    name="metrics_alerts",
    title="Alerts",
    description="Pending and firing alerts with labels, annotations, since when, value, and the rule's expression.",
    cluster="metrics",
    cost="low",
    read_only=True,
    destructive=False,
    idempotent=True,
    open_world=False,
)
async def metrics_alerts(
    room: MetricsRoom,
    state: Annotated[
        Literal["pending", "firing", "inactive"] | None,
        Field(description="default: pending and firing; inactive: rules that are quiet"),
    ] = None,
) -> Answer[MetricsAlertsData]:
    """Read the alerts beside the rules that they are of."""
    found, ruled = await asyncio.gather(
        room.client.get_if_offered("alerts"), room.client.get_if_offered("rules", {"type": "alert"})
    )
    if found is None and ruled is None:
        raise RefusedError("this API lists neither alerts nor rules: its ruler may have another URL")
    rules = [rule for group in entries(part(ruled, "groups")) for rule in entries(group.get("rules"))]
    rules = [rule for rule in rules if rule.get("type") == "alerting"]
    listed = entries(part(found, "alerts")) or [alert for rule in rules for alert in entries(rule.get("alerts"))]
    every = [_alert(entry, _rule_of(entry, rules)) for entry in listed]
    firing, pending = (sum(alert.state == name for alert in every) for name in ("firing", "pending"))
    every += [_quiet(rule) for rule in rules if rule.get("state") == "inactive"]
    wanted = {"pending", "firing"} if state is None else {state}
    alerts = [alert for alert in every if alert.state in wanted]
    alerts.sort(key=lambda alert: (alert.state != "firing", alert.active_at or "", alert.name))
    broken = [
        BrokenRule(name=str(rule.get("name")), error=str(rule.get("lastError") or ""))
        for rule in rules
        if rule.get("health") == "err"
    ]
    summary = f"{firing} alerts fire, {pending} are pending."
    summary += f" {len(alerts)} rules are quiet." if state == "inactive" else ""
    summary += f" {len(broken)} rules cannot be evaluated, so what they watch is not watched." if broken else ""
    return Answer(
        summary,
        MetricsAlertsData(alerts=alerts[:_SHOWN], broken=broken[:_SHOWN]),
        full={"alerts": alerts, "broken": broken},
        truncated=len(alerts) > _SHOWN,
    )


async def _by_up(room: MetricsRoom) -> list[Target]:
    found, _ = await room.client.query("query", {"query": "up", "time": f"{room.clock.now():.3f}"})
    return [
        Target(
            labels=labels(entry.get("metric")),
            health="up" if sample((entry.get("value") or [0, "NaN"])[1]) == 1.0 else "down",
            last_error="",
            last_scrape_s=None,
        )
        for entry in entries(found.get("result"))
    ]


def _rule_of(alert: dict[str, Any], rules: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the rule that lists this alert, else the only one of its name; names may be shared by severities."""
    named = labels(alert.get("labels"))
    mine = [rule for rule in rules if rule.get("name") == named.get("alertname")]
    exact = [rule for rule in mine if any(labels(one.get("labels")) == named for one in entries(rule.get("alerts")))]
    return next(iter(exact), mine[0] if len(mine) == 1 else {})


def _target(entry: dict[str, Any]) -> Target:
    health = entry.get("health")
    last = entry.get("lastScrape")
    # Go writes the zero time for "never".
    scraped = _moment(last) if isinstance(last, str) and not last.startswith("0001-") else None
    return Target(
        labels=labels(entry.get("labels")),
        health=health if health in {"up", "down"} else "unknown",
        last_error=str(entry.get("lastError") or ""),
        last_scrape_s=scraped,
        scrape_duration_s=_number(entry.get("lastScrapeDuration")),
    )


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _moment(text: str) -> float | None:
    try:
        return unix_seconds(text)
    except ContractError:
        return None


def _alert(entry: dict[str, Any], rule: dict[str, Any]) -> FiringAlert:
    named = labels(entry.get("labels"))
    active = entry.get("activeAt")
    return FiringAlert(
        name=named.get("alertname", ""),
        state="firing" if entry.get("state") == "firing" else "pending",
        labels=named,
        annotations=labels(entry.get("annotations")),
        active_at=active if isinstance(active, str) else None,
        value=sample(entry.get("value")),
        **_expression(rule),
    )


def _quiet(rule: dict[str, Any]) -> FiringAlert:
    return FiringAlert(
        name=str(rule.get("name") or ""),
        state="inactive",
        labels=labels(rule.get("labels")),
        annotations=labels(rule.get("annotations")),
        active_at=None,
        value="NaN",
        **_expression(rule),
    )


def _expression(rule: dict[str, Any]) -> dict[str, Any]:
    query = rule.get("query")
    return {"expr": query if isinstance(query, str) else None, "for_s": _number(rule.get("duration"))}
