"""Rule files in Prometheus's YAML: read whole, checked whole, nothing dropped in silence.

What is accepted is what `promtool check rules` accepts; every fault is named with its line.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from midwatch_contracts.promql import DEFAULT_FEATURES, Expr, Features, format_expr
from midwatch_lab.metrics.documents import Document, Node, Problem
from midwatch_lab.metrics.engine.query import read
from midwatch_lab.metrics.errors import BadDataError, RulesError, TemplateError
from midwatch_lab.metrics.labels import NAME
from midwatch_lab.metrics.templates.nodes import Text, Tree
from midwatch_lab.metrics.templates.template import Template

_MAX_BYTES: Final = 1_000_000
_SHOWN: Final = 5
_GROUP: Final = frozenset({"name", "interval", "query_offset", "limit", "labels", "rules"})
_RULE: Final = frozenset({"alert", "record", "expr", "for", "keep_firing_for", "labels", "annotations"})
DEFAULT_FILE: Final = "lab"
"""What stands for the file's name where rules were given as text."""


@dataclass(frozen=True)
class Rule:
    """One rule: alerting when `alert` is true, else recording under `name`. Times are seconds."""

    alert: bool
    name: str
    expr: Expr
    labels: tuple[tuple[str, Template], ...]
    raw_labels: tuple[tuple[str, str], ...]
    annotations: tuple[tuple[str, Template], ...] = ()
    raw_annotations: tuple[tuple[str, str], ...] = ()
    hold_s: float = 0.0
    keep_firing_s: float = 0.0

    @property
    def query(self) -> str:
        """The expression in Prometheus's layout."""
        return format_expr(self.expr)

    @property
    def identity(self) -> tuple[object, ...]:
        """What makes a rule of a group the same after its file is replaced, so that its alerts stay."""
        return (self.alert, self.name, tuple(sorted(self.raw_labels)))


@dataclass(frozen=True)
class Group:
    """Rules that are evaluated in order, at one interval (None: the server's). A limit of 0 is none."""

    name: str
    interval_s: float | None
    rules: tuple[Rule, ...]
    query_offset_s: float = 0.0
    limit: int = 0
    file: str = DEFAULT_FILE

    @property
    def identity(self) -> tuple[str, str]:
        """What makes a group the same after its file is replaced."""
        return (self.file, self.name)


def load(text: str, features: Features = DEFAULT_FEATURES, file: str = DEFAULT_FILE) -> list[Group]:
    """Read a rule file.

    Raises:
        RulesError: names the first lines that are wrong, and what is wrong there.
    """
    groups, problems = check(text, features, file)
    if problems:
        shown = "; ".join(f"line {problem}" if problem.line else str(problem) for problem in problems[:_SHOWN])
        more = len(problems) - _SHOWN
        raise RulesError(f"the rule file: {shown}" + (f"; and {more} more" if more > 0 else ""))
    return groups


def check(
    text: str, features: Features = DEFAULT_FEATURES, file: str = DEFAULT_FILE
) -> tuple[list[Group], list[Problem]]:
    """Return a rule file's groups, and everything that is wrong with it; the groups count only where nothing is."""
    if len(text) > _MAX_BYTES:
        return [], [Problem(0, f"the rule file has {len(text)} characters; at most {_MAX_BYTES} are read")]
    reader = _Reader(features, file)
    document = reader.document
    root = document.fields(document.root(text), "a rule file", {"groups"})
    groups: list[Group] = []
    names: set[str] = set()
    for number, node in enumerate(document.items(root.get("groups"), "groups"), 1):
        group = reader.group(node, number)
        if group.name in names:
            document.fault(node, f"the group {group.name!r} stands twice in the file")
        names.add(group.name)
        groups.append(group)
    return groups, sorted(document.problems, key=lambda problem: problem.line)


