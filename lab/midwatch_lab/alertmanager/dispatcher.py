"""Groups alerts and decides when who is told, on a clock.

A group's first notification waits for `group_wait`, the next ones are thought about every `group_interval`: one is sent
when an alert is new, when one is resolved (if the receiver wants to know), or when `repeat_interval` has passed. What
cannot be delivered is tried again, with longer and longer pauses, until the next `group_interval`.
"""

import asyncio
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from midwatch_contracts.clock import Clock
from midwatch_lab.alertmanager.alerts import Alert, in_order
from midwatch_lab.alertmanager.config import Config, Webhook
from midwatch_lab.alertmanager.routes import Route
from midwatch_lab.alertmanager.webhook import Notification, Post, accepted, worth_another_try

_LOG = logging.getLogger(__name__)
_PAUSE_S: Final = 0.5
_GROWTH: Final = 1.5
_PAUSE_MAX_S: Final = 60.0
_LEAST_S: Final = 10.0
"""How long at least a notification is tried."""


@dataclass(frozen=True)
class Told:
    """What a webhook was told last of a group: the fingerprints, and when."""

    firing: frozenset[str]
    resolved: frozenset[str]
    at_s: float


@dataclass
class AlertGroup:
    """Alerts of one route that share labels."""

    route: Route
    labels: Mapping[str, str]
    due_s: float
    """When its receiver is told next, if there is something to tell."""
    alerts: dict[str, Alert] = field(default_factory=dict[str, Alert])
    told: dict[int, Told] = field(default_factory=dict[int, Told])
    """By the place of the webhook in its receiver."""

    @property
    def key(self) -> str:
        """Its key in notifications."""
        return self.route.group_key(self.labels)


class Dispatcher:
    """Takes alerts in and tells receivers; `run` does the waiting."""

    def __init__(self, clock: Clock, config: Config, post: Post, external_url: str = "") -> None:
        self.clock, self.config, self.post, self.external_url = clock, config, post, external_url
        self.groups: dict[tuple[str, str], AlertGroup] = {}
        self._fresh: asyncio.Queue[AlertGroup] = asyncio.Queue()

    def receive(self, alerts: Iterable[Alert]) -> None:
        """Take alerts in; one that nobody knew and that is over already is of no interest."""
        for alert in alerts:
            for route in self.config.route.find(alert.labels):
                labels = route.group_labels(alert)
                key = (route.identity, route.group_key(labels))
                group = self.groups.get(key)
                if group is None:
                    if alert.resolved(self.clock.now()):
                        continue
                    group = AlertGroup(route, labels, self.clock.now() + route.group_wait_s)
                    self.groups[key] = group
                    self._fresh.put_nowait(group)
                known = group.alerts.get(alert.fingerprint)
                if known is not None or not alert.resolved(self.clock.now()):
                    group.alerts[alert.fingerprint] = alert

    def active(self) -> Iterator[tuple[AlertGroup, list[Alert]]]:
        """Return the groups that have alerts which are not over, with these."""
        now = self.clock.now()
        for group in self.groups.values():
            alerts = [alert for alert in group.alerts.values() if not alert.resolved(now)]
            if alerts:
                yield group, in_order(alerts)

    async def run(self) -> None:
        """Follow every group until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                group = await self._fresh.get()
                tasks.create_task(self._follow(group))

    async def _follow(self, group: AlertGroup) -> None:
        """Tell of a group until nothing is left in it."""
        while group.alerts:
            await self.clock.sleep(group.due_s - self.clock.now())
            begun = self.clock.now()
            group.due_s = begun + group.route.group_interval_s
            alerts = in_order(group.alerts.values())
            if await self._tell(group, alerts, begun):
                for alert in alerts:
                    # One that came back while it was told of stays.
                    if alert.resolved(begun) and group.alerts.get(alert.fingerprint) is alert:
                        del group.alerts[alert.fingerprint]
        del self.groups[group.route.identity, group.key]

    async def _tell(self, group: AlertGroup, alerts: Sequence[Alert], now: float) -> bool:
        """Tell every webhook of the group's receiver; return whether all know all."""
        webhooks = self.config.receivers[group.route.receiver]
        tries = [self._tell_one(group, place, webhook, alerts, now) for place, webhook in enumerate(webhooks)]
        return all(await asyncio.gather(*tries))

    async def _tell_one(
        self, group: AlertGroup, place: int, webhook: Webhook, alerts: Sequence[Alert], now: float
    ) -> bool:
        firing = frozenset(alert.fingerprint for alert in alerts if not alert.resolved(now))
        resolved = frozenset(alert.fingerprint for alert in alerts if alert.resolved(now))
        told = group.told.get(place)
        if not _news(told, firing, resolved, webhook, now - group.route.repeat_interval_s):
            return True
        shown = [alert for alert in alerts if webhook.send_resolved or not alert.resolved(now)]
        if shown:
            notification = Notification(group.route.receiver, group.key, group.labels, shown, now, self.external_url)
            message = notification.message(webhook.max_alerts)
            if not await self._delivered(webhook, message, now + max(group.route.group_interval_s, _LEAST_S)):
                return False
        group.told[place] = Told(firing, resolved, now)
        return True

    async def _delivered(self, webhook: Webhook, message: Mapping[str, object], until: float) -> bool:
        """Post until it arrives, is refused for good, or the time is over."""
        pause = _PAUSE_S
        while True:
            code = await self.post(webhook, message)
            if accepted(code):
                return True
            if not worth_another_try(code) or self.clock.now() + pause >= until:
                _LOG.warning("a notification to %s is given up: %s", webhook.url, code or "no answer")
                return False
            await self.clock.sleep(pause)
            pause = min(pause * _GROWTH, _PAUSE_MAX_S)


def _news(
    told: Told | None, firing: frozenset[str], resolved: frozenset[str], webhook: Webhook, repeat_before: float
) -> bool:
    """Say whether there is something to tell (the rules of Alertmanager's deduplication)."""
    if told is None:
        return bool(firing)
    if not firing <= told.firing:
        return True
    if not firing:
        return bool(told.firing)
    if webhook.send_resolved and not resolved <= told.resolved:
        return True
    return told.at_s < repeat_before
