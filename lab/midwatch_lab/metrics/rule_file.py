"""Rule files in Prometheus's YAML: read whole, checked whole, nothing dropped in silence."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import yaml

from midwatch_contracts.promql import DEFAULT_FEATURES, Expr, Features, ValueType, duration_ms, expr_type
from midwatch_lab.metrics.engine.query import read
from midwatch_lab.metrics.errors import BadDataError, RulesError
from midwatch_lab.metrics.template import Template

_METRIC = re.compile(r"[A-Za-z_:][A-Za-z0-9_:]*")
_LABEL = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_MAX_BYTES = 1_000_000
_COMMON = {"expr", "labels"}
_ALERT = _COMMON | {"alert", "for", "keep_firing_for", "annotations"}
_RECORD = _COMMON | {"record"}


@dataclass(frozen=True)
class Rule:
    """One rule: alerting when `alert` is true, else recording under `name`. Times are seconds."""

    alert: bool
    name: str
    query: str
    expr: Expr
    labels: tuple[tuple[str, Template], ...]
    raw_labels: tuple[tuple[str, str], ...]
    annotations: tuple[tuple[str, Template], ...] = ()
    raw_annotations: tuple[tuple[str, str], ...] = ()
    hold_s: float = 0.0
    keep_firing_s: float = 0.0

    @property
    def identity(self) -> tuple[object, ...]:
        """What makes a rule the same after the file is replaced, so that its alerts stay."""
        return (self.alert, self.name, self.query, self.raw_labels, self.hold_s)


@dataclass(frozen=True)
class Group:
    """Rules that are evaluated in order, at one interval (None: the server's)."""

    name: str
    interval_s: float | None
    rules: tuple[Rule, ...]


def load(text: str, features: Features = DEFAULT_FEATURES) -> list[Group]:
    """Read a rule file.

    Raises:
        RulesError: names the group, the rule and the field at fault.
    """
    if len(text) > _MAX_BYTES:
        raise RulesError(f"the rule file has {len(text)} characters; at most {_MAX_BYTES} are read")
    try:
        raw = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError) as error:
        raise RulesError(f"the rule file is not YAML: {error}") from error
    if raw is None:
        return []
    document = _mapping(raw, "the rule file", {"groups"})
    entries = enumerate(_list(document.get("groups"), "groups"), 1)
    groups = [_group(entry, number, features) for number, entry in entries]
    names = [group.name for group in groups]
    for name in names:
        if names.count(name) > 1:
            raise RulesError(f"the group {name!r} stands twice in the file")
    return groups


def _group(raw: object, number: int, features: Features) -> Group:
    where = f"group {number}"
    entry = _mapping(raw, where, {"name", "interval", "rules", "labels"})
    name = _text(entry.get("name"), f"{where}: name")
    where = f"group {name!r}"
    interval = entry.get("interval")
    shared = _texts(entry.get("labels"), f"{where}: labels")
    rules = tuple(
        _rule(rule, f"{where}, rule {position}", shared, features)
        for position, rule in enumerate(_list(entry.get("rules"), f"{where}: rules"), 1)
    )
    return Group(name, None if interval is None else _seconds(interval, f"{where}: interval"), rules)


def _rule(raw: object, where: str, shared: Mapping[str, str], features: Features) -> Rule:
    entry = _mapping(raw, where, _ALERT | _RECORD)
    kinds = {"alert", "record"} & set(entry)
    if len(kinds) != 1:
        raise RulesError(f"{where}: a rule has either alert or record")
    alert = kinds == {"alert"}
    _mapping(raw, where, _ALERT if alert else _RECORD)
    name = _text(entry["alert" if alert else "record"], f"{where}: its name")
    if not alert and not _METRIC.fullmatch(name):
        raise RulesError(f"{where}: {name!r} is no metric name to record under")
    where = f"{where} ({name})"
    query = _text(entry.get("expr"), f"{where}: expr")
    try:
        expr = read(query, features)
    except BadDataError as error:
        raise RulesError(f"{where}: {error}") from error
    if expr_type(expr) not in (ValueType.VECTOR, ValueType.SCALAR):
        raise RulesError(f"{where}: expr is a {expr_type(expr)}; it must be an instant vector or a scalar")
    labels = {**shared, **_texts(entry.get("labels"), f"{where}: labels")}
    if not alert and any("{{" in value for value in labels.values()):
        raise RulesError(f"{where}: labels of a recording rule are plain text, not templates")
    annotations = _texts(entry.get("annotations"), f"{where}: annotations")
    return Rule(
        alert,
        name,
        query,
        expr,
        _templates(labels, where),
        tuple(labels.items()),
        _templates(annotations, where),
        tuple(annotations.items()),
        _seconds(entry.get("for", 0), f"{where}: for"),
        _seconds(entry.get("keep_firing_for", 0), f"{where}: keep_firing_for"),
    )


def _templates(texts: Mapping[str, str], where: str) -> tuple[tuple[str, Template], ...]:
    found: list[tuple[str, Template]] = []
    for name, text in texts.items():
        try:
            found.append((name, Template.read(text)))
        except RulesError as error:
            raise RulesError(f"{where}: {name}: {error}") from error
    return tuple(found)


def _mapping(raw: object, where: str, fields: set[str]) -> dict[str, Any]:
    if not isinstance(raw, dict):
        raise RulesError(f"{where} must be a mapping with {', '.join(sorted(fields))}")
    entry = cast("dict[Any, Any]", raw)
    unknown = [str(key) for key in entry if key not in fields]
    if unknown:
        raise RulesError(f"{where}: the field {unknown[0]!r} is not offered; known: {', '.join(sorted(fields))}")
    return entry


def _list(raw: object, where: str) -> list[Any]:
    if raw is None:
        return []
    if not isinstance(raw, list):
        raise RulesError(f"{where} must be a list")
    return cast("list[Any]", raw)


def _text(raw: object, where: str) -> str:
    if isinstance(raw, int | float) and not isinstance(raw, bool):
        return str(raw)
    if not isinstance(raw, str) or not raw:
        raise RulesError(f"{where} must be a text that is not empty")
    return raw


def _texts(raw: object, where: str) -> dict[str, str]:
    if raw is None:
        return {}
    if not isinstance(raw, dict):
        raise RulesError(f"{where} must be a mapping of text to text")
    found: dict[str, str] = {}
    for name, value in cast("dict[Any, Any]", raw).items():
        if not isinstance(name, str) or not _LABEL.fullmatch(name) or name == "__name__":
            raise RulesError(f"{where}: {name!r} is no label name")
        if not isinstance(value, str | int | float) or isinstance(value, bool):
            raise RulesError(f"{where}: the value of {name} must be text")
        found[name] = str(value)
    return found


def _seconds(raw: object, where: str) -> float:
    if raw == 0:
        return 0.0
    found = duration_ms(raw) if isinstance(raw, str) else None
    if found is None:
        raise RulesError(f"{where} must be a duration such as 30s or 5m, not {raw!r}")
    return found / 1000
