"""Rules over a test's samples, in virtual time: every group is evaluated at every interval, as promtool does."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from midwatch_contracts.promql import ValueType
from midwatch_lab.metrics.alerts import ActiveAlert
from midwatch_lab.metrics.engine.evaluate import Limits
from midwatch_lab.metrics.engine.query import instant, read
from midwatch_lab.metrics.errors import ExecutionError, MetricsError
from midwatch_lab.metrics.labels import Labels
from midwatch_lab.metrics.rule_file import Group
from midwatch_lab.metrics.rules import Rules
from midwatch_lab.metrics.ruletest.document import RuleTest
from midwatch_lab.metrics.store import Series, Store


@dataclass
class Rehearsal:
    """One test's store and rules."""

    test: RuleTest
    interval_s: float
    rules: Rules
    inputs: list[tuple[Series, list[float | None]]]
    _fed: int = field(default=0)

    @classmethod
    def of(cls, test: RuleTest, groups: Iterable[Group], interval_s: float, limits: Limits) -> "Rehearsal":
        """Prepare a test over groups, evaluated every `interval_s` in the order given."""
        store = Store(retention_s=math.inf)
        limits = replace(limits, step_ms=round(interval_s * 1000))
        rules = Rules(store, limits, interval_s, test.external_labels, test.external_url)
        rules.adopt(groups)
        # Of two lines for one series the last counts.
        last = dict(test.series)
        return cls(test, interval_s, rules, [(store.series(labels), list(values)) for labels, values in last.items()])

    def times(self) -> Sequence[float]:
        """Return when rules are evaluated, in seconds from the test's start."""
        return [step * self.interval_s for step in range(math.floor(self.test.end_s / self.interval_s + 1e-9) + 1)]

    def evaluate(self, at_s: float) -> list[str]:
        """Take the samples up to a time (seconds from the start) and evaluate all rules; return how rules failed."""
        last = math.floor(at_s / self.test.interval_s + 1e-9)
        for index in range(self._fed, last + 1):
            at = round((self.test.start_s + index * self.test.interval_s) * 1000)
            for series, values in self.inputs:
                value = values[index] if index < len(values) else None
                if value is not None:
                    self.rules.store.append(series, at, value)
        self._fed = last + 1
        problems: list[str] = []
        for group in self.rules.groups:
            self.rules.evaluate_group(group, self.test.start_s + at_s)
            problems += [f"the rule {one.rule.name} fails: {one.last_error}" for one in group.rules if one.last_error]
        return problems

    def firing(self, name: str) -> list[ActiveAlert]:
        """Return the firing alerts of one name."""
        return [one for one in self.rules.alerts() if one.state == "firing" and one.labels["alertname"] == name]

    def ask(self, query: str, at_s: float) -> list[tuple[Labels, float]]:
        """Return a query's answer at a time, sorted by labels.

        Raises:
            MetricsError: when it does not parse, fails, or answers something else than a vector or a scalar.
        """
        result = instant(
            self.rules.store, read(query, self.rules.limits.features), self.test.start_s + at_s, self.rules.limits
        )
        if result.type is ValueType.SCALAR and result.scalar is not None:
            return [((), result.scalar[1])]
        if result.type is not ValueType.VECTOR:
            raise ExecutionError("rule result is not a vector or scalar")
        return sorted((labels, points[0][1]) for labels, points in result.series)


def ordered(groups: Iterable[Group], order: Sequence[str]) -> list[Group]:
    """Return groups in the order of `group_eval_order`; those that it does not name are as early as its first."""
    places = {name: place for place, name in enumerate(order)}
    return sorted(groups, key=lambda group: places.get(group.name, 0))


def failure(ask: MetricsError) -> str:
    """Return an error of a query as a test shows it."""
    return str(ask).removeprefix('invalid parameter "query": ')
