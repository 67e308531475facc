"""Notifications of the lab's Alertmanager on a virtual clock: grouped, repeated, resolved, tried again."""

import asyncio
import itertools
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest

from midwatch_agents.intake import read_alert
from midwatch_contracts.clock import VirtualClock
from midwatch_lab.alertmanager.alerts import Alert, fingerprint
from midwatch_lab.alertmanager.config import Webhook, read_config
from midwatch_lab.alertmanager.dispatcher import Dispatcher
from midwatch_lab.alertmanager.service import Alertmanager
from midwatch_lab.metrics.engine.evaluate import Limits
from midwatch_lab.metrics.labels import from_dict
from midwatch_lab.metrics.rules import Rules
from midwatch_lab.metrics.store import Store

pytestmark = pytest.mark.anyio

CONFIG = """
route: {receiver: night, group_by: [alertname], group_wait: 30s, group_interval: 5m, repeat_interval: 1h}
receivers:
- name: night
  webhook_configs: [{url: "http://127.0.0.1:1/hook"}]
"""
START = 1_700_000_000.0


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def passes(clock: VirtualClock, seconds: float) -> None:
    """Time passes once those that were given work have begun to wait."""
    for _ in range(10):
        await asyncio.sleep(0)
    await clock.advance(seconds)


class World:
    """A dispatcher whose posts are kept: (seconds since the start, webhook, message). `codes` are answered in turn."""

    def __init__(self, config: str = CONFIG) -> None:
        self.clock = VirtualClock(START)
        self.codes: list[int | None] = []
        self.posts: list[tuple[float, Webhook, Mapping[str, Any]]] = []
        self.dispatcher = Dispatcher(self.clock, read_config(config), self.post, "http://lab/alertmanager")

    async def post(self, webhook: Webhook, message: Mapping[str, Any]) -> int | None:
        self.posts.append((self.clock.now() - START, webhook, message))
        return self.codes.pop(0) if self.codes else 200

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        task = asyncio.create_task(self.dispatcher.run())
        yield
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    async def passes(self, seconds: float) -> None:
        await passes(self.clock, seconds)

    def fire(self, ends_in: float = 1e6, **labels: str) -> None:
        now = self.clock.now()
        annotations = {"summary": f"{labels.get('pod', '')} is slow", "same": "yes"}
        alert = Alert({"alertname": "Slow", **labels}, annotations, now, now + ends_in, "http://lab/graph")
        self.dispatcher.receive([alert])

    def resolve(self, **labels: str) -> None:
        for group, alerts in list(self.dispatcher.active()):
            for one in alerts:
                if labels.items() <= one.labels.items():
                    self.dispatcher.receive(
                        [Alert(one.labels, one.annotations, one.starts_at, self.clock.now(), one.generator_url)]
                    )
            assert group.alerts

    def seen(self) -> list[tuple[float, str, list[str]]]:
        """Return when, the status, and `pod:status` of each alert."""
        return [
            (at, body["status"], [f"{one['labels'].get('pod', '')}:{one['status']}" for one in body["alerts"]])
            for at, _, body in self.posts
        ]


async def test_a_notification_has_alertmanagers_shape() -> None:
    world = World()
    async with world.running():
        world.fire(pod="a", job="chat")
        world.fire(pod="b", job="chat")
        await world.passes(31)
    ((at, webhook, message),) = world.posts
    assert (at, webhook.url) == (30.0, "http://127.0.0.1:1/hook")
    labels = {"alertname": "Slow", "job": "chat", "pod": "a"}
    assert {**message, "alerts": message["alerts"][:1]} == {
        "receiver": "night",
        "status": "firing",
        "alerts": [
            {
                "status": "firing",
                "labels": labels,
                "annotations": {"same": "yes", "summary": "a is slow"},
                "startsAt": "2023-11-14T22:13:20Z",
                "endsAt": "0001-01-01T00:00:00Z",
                "generatorURL": "http://lab/graph",
                "fingerprint": fingerprint(labels),
            }
        ],
        "groupLabels": {"alertname": "Slow"},
        "commonLabels": {"alertname": "Slow", "job": "chat"},
        "commonAnnotations": {"same": "yes"},
        "externalURL": "http://lab/alertmanager",
        "version": "4",
        "groupKey": '{}:{alertname="Slow"}',
        "truncatedAlerts": 0,
    }
    assert read_alert(orjson.dumps(dict(message)).decode()).labels == labels


async def test_fingerprints_are_those_of_the_original() -> None:
    # The first is the value in the tests of github.com/prometheus/common/model.
    assert fingerprint({"name": "garland, briggs", "fear": "love is not enough"}) == f"{5799056148416392346:016x}"
    assert fingerprint({}) == f"{14695981039346656037:016x}"


async def test_what_fires_while_a_group_waits_is_told_together_and_what_is_new_later_at_the_next_interval() -> None:
    world = World()
    async with world.running():
        world.fire(pod="a")
        await world.passes(20)
        world.fire(pod="b")
        await world.passes(20)
        world.fire(pod="c")
        await world.passes(290)
    assert world.seen() == [
        (30.0, "firing", ["a:firing", "b:firing"]),
        (330.0, "firing", ["a:firing", "b:firing", "c:firing"]),
    ]


