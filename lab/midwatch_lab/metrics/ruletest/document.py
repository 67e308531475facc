"""A unit test of rule files in promtool's YAML: samples in, alerts and samples expected."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from midwatch_contracts.promql import PromqlError
from midwatch_contracts.times import unix_seconds
from midwatch_lab.metrics.documents import Document, Node, Problem, is_null, line_of
from midwatch_lab.metrics.labels import Labels
from midwatch_lab.metrics.promqltest.values import Sequence, metric_labels, sequence

_MINUTE_S: Final = 60.0
_FILE = frozenset({"rule_files", "evaluation_interval", "group_eval_order", "fuzzy_compare", "tests"})
_TEST = frozenset(
    {
        *("interval", "input_series", "alert_rule_test", "promql_expr_test", "external_labels", "external_url", "name"),
        "start_timestamp",
    }
)
_SECONDS = re.compile(r"-?[0-9]+(?:\.[0-9]+)?")


@dataclass(frozen=True)
class AlertCase:
    """The alerts of one name that are to fire at a time, as (labels, annotations)."""

    line: int
    at_s: float
    name: str
    alerts: tuple[tuple[Mapping[str, str], Mapping[str, str]], ...]


@dataclass(frozen=True)
class QueryCase:
    """What a query is to answer at a time."""

    line: int
    at_s: float
    query: str
    samples: tuple[tuple[Labels, float], ...]


@dataclass(frozen=True)
class RuleTest:
    """One test: samples from its start on, `interval_s` apart, and what is expected. Times count from the start."""

    line: int
    name: str
    interval_s: float
    start_s: float
    series: tuple[tuple[Labels, Sequence], ...]
    alerts: tuple[AlertCase, ...]
    queries: tuple[QueryCase, ...]
    external_labels: Mapping[str, str]
    external_url: str

    @property
    def end_s(self) -> float:
        """The last time at which something is expected."""
        return max((case.at_s for case in (*self.alerts, *self.queries)), default=0.0)


@dataclass(frozen=True)
class TestFile:
    """A unit-test file. `rule_files` are paths and patterns, from the file's folder."""

    __test__ = False

    rule_files: tuple[str, ...]
    interval_s: float
    order: tuple[str, ...]
    fuzzy: bool
    tests: tuple[RuleTest, ...]

    def paths(self, folder: Path) -> list[Path]:
        """Return the rule files that there are, in order."""
        found: list[Path] = []
        for name in self.rule_files:
            base, pattern = (Path(Path(name).anchor), name.lstrip("/")) if Path(name).is_absolute() else (folder, name)
            found += sorted(base.glob(pattern))
        return found


def read_tests(text: str) -> tuple[TestFile, list[Problem]]:
    """Read a unit-test file; it counts only where nothing is wrong with it."""
    reader = _Reader(Document())
    found = reader.file(text)
    return found, sorted(reader.document.problems, key=lambda problem: problem.line)


@dataclass(frozen=True)
class _Reader:
    document: Document

    def file(self, text: str) -> TestFile:
        document = self.document
        root = document.fields(document.root(text), "a test file", _FILE)
        interval = document.seconds(root.get("evaluation_interval"), "evaluation_interval") or _MINUTE_S
        order = document.words(root.get("group_eval_order"), "group_eval_order")
        for name in {name for name in order if order.count(name) > 1}:
            document.fault(root.get("group_eval_order"), f"group_eval_order has {name!r} twice")
        return TestFile(
            tuple(document.words(root.get("rule_files"), "rule_files")),
            interval,
            tuple(order),
            document.truth(root.get("fuzzy_compare"), "fuzzy_compare", default=False),
            tuple(self.test(node, interval) for node in document.items(root.get("tests"), "tests")),
        )

    def test(self, node: Node, interval: float) -> RuleTest:
        document = self.document
        entry = document.fields(node, "a test", _TEST)
        return RuleTest(
            line_of(node),
            document.text(entry.get("name"), "name"),
            document.seconds(entry.get("interval"), "interval") or interval,
            self.start(entry.get("start_timestamp")),
            tuple(self.series(one) for one in document.items(entry.get("input_series"), "input_series")),
            tuple(self.alert(one) for one in document.items(entry.get("alert_rule_test"), "alert_rule_test")),
            tuple(self.query(one) for one in document.items(entry.get("promql_expr_test"), "promql_expr_test")),
            document.texts(entry.get("external_labels"), "external_labels"),
            document.text(entry.get("external_url"), "external_url"),
        )

    def start(self, node: Node | None) -> float:
        given = self.document.text(node, "start_timestamp")
        if not given:
            return 0.0
        try:
            return float(given) if _SECONDS.fullmatch(given) else unix_seconds(given)
        except ValueError:
            self.document.fault(node, f"start_timestamp is Unix seconds or a time in RFC 3339, not {given!r}")
            return 0.0

    def series(self, node: Node) -> tuple[Labels, Sequence]:
        document = self.document
        entry = document.fields(node, "an input series", {"series", "values"})
        try:
            labels = metric_labels(document.text(entry.get("series"), "series"))
            return labels, sequence(document.text(entry.get("values"), "values"))
        except PromqlError as error:
            document.fault(node, f"an input series: {error}")
            return (), []

    def at(self, entry: Mapping[str, Node]) -> float:
        return self.document.seconds(entry.get("eval_time"), "eval_time") or 0.0

    def alert(self, node: Node) -> AlertCase:
        document = self.document
        entry = document.fields(node, "an alert_rule_test", {"eval_time", "alertname", "exp_alerts"})
        name = document.text(entry.get("alertname"), "alertname")
        if not name:
            document.fault(node, "an alert_rule_test needs an alertname")
        alerts: list[tuple[Mapping[str, str], Mapping[str, str]]] = []
        for one in document.items(entry.get("exp_alerts"), "exp_alerts"):
            fields = document.fields(one, "an expected alert", {"exp_labels", "exp_annotations"})
            labels = document.texts(fields.get("exp_labels"), "exp_labels")
            alerts.append((labels, document.texts(fields.get("exp_annotations"), "exp_annotations")))
        return AlertCase(line_of(node), self.at(entry), name, tuple(alerts))

    def query(self, node: Node) -> QueryCase:
        document = self.document
        entry = document.fields(node, "a promql_expr_test", {"eval_time", "expr", "exp_samples"})
        samples = document.items(entry.get("exp_samples"), "exp_samples")
        return QueryCase(
            line_of(node),
            self.at(entry),
            document.text(entry.get("expr"), "expr"),
            tuple(self.sample(one) for one in samples),
        )

    def sample(self, node: Node) -> tuple[Labels, float]:
        document = self.document
        entry = document.fields(node, "an expected sample", {"labels", "value", "histogram"})
        histogram = entry.get("histogram")
        if histogram is not None and not is_null(histogram):
            document.fault(histogram, "native histograms are not offered")
        text = document.text(entry.get("labels"), "labels")
        try:
            labels = metric_labels(text) if text.strip() else ()
        except PromqlError as error:
            document.fault(node, f"an expected sample: labels {text!r}: {error}")
            labels = ()
        return labels, document.number(entry.get("value"), "value")
