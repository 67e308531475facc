"""Recording and alerting rules: evaluated in order, at an interval, into series and alerts.

An alert is pending from the first evaluation that shows it and fires once it has been shown for `for`. Every alert is
also the series `ALERTS{alertstate=…}` (1) and `ALERTS_FOR_STATE` (since when, Unix seconds); what a rule no longer
gives ends with a staleness marker. A rule that fails writes nothing and ends nothing.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from midwatch_contracts.promql import ValueType
from midwatch_lab.metrics.alerts import ActiveAlert, AlertStates
from midwatch_lab.metrics.engine.evaluate import Limits
from midwatch_lab.metrics.engine.query import instant, read
from midwatch_lab.metrics.errors import ExecutionError, MetricsError, OutOfOrderError
from midwatch_lab.metrics.labels import NAME, Labels, drop_name, from_dict, show
from midwatch_lab.metrics.rule_file import Group, Rule, load
from midwatch_lab.metrics.store import STALE, Series, Store
from midwatch_lab.metrics.templates.functions import World
from midwatch_lab.metrics.templates.template import Given
from midwatch_lab.metrics.templates.values import Sample, Samples, Texts

Notify = Callable[["RuleState", float, float], None]
"""Told of an alerting rule once it was evaluated: the rule, the time, and the group's interval in seconds."""


