"""Rules: pending, firing, resolved; recorded series; what is refused."""

from typing import Any

import pytest

from midwatch_lab.metrics.engine.evaluate import Limits
from midwatch_lab.metrics.engine.query import instant, read
from midwatch_lab.metrics.errors import RulesError
from midwatch_lab.metrics.labels import from_dict
from midwatch_lab.metrics.numbers import shortest_text
from midwatch_lab.metrics.rules import Rules
from midwatch_lab.metrics.store import Store

RULES = """
groups:
- name: serving
  interval: 1s
  rules:
  - record: service:queue:sum
    expr: sum by (service) (queue)
    labels: {team: night}
  - alert: QueueLong
    expr: service:queue:sum > 10
    for: 5s
    labels: {severity: page, namespace: "{{ $labels.service }}-ns"}
    annotations:
      summary: "{{ $labels.service }} has {{ $value }} waiting{{ $labels.nothing }}"
"""


class World:
    def __init__(self, rules: str = RULES) -> None:
        self.store = Store(retention_s=1e9)
        self.rules = Rules(self.store, Limits())
        self.rules.replace(rules)
        self.now = 1_700_000_000.0

    def tick(self, **queues: float) -> None:
        """A second passes: samples come in and rules are evaluated."""
        self.now += 1
        for service, value in queues.items():
            series = self.store.series(from_dict({"__name__": "queue", "service": service, "pod": "p"}))
            self.store.append(series, round(self.now * 1000), value)
        self.rules.evaluate(self.now)

    def states(self) -> list[tuple[str, str]]:
        return [(alert.labels.get("service", ""), alert.state) for alert in self.rules.alerts()]

    def ask(self, query: str) -> dict[Any, float]:
        result = instant(self.store, read(query), self.now, Limits())
        return {labels: points[0][1] for labels, points in result.series}


def test_an_alert_is_pending_until_it_was_shown_for_its_time_and_ends_at_once() -> None:
    world = World()
    world.tick(chat=3)
    assert world.states() == []
    for _ in range(5):
        world.tick(chat=12.5)
        assert world.states() == [("chat", "pending")]
    world.tick(chat=12.5)
    assert world.states() == [("chat", "firing")]
    alert = next(world.rules.alerts())
    assert alert.labels == {
        "alertname": "QueueLong",
        "service": "chat",
        "team": "night",
        "severity": "page",
        "namespace": "chat-ns",
    }
    assert alert.annotations == {"summary": "chat has 12.5 waiting"}
    assert alert.active_at == world.now - 5
    world.tick(chat=1)
    assert world.states() == []


def test_alerts_are_series_that_end_with_them() -> None:
    world = World()
    world.tick(chat=12)
    assert [dict(labels)["alertstate"] for labels in world.ask("ALERTS")] == ["pending"]
    assert list(world.ask("ALERTS_FOR_STATE").values()) == [world.now]
    for _ in range(5):
        world.tick(chat=12)
    assert [dict(labels)["alertstate"] for labels in world.ask('ALERTS{alertname="QueueLong"}')] == ["firing"]
    world.tick(chat=1)
    assert world.ask('{__name__=~"ALERTS.*"}') == {}


def test_a_recorded_series_carries_its_labels_and_feeds_the_next_rule() -> None:
    world = World()
    world.tick(chat=12, embed=1)
    assert world.ask("service:queue:sum") == {
        from_dict({"__name__": "service:queue:sum", "service": "chat", "team": "night"}): 12,
        from_dict({"__name__": "service:queue:sum", "service": "embed", "team": "night"}): 1,
    }
    assert world.states() == [("chat", "pending")]


def test_a_short_interruption_starts_the_time_anew() -> None:
    world = World()
    for value in (12, 12, 12, 1, 12):
        world.tick(chat=value)
    for _ in range(4):
        world.tick(chat=12)
        assert world.states() == [("chat", "pending")]
    world.tick(chat=12)
    assert world.states() == [("chat", "firing")]


