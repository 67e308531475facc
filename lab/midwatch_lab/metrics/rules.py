"""Recording and alerting rules: evaluated in order, at an interval, into series and alerts.

An alert is pending from the first evaluation that shows it and fires once it has been shown for `for`. Every alert is
also the series `ALERTS{alertstate=…}` (1) and `ALERTS_FOR_STATE` (since when, Unix seconds); what a rule no longer
gives ends with a staleness marker.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from midwatch_contracts.promql import ValueType
from midwatch_lab.metrics.engine.evaluate import Limits
from midwatch_lab.metrics.engine.query import instant
from midwatch_lab.metrics.errors import ExecutionError, MetricsError, OutOfOrderError
from midwatch_lab.metrics.labels import NAME, Labels, drop_name, from_dict, show
from midwatch_lab.metrics.rule_file import Group, Rule, load
from midwatch_lab.metrics.store import STALE, Series, Store


@dataclass
class ActiveAlert:
    """One alert; times are Unix seconds."""

    labels: dict[str, str]
    annotations: dict[str, str]
    value: float
    active_at: float
    state: Literal["pending", "firing"] = "pending"
    keep_since: float | None = None
    """Since when the rule no longer shows it, while `keep_firing_for` holds it."""


@dataclass
class RuleState:
    """One rule, how its last evaluation went, its alerts and the series it wrote."""

    rule: Rule
    health: str = "unknown"
    last_error: str = ""
    last_s: float | None = None
    duration_s: float = 0.0
    alerts: dict[Labels, ActiveAlert] = field(default_factory=dict[Labels, ActiveAlert])
    written: dict[Series, None] = field(default_factory=dict[Series, None])

    @property
    def state(self) -> str:
        """`firing`, `pending` or `inactive`."""
        states = {alert.state for alert in self.alerts.values()}
        return "firing" if "firing" in states else "pending" if states else "inactive"


@dataclass
class GroupState:
    """One group and its rules."""

    group: Group
    rules: list[RuleState]
    due_s: float = 0.0
    last_s: float | None = None
    duration_s: float = 0.0


@dataclass
class Rules:
    """All rule groups over a store. `interval_s` is that of groups that name none."""

    store: Store
    limits: Limits
    interval_s: float = 1.0
    groups: list[GroupState] = field(default_factory=list[GroupState])
    _orphans: list[Series] = field(default_factory=list[Series])
    """Series of rules that are gone, to be ended at the next evaluation."""

    def replace(self, text: str) -> None:
        """Replace all rules; a rule that is in both files keeps its alerts.

        Raises:
            RulesError: when the text is no rule file; the rules then stay as they were.
        """
        loaded = load(text, self.limits.features)
        before = {(one.group.name, state.rule.identity): state for one in self.groups for state in one.rules}
        groups: list[GroupState] = []
        for group in loaded:
            states: list[RuleState] = []
            for rule in group.rules:
                kept = before.pop((group.name, rule.identity), None)
                states.append(
                    RuleState(rule) if kept is None else RuleState(rule, alerts=kept.alerts, written=kept.written)
                )
            groups.append(GroupState(group, states))
        self._orphans += [series for state in before.values() for series in state.written]
        self.groups = groups

    def evaluate(self, now: float) -> None:
        """Evaluate every group that is due at `now` (Unix seconds)."""
        at = round(now * 1000)
        for series in self._orphans:
            self._write(series, at, STALE)
        self._orphans = []
        for group in self.groups:
            if now + 1e-6 < group.due_s:
                continue
            group.due_s = now + (group.group.interval_s or self.interval_s)
            begin = time.perf_counter()
            for state in group.rules:
                self._evaluate(state, now, at)
            group.last_s, group.duration_s = now, time.perf_counter() - begin

    def alerts(self) -> Iterator[ActiveAlert]:
        """Return all alerts, pending and firing."""
        for group in self.groups:
            for state in group.rules:
                yield from state.alerts.values()

    def _evaluate(self, state: RuleState, now: float, at: int) -> None:
        begin = time.perf_counter()
        try:
            samples = self._samples(state.rule, now)
            outcome = self._alert(state, samples, now) if state.rule.alert else _record(state.rule, samples)
        except MetricsError as error:
            state.health, state.last_error = "err", str(error)
            outcome = {}
        else:
            state.health, state.last_error = "ok", ""
        written = {self.store.series(labels): value for labels, value in outcome.items()}
        for series, value in written.items():
            self._write(series, at, value)
        for series in state.written:
            if series not in written:
                self._write(series, at, STALE)
        state.written = dict.fromkeys(written)
        state.last_s, state.duration_s = now, time.perf_counter() - begin

    def _samples(self, rule: Rule, now: float) -> list[tuple[Labels, float]]:
        result = instant(self.store, rule.expr, now, self.limits)
        if result.type is ValueType.SCALAR and result.scalar is not None:
            return [((), result.scalar[1])]
        return [(labels, points[0][1]) for labels, points in result.series]

    def _alert(self, state: RuleState, samples: list[tuple[Labels, float]], now: float) -> dict[Labels, float]:
        rule = state.rule
        shown: dict[Labels, ActiveAlert] = {}
        for sample_labels, value in samples:
            context = dict(sample_labels)
            labels = dict(drop_name(sample_labels))
            labels |= {name: template.fill(context, value) for name, template in rule.labels}
            labels["alertname"] = rule.name
            key = from_dict(labels)
            if key in shown:
                raise ExecutionError(f"two samples give the alert {show(key)}: let labels tell them apart")
            annotations = {name: template.fill(context, value) for name, template in rule.annotations}
            shown[key] = ActiveAlert(dict(key), annotations, value, now)
        for key, alert in shown.items():
            known = state.alerts.get(key)
            if known is None:
                state.alerts[key] = alert
            else:
                known.value, known.annotations, known.keep_since = alert.value, alert.annotations, None
        for key in [key for key in state.alerts if key not in shown]:
            if not self._kept(state.alerts[key], rule, now):
                del state.alerts[key]
        found: dict[Labels, float] = {}
        for alert in state.alerts.values():
            if alert.state == "pending" and now - alert.active_at >= rule.hold_s - 1e-6:
                alert.state = "firing"
            found[from_dict({**alert.labels, NAME: "ALERTS", "alertstate": alert.state})] = 1.0
            found[from_dict({**alert.labels, NAME: "ALERTS_FOR_STATE"})] = float(int(alert.active_at))
        return found

    @staticmethod
    def _kept(alert: ActiveAlert, rule: Rule, now: float) -> bool:
        """Say whether a firing alert that the rule no longer shows is kept for a while."""
        if alert.state != "firing" or rule.keep_firing_s <= 0:
            return False
        if alert.keep_since is None:
            alert.keep_since = now
        return now - alert.keep_since < rule.keep_firing_s

    def _write(self, series: Series, at: int, value: float) -> None:
        """Add a sample; a rule cannot mend one that is there already at that time."""
        try:
            self.store.append(series, at, value)
        except OutOfOrderError:
            return


def _record(rule: Rule, samples: list[tuple[Labels, float]]) -> dict[Labels, float]:
    found: dict[Labels, float] = {}
    for labels, value in samples:
        key = from_dict({**dict(labels), **dict(rule.raw_labels), NAME: rule.name})
        if key in found:
            raise ExecutionError(f"two samples give the series {show(key)}: let labels tell them apart")
        found[key] = value
    return found