@dataclass
class RuleState:
    """One rule, how its last evaluation went, its alerts and the series it wrote."""

    rule: Rule
    health: str = "unknown"
    last_error: str = ""
    last_s: float | None = None
    duration_s: float = 0.0
    alerts: AlertStates = field(default_factory=AlertStates)
    written: dict[Series, None] = field(default_factory=dict[Series, None])

    @property
    def state(self) -> str:
        """`firing`, `pending` or `inactive`; `unknown` before the first evaluation."""
        return "unknown" if self.last_s is None else self.alerts.state


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
    external_labels: Mapping[str, str] = field(default_factory=dict[str, str])
    external_url: str = ""
    notify: Notify | None = None
    groups: list[GroupState] = field(default_factory=list[GroupState])
    _orphans: list[Series] = field(default_factory=list[Series])
    """Series of rules that are gone, to be ended at the next evaluation."""

    def replace(self, text: str) -> None:
        """Replace all rules by those of one file's text.

        Raises:
            RulesError: when the text is no rule file; the rules then stay as they were.
        """
        self.adopt(load(text, self.limits.features))

    def adopt(self, loaded: Iterable[Group]) -> None:
        """Replace all groups; a rule that its group had before, by name and labels, keeps its alerts."""
        earlier = {one.group.identity: one for one in self.groups}
        self.groups = []
        for group in loaded:
            old = earlier.pop(group.identity, None)
            if old is not None and old.group == group:
                self.groups.append(old)
                continue
            spare = {} if old is None else dict(enumerate(old.rules))
            states: list[RuleState] = []
            for rule in group.rules:
                same = next((place for place, state in spare.items() if state.rule.identity == rule.identity), None)
                kept = RuleState(rule) if same is None else spare.pop(same)
                states.append(RuleState(rule, alerts=kept.alerts, written=kept.written))
            self.groups.append(GroupState(group, states))
            self._orphans += [series for state in spare.values() for series in state.written]
        self._orphans += [series for old in earlier.values() for state in old.rules for series in state.written]

    def evaluate(self, now: float) -> None:
        """Evaluate every group that is due at `now` (Unix seconds)."""
        for group in self.groups:
            if now + 1e-6 >= group.due_s:
                group.due_s = now + (group.group.interval_s or self.interval_s)
                self.evaluate_group(group, now)
        if self._orphans:
            # What another rule writes by the same name has not ended.
            written = {series for group in self.groups for state in group.rules for series in state.written}
            for series in self._orphans:
                if series not in written:
                    self._write(series, round(now * 1000), STALE)
            self._orphans = []

    def evaluate_group(self, group: GroupState, now: float) -> None:
        """Evaluate the rules of a group, in order, whether they are due or not."""
        begin = time.perf_counter()
        for state in group.rules:
            self._evaluate(state, group.group, now)
        group.last_s, group.duration_s = now, time.perf_counter() - begin

    def alerts(self) -> Iterator[ActiveAlert]:
        """Return all alerts, pending and firing."""
        for group in self.groups:
            for state in group.rules:
                yield from state.alerts.active()

    def _evaluate(self, state: RuleState, group: Group, now: float) -> None:
        begin = time.perf_counter()
        at = round((now - group.query_offset_s) * 1000)
        state.last_s = now
        try:
            samples = self._answer(state.rule, at / 1000)
            if state.rule.alert:
                outcome = self._alert(state, samples, now, group.limit)
            else:
                outcome = _record(state.rule, samples, group.limit)
        except MetricsError as error:
            state.health, state.last_error = "err", str(error)
        else:
            state.health, state.last_error = "ok", ""
            if state.rule.alert and self.notify is not None:
                self.notify(state, now, group.interval_s or self.interval_s)
            self._store(state, outcome, at)
        state.duration_s = time.perf_counter() - begin

    def _store(self, state: RuleState, outcome: Mapping[Labels, float], at: int) -> None:
        written: dict[Series, None] = {}
        for labels, value in outcome.items():
            series = self.store.series(labels)
            problem = self._write(series, at, value)
            if problem is None:
                written[series] = None
            else:
                state.health, state.last_error = "err", problem
        for series in state.written:
            if series not in written:
                self._write(series, at, STALE)
        state.written = written

    def _answer(self, rule: Rule, at_s: float) -> Sequence[tuple[Labels, float]]:
        result = instant(self.store, rule.expr, at_s, self.limits)
        if result.type is ValueType.SCALAR and result.scalar is not None:
            return [((), result.scalar[1])]
        if result.type is not ValueType.VECTOR:
            raise ExecutionError(f"rule result is not a vector or scalar, it is a {result.type.value}")
        return [(labels, points[0][1]) for labels, points in result.series]

    def _alert(
        self, state: RuleState, samples: Sequence[tuple[Labels, float]], now: float, limit: int
    ) -> dict[Labels, float]:
        rule = state.rule
        world = World(now, self.external_url, lambda query: self._asked(query, now))
        shown: dict[Labels, ActiveAlert] = {}
        for sample_labels, value in samples:
            given = Given(dict(sample_labels), value, self.external_labels, self.external_url)
            labels = dict(drop_name(sample_labels))
            labels |= {name: template.fill(given, world, rule.name) for name, template in rule.labels}
            labels["alertname"] = rule.name
            key = from_dict(labels)
            if key in shown:
                raise ExecutionError(
                    "vector contains metrics with the same labelset after applying alert labels, "
                    f"{show(key)}: let labels tell them apart"
                )
            annotations = {name: template.fill(given, world, rule.name) for name, template in rule.annotations}
            shown[key] = ActiveAlert(dict(key), annotations, value, now)
        active = state.alerts.update(shown, rule, now)
        if 0 < limit < len(active):
            state.alerts.clear()
            raise ExecutionError(f"exceeded limit of {limit} with {len(active)} alerts")
        found: dict[Labels, float] = {}
        for alert in active:
            found[from_dict({**alert.labels, NAME: "ALERTS", "alertstate": alert.state})] = 1.0
            found[from_dict({**alert.labels, NAME: "ALERTS_FOR_STATE"})] = float(alert.active_at // 1)
        return found

    def _asked(self, query: str, at_s: float) -> Samples:
        """Answer the function `query` of templates."""
        result = instant(self.store, read(query, self.limits.features), at_s, self.limits)
        if result.type is ValueType.SCALAR and result.scalar is not None:
            return Samples([Sample(Texts(), result.scalar[1])])
        if result.type is not ValueType.VECTOR:
            raise ExecutionError(f"query result is not a vector or scalar, it is a {result.type.value}")
        return Samples(Sample(Texts(labels), points[0][1]) for labels, points in result.series)

    def _write(self, series: Series, at: int, value: float) -> str | None:
        """Add a sample; return why it cannot be, if it cannot."""
        try:
            self.store.append(series, at, value)
        except OutOfOrderError as error:
            return str(error)
        return None


def _record(rule: Rule, samples: Sequence[tuple[Labels, float]], limit: int) -> dict[Labels, float]:
    found: dict[Labels, float] = {}
    for labels, value in samples:
        key = from_dict({**dict(labels), NAME: rule.name, **dict(rule.raw_labels)})
        if key in found:
            raise ExecutionError(
                "vector contains metrics with the same labelset after applying rule labels, "
                f"{show(key)}: let labels tell them apart"
            )
        found[key] = value
    if 0 < limit < len(found):
        raise ExecutionError(f"exceeded limit of {limit} with {len(found)} series")
    return found