def test_a_firing_alert_is_kept_for_a_while_where_the_rule_says_so() -> None:
    world = World("groups: [{name: g, rules: [{alert: A, expr: queue > 10, keep_firing_for: 3s}]}]")
    world.tick(chat=12)
    assert world.states() == [("chat", "firing")]
    for _ in range(3):
        world.tick(chat=1)
        assert world.states() == [("chat", "firing")]
    world.tick(chat=1)
    assert world.states() == []


def test_replacing_the_rules_keeps_the_alerts_of_a_rule_that_stays_and_ends_the_series_of_one_that_goes() -> None:
    world = World()
    for _ in range(6):
        world.tick(chat=12)
    world.rules.replace(RULES.replace("summary:", "description:"))
    world.tick(chat=12)
    assert world.states() == [("chat", "firing")]
    world.rules.replace("groups: []")
    world.tick(chat=12)
    assert world.states() == []
    assert world.ask('{__name__=~"ALERTS.*|service:.*"}') == {}


def test_a_rule_that_moves_to_another_group_goes_on_writing_its_series() -> None:
    text = "groups: [{name: %s, rules: [{record: r, expr: sum(queue)}]}]"
    world = World(text % "g")
    world.tick(chat=1)
    world.rules.replace(text % "h")
    world.tick(chat=2)
    assert list(world.ask("r").values()) == [2]
    assert world.rules.groups[0].rules[0].last_error == ""


def test_a_rule_with_another_expression_and_the_same_name_and_labels_keeps_its_alerts() -> None:
    text = "groups: [{name: g, rules: [{alert: A, expr: queue > %s, for: 3s, labels: {a: b}}]}]"
    world = World(text % "1")
    for _ in range(3):
        world.tick(chat=5)
    world.rules.replace(text % "2")
    world.tick(chat=5)
    assert world.states() == [("chat", "firing")]
    world.rules.replace((text % "2").replace("a: b", "a: c"))
    world.tick(chat=5)
    assert world.states() == [("chat", "pending")]


def test_a_rule_that_fails_says_so_and_the_others_go_on() -> None:
    world = World("groups: [{name: g, rules: [{alert: A, expr: queue * on () queue}, {record: ok, expr: sum(queue)}]}]")
    world.tick(chat=1, embed=2)
    bad, good = world.rules.groups[0].rules
    assert bad.health == "err"
    assert "many-to-many" in bad.last_error
    assert good.health == "ok"
    assert list(world.ask("ok").values()) == [3]


def test_two_samples_that_give_one_alert_are_an_error() -> None:
    world = World('groups: [{name: g, rules: [{alert: A, expr: "queue", labels: {service: same}}]}]')
    world.tick(chat=1, embed=2)
    assert "tell them apart" in world.rules.groups[0].rules[0].last_error


def test_a_rule_that_fails_ends_no_series_and_keeps_its_alerts() -> None:
    rules = "groups: [{name: g, rules: [{alert: A, expr: queue * on () queue > 0}]}]"
    world = World(rules)
    world.tick(chat=1)
    assert world.states() == [("", "firing")]
    world.tick(chat=1, embed=2)
    assert "many-to-many" in world.rules.groups[0].rules[0].last_error
    assert len(world.ask("ALERTS")) == len(world.states()) == 1


def test_an_expression_that_is_no_vector_is_loaded_and_fails_when_it_is_evaluated() -> None:
    world = World("groups: [{name: g, rules: [{record: r, expr: 'queue[5m]'}]}]")
    world.tick(chat=1)
    assert "not a vector or scalar" in world.rules.groups[0].rules[0].last_error


def test_more_alerts_or_series_than_a_group_may_have_are_none() -> None:
    world = World("groups: [{name: g, limit: 1, rules: [{alert: A, expr: queue > 0}, {record: r, expr: queue}]}]")
    world.tick(chat=1)
    assert [state.last_error for state in world.rules.groups[0].rules] == ["", ""]
    world.tick(chat=1, embed=1)
    alert, record = world.rules.groups[0].rules
    assert (alert.last_error, alert.health) == ("exceeded limit of 1 with 2 alerts", "err")
    assert record.last_error == "exceeded limit of 1 with 2 series"
    assert world.states() == []


