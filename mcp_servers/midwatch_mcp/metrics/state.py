"""`metrics_targets` and `metrics_alerts`: what is scraped, and what fires."""

from typing import Annotated, Any, Literal

from pydantic import Field

from midwatch_contracts.errors import ContractError
from midwatch_contracts.model import Model
from midwatch_contracts.times import unix_seconds
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


class MetricsTargetsData(Model):
    """Scraped endpoints, those that are down first."""

    targets: list[Target]
    up: int
    down: int


class FiringAlert(Model):
    """One alert of the rules."""

    name: Outside
    state: Literal["pending", "firing"]
    labels: dict[str, Outside]
    annotations: dict[str, Outside]
    active_at: str | None
    """RFC 3339."""
    value: Number


class MetricsAlertsData(Model):
    """Alerts, firing ones first."""

    alerts: list[FiringAlert]


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
    found = await room.client.get("targets", {"state": "active"})
    wanted = {"namespace": namespace, "service": service}
    targets = [
        target
        for target in (_target(entry) for entry in entries(part(found, "activeTargets")))
        if all(value is None or target.labels.get(name) == value for name, value in wanted.items())
    ]
    targets.sort(key=lambda target: target.health == "up")
    up = sum(target.health == "up" for target in targets)
    data = MetricsTargetsData(targets=targets[:_SHOWN], up=up, down=len(targets) - up)
    summary = f"{up} of {len(targets)} targets are up." if targets else "No target is scraped."
    return Answer(summary, data, full={"targets": targets}, truncated=len(targets) > _SHOWN)


@tool(
    name="metrics_alerts",
    title="Alerts",
    description="Pending and firing alerts with their labels, annotations, since when and at what value.",
    cluster="metrics",
    cost="low",
    read_only=True,
    destructive=False,
    idempotent=True,
    open_world=False,
)
async def metrics_alerts(
    room: MetricsRoom,
    state: Annotated[Literal["pending", "firing"] | None, Field(description="both if left out")] = None,
) -> Answer[MetricsAlertsData]:
    """Read the alerts of the rules."""
    found = await room.client.get("alerts")
    every = [_alert(entry) for entry in entries(part(found, "alerts"))]
    alerts = [alert for alert in every if state is None or alert.state == state]
    alerts.sort(key=lambda alert: alert.state != "firing")
    firing = sum(alert.state == "firing" for alert in alerts)
    return Answer(
        f"{firing} alerts fire, {len(alerts) - firing} are pending.",
        MetricsAlertsData(alerts=alerts[:_SHOWN]),
        full={"alerts": alerts},
        truncated=len(alerts) > _SHOWN,
    )


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
    )


def _moment(text: str) -> float | None:
    try:
        return unix_seconds(text)
    except ContractError:
        return None


def _alert(entry: dict[str, Any]) -> FiringAlert:
    named = labels(entry.get("labels"))
    active = entry.get("activeAt")
    return FiringAlert(
        name=named.get("alertname", ""),
        state="firing" if entry.get("state") == "firing" else "pending",
        labels=named,
        annotations=labels(entry.get("annotations")),
        active_at=active if isinstance(active, str) else None,
        value=sample(entry.get("value")),
    )