class _Reader:
    def __init__(self, features: Features, file: str) -> None:
        self.features, self.file = features, file
        self.document = Document()

    def group(self, node: Node, number: int) -> Group:
        document, where = self.document, f"group {number}"
        entry = document.fields(node, where, _GROUP)
        name = document.text(entry.get("name"), f"{where}: name")
        if not name:
            document.fault(node, f"{where}: name must be a text that is not empty")
        where = f"group {name!r}"
        shared = self.names(entry.get("labels"), f"{where}: labels")
        rules = tuple(
            self.rule(rule, f"{where}, rule {position}", shared)
            for position, rule in enumerate(document.items(entry.get("rules"), f"{where}: rules"), 1)
        )
        return Group(
            name,
            document.seconds(entry.get("interval"), f"{where}: interval") or None,
            rules,
            document.seconds(entry.get("query_offset"), f"{where}: query_offset") or 0.0,
            document.integer(entry.get("limit"), f"{where}: limit"),
            self.file,
        )

    def rule(self, node: Node, where: str, shared: Mapping[str, str]) -> Rule:
        document = self.document
        entry = document.fields(node, where, _RULE)
        alert = document.text(entry.get("alert"), f"{where}: alert")
        record = document.text(entry.get("record"), f"{where}: record")
        if bool(alert) == bool(record):
            document.fault(node, f"{where}: a rule has either alert or record")
        name = alert or record
        where = f"{where} ({name})"
        hold = document.seconds(entry.get("for"), f"{where}: for") or 0.0
        keep = document.seconds(entry.get("keep_firing_for"), f"{where}: keep_firing_for") or 0.0
        labels = self.names(entry.get("labels"), f"{where}: labels")
        annotations = self.names(entry.get("annotations"), f"{where}: annotations", named=True)
        if record:
            self.recording(node, where, record, {"for": hold, "keep_firing_for": keep, "annotations": annotations})
        merged = {**shared, **labels}
        strict = entry if alert else {}
        return Rule(
            bool(alert),
            name,
            self.expression(node, entry.get("expr"), where),
            self.templates(merged, strict.get("labels"), labels, f"{where}: label"),
            tuple(merged.items()),
            self.templates(annotations, strict.get("annotations"), annotations, f"{where}: annotation"),
            tuple(annotations.items()),
            hold,
            keep,
        )

    def recording(self, node: Node, where: str, name: str, others: Mapping[str, object]) -> None:
        for field, value in others.items():
            if value:
                self.document.fault(node, f"{where}: a recording rule has no {field}")
        if "{" in name or "}" in name:
            self.document.fault(node, f"{where}: {name!r} is no metric name to record under: labels belong to labels")

    def expression(self, rule: Node, node: Node | None, where: str) -> Expr:
        text = self.document.text(node, f"{where}: expr")
        if not text:
            self.document.fault(node or rule, f"{where}: expr must be a text that is not empty")
            return read("0")
        try:
            return read(text, self.features)
        except BadDataError as error:
            self.document.fault(node, f"{where}: {error}")
            return read("0")

    def names(self, node: Node | None, where: str, *, named: bool = False) -> dict[str, str]:
        """Return labels or (`named`) annotations, which alone may be called `__name__`."""
        found = self.document.texts(node, where)
        for name in found:
            if not name or (name == NAME and not named):
                self.document.fault(node, f"{where}: {name!r} is no label name")
        return found

    def templates(
        self, texts: Mapping[str, str], node: Node | None, checked: Mapping[str, str], where: str
    ) -> tuple[tuple[str, Template], ...]:
        """Read templates. One that is not `checked` (a group's label) shows what is wrong with it in its place."""
        found: list[tuple[str, Template]] = []
        for name, text in texts.items():
            try:
                found.append((name, Template.read(text)))
            except TemplateError as error:
                if node is not None and name in checked:
                    self.document.fault(node, f"{where} {name}: {error}")
                found.append(
                    (name, Template(Tree((Text(f"<error expanding template: error parsing template: {error}>"),))))
                )
        return tuple(found)