def test_a_query_offset_looks_back_and_writes_back() -> None:
    world = World("groups: [{name: g, query_offset: 2s, rules: [{record: r, expr: queue}]}]")
    for value in (1, 2, 3, 4):
        world.tick(chat=value)
    series = next(series for series in world.store if series.lookup["__name__"] == "r")
    assert series.samples() == [(1_700_000_001_000, 1), (1_700_000_002_000, 2)]


def test_labels_of_a_group_are_those_of_its_rules_unless_they_say_otherwise() -> None:
    rules = """
groups:
- name: g
  labels: {team: night, severity: "{{ $labels.service }}"}
  rules: [{alert: A, expr: queue, labels: {team: day}}, {record: r, expr: queue}]
"""
    world = World(rules)
    world.tick(chat=1)
    alert = next(world.rules.alerts())
    assert (alert.labels["team"], alert.labels["severity"]) == ("day", "chat")
    (recorded,) = world.ask("r")
    assert dict(recorded)["severity"] == "{{ $labels.service }}"


def test_a_group_keeps_its_own_interval() -> None:
    world = World("groups: [{name: g, interval: 3s, rules: [{record: r, expr: time()}]}]")
    for _ in range(7):
        world.tick(chat=1)
    series = next(series for series in world.store if series.lookup["__name__"] == "r")
    assert [at for at, _ in series.samples()] == [1_700_000_001_000, 1_700_000_004_000, 1_700_000_007_000]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not YAML"),
        ("[]", "line 1: a rule file is a mapping"),
        ("groops: []", "no field 'groops'"),
        ("groups:\n- rules: []", "line 2: group 1: name must be a text"),
        ("groups: [{name: g}, {name: g}]", "stands twice"),
        ("groups: [{name: g, name: h}]", "'name' stands twice, first in line 1"),
        ("groups: [{name: g, limit: much}]", "limit is a whole number"),
        ("groups: [{name: g, interval: soon}]", "interval is a duration"),
        ("groups: [{name: g, rules: [{expr: x}]}]", "either alert or record"),
        ("groups: [{name: g, rules: [{alert: A, record: r, expr: x}]}]", "either alert or record"),
        ("groups: [{name: g, rules: [{alert: A}]}]", r"rule 1 \(A\): expr must be a text"),
        ("groups: [{name: g, rules: [{alert: A, expr: 'sum(x'}]}]", "1:6: parse error"),
        ("groups: [{name: g, rules: [{record: 'a{b=\"c\"}', expr: x}]}]", "no metric name"),
        ("groups: [{name: g, rules: [{record: r, expr: x, for: 1m}]}]", "a recording rule has no for"),
        ("groups: [{name: g, rules: [{alert: A, expr: x, labels: {__name__: c}}]}]", "no label name"),
        ("groups: [{name: g, rules: [{alert: A, expr: x, labels: {a: [b]}}]}]", "a is text"),
        (
            "groups: [{name: g, rules: [{alert: A, expr: x, annotations: {a: '{{ $value | human }}'}}]}]",
            "no function human",
        ),
        ("groups: [{name: g, rules: [{alert: A, expr: x, annotations: {a: '{{ $value'}}]}]", "not closed"),
    ],
)
def test_what_prometheus_would_not_load_is_refused_by_line_and_place(text: str, message: str) -> None:
    world = World()
    with pytest.raises(RulesError, match=message):
        world.rules.replace(text)
    assert world.rules.groups[0].group.name == "serving"


@pytest.mark.parametrize(
    ("value", "text"), [(12.0, "12"), (0.25, "0.25"), (1e6, "1e+06"), (1234567, "1.234567e+06"), (1e-5, "1e-05")]
)
def test_values_in_annotations_are_written_as_go_writes_them(value: float, text: str) -> None:
    assert shortest_text(value) == text