async def test_nothing_new_is_told_again_after_the_repeat_interval_alone() -> None:
    world = World()
    async with world.running():
        world.fire(pod="a")
        await world.passes(2 * 3600 + 60)
    # An hour has passed since 30 s at the thirteenth interval, not yet at the twelfth, which ends it to the second.
    assert [at for at, _, _ in world.posts] == [30.0, 3930.0]


async def test_what_is_resolved_is_told_once_and_the_group_is_gone() -> None:
    world = World()
    async with world.running():
        world.fire(pod="a")
        world.fire(pod="b")
        await world.passes(60)
        world.resolve(pod="a")
        await world.passes(300)
        world.resolve(pod="b")
        await world.passes(3600)
    assert world.seen() == [
        (30.0, "firing", ["a:firing", "b:firing"]),
        (330.0, "firing", ["a:resolved", "b:firing"]),
        (630.0, "resolved", ["b:resolved"]),
    ]
    assert world.posts[1][2]["alerts"][0]["endsAt"] == "2023-11-14T22:14:20Z"
    assert world.dispatcher.groups == {}


async def test_who_does_not_want_to_know_of_resolved_alerts_is_told_of_firing_ones_alone() -> None:
    world = World(CONFIG.replace("hook", "hook", 1).replace('hook"}', 'hook", send_resolved: false}'))
    async with world.running():
        world.fire(pod="a")
        await world.passes(60)
        world.resolve(pod="a")
        await world.passes(400)
        world.fire(pod="a")
        await world.passes(60)
    assert world.seen() == [(30.0, "firing", ["a:firing"]), (490.0, "firing", ["a:firing"])]


async def test_an_alert_that_came_and_went_while_its_group_waited_is_not_told() -> None:
    world = World()
    async with world.running():
        world.fire(pod="a", ends_in=10)
        await world.passes(600)
    assert world.posts == []


async def test_an_alert_that_nobody_tells_of_any_more_ends_by_itself() -> None:
    world = World()
    async with world.running():
        world.fire(pod="a", ends_in=240)
        await world.passes(600)
    assert world.seen() == [(30.0, "firing", ["a:firing"]), (330.0, "resolved", ["a:resolved"])]


async def test_a_webhook_that_fails_is_tried_again_with_longer_pauses() -> None:
    world = World()
    world.codes = [None, 500, 503, 200]
    async with world.running():
        world.fire(pod="a")
        await world.passes(600)
    assert [at for at, _, _ in world.posts] == [30.0, 30.5, 31.25, 32.375]


async def test_a_webhook_that_refuses_is_asked_again_at_the_next_interval_and_one_that_is_down_for_long_too() -> None:
    world = World()
    world.codes = [400]
    async with world.running():
        world.fire(pod="a")
        await world.passes(331)
    assert [at for at, _, _ in world.posts] == [30.0, 330.0]
    world = World()
    world.codes = [None] * 1000
    async with world.running():
        world.fire(pod="a")
        await world.passes(331)
    times = [at for at, _, _ in world.posts]
    assert max(later - at for at, later in itertools.pairwise(times)) <= 60
    assert 330.0 in times


async def test_more_alerts_than_a_webhook_takes_are_counted_and_left_out() -> None:
    world = World(CONFIG.replace('hook"}', 'hook", max_alerts: 2}'))
    async with world.running():
        for pod in "abcde":
            world.fire(pod=pod)
        await world.passes(31)
    message = world.posts[0][2]
    assert (len(message["alerts"]), message["truncatedAlerts"]) == (2, 3)


async def test_rules_tell_alertmanager_when_an_alert_fires_and_when_it_ends() -> None:
    clock, posts = VirtualClock(START), list[Mapping[str, Any]]()

    async def post(webhook: Webhook, message: Mapping[str, Any]) -> int:
        assert webhook.url
        posts.append(message)
        return 200

    store = Store(retention_s=1e9)
    rules = Rules(store, Limits(), 1.0, external_url="http://lab/prometheus")
    rules.replace(
        "groups: [{name: g, rules: [{alert: Slow, expr: queue > 1, for: 5s, annotations: {n: '{{ $value }}'}}]}]"
    )
    manager = Alertmanager.over(rules, clock, read_config(CONFIG.replace("30s", "10s").replace("5m", "20s")), post)
    task = asyncio.create_task(manager.run())
    series = store.series(from_dict({"__name__": "queue", "service": "chat"}))
    for second in range(120):
        store.append(series, round(clock.now() * 1000), 3.0 if second < 60 else 0.0)
        rules.evaluate(clock.now())
        await passes(clock, 1)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert [message["status"] for message in posts] == ["firing", "resolved"]
    (alert,) = posts[1]["alerts"]
    assert alert["labels"] == {"alertname": "Slow", "service": "chat"}
    assert alert["annotations"] == {"n": "3"}
    assert (alert["startsAt"], alert["endsAt"]) == ("2023-11-14T22:13:25Z", "2023-11-14T22:14:20Z")
    assert alert["generatorURL"] == "http://lab/prometheus/graph?g0.expr=queue+%3E+1&g0.tab=1"
