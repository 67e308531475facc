"""Relabelling: rules that rewrite a target's or a sample's labels, or drop it, as Prometheus's `relabel_configs` do.

Pure: a label set in, a label set or nothing out.

Source: https://prometheus.io/docs/prometheus/latest/configuration/configuration/#relabel_config.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from midwatch_lab.metrics.engine.relabel import expand
from midwatch_lab.metrics.errors import BadDataError, ScrapeError
from midwatch_lab.metrics.patterns import Pattern, pattern

_SEPARATOR, _REGEX, _REPLACEMENT = ";", "(.*)", "$1"
_TARGETED: Final = ("replace", "hashmod", "lowercase", "uppercase", "keepequal", "dropequal")
ACTIONS: Final = (*_TARGETED, "keep", "drop", "labelmap", "labeldrop", "labelkeep")
_TEXTS: Final = ("separator", "regex", "target_label", "replacement")
_FIELDS: Final = ("source_labels", "modulus", "action", *_TEXTS)


@dataclass(frozen=True)
class Rule:
    """One rule, with Prometheus's defaults."""

    action: str = "replace"
    source_labels: tuple[str, ...] = ()
    separator: str = _SEPARATOR
    regex: str = _REGEX
    modulus: int = 0
    target_label: str = ""
    replacement: str = _REPLACEMENT

    @property
    def pattern(self) -> Pattern:
        """The compiled expression, which matches whole values."""
        return pattern(self.regex)


def relabelled(labels: Mapping[str, str], rules: Sequence[Rule]) -> dict[str, str] | None:
    """Return a label set after all rules, without empty values; None where one drops it."""
    found = {name: value for name, value in labels.items() if value}
    for rule in rules:
        if not _ACTIONS[rule.action](found, rule):
            return None
    return found


def read_rules(given: Any, where: str) -> tuple[Rule, ...]:
    """Read a list of rules, as YAML gives it.

    Raises:
        ScrapeError: names the rule that Prometheus would not load, and why.
    """
    if given is None:
        return ()
    if not isinstance(given, list):
        raise ScrapeError(f"{where} is a list of rules, not {type(given).__name__}")
    return tuple(_read(one, f"{where}[{index}]") for index, one in enumerate(cast("list[Any]", given)))


def scalar(value: Any) -> str:
    """Return a scalar of YAML as the text that it is where a text is wanted."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _read(given: Any, where: str) -> Rule:
    if not isinstance(given, dict):
        raise ScrapeError(f"{where} is a mapping, not {type(given).__name__}")
    fields = cast("dict[str, Any]", given)
    unknown = [name for name in fields if name not in _FIELDS]
    if unknown:
        raise ScrapeError(f"{where}: field {unknown[0]} not found: a rule has {', '.join(_FIELDS)}")
    fields = {name: value for name, value in fields.items() if value is not None}
    sources = fields.get("source_labels", ())
    modulus = fields.get("modulus", 0)
    if not isinstance(sources, (list, tuple)) or not isinstance(modulus, int) or modulus < 0:
        raise ScrapeError(f"{where}: source_labels is a list of names, and modulus a number from 0 on")
    texts = {name: scalar(fields[name]) for name in _TEXTS if name in fields}
    action = str(fields.get("action", "replace")).lower()
    rule = Rule(action, tuple(map(str, cast("Sequence[Any]", sources))), modulus=modulus, **texts)
    problem = _problem(rule)
    if problem:
        raise ScrapeError(f"{where}: {problem}")
    return rule


def _problem(rule: Rule) -> str:  # noqa: PLR0911 (one a rule of the original)
    """Say in the original's words why a rule cannot be; nothing where it can."""
    if rule.action not in ACTIONS:
        return f'unknown relabel action "{rule.action}"'
    try:
        pattern(rule.regex)
    except BadDataError as error:
        return str(error)
    if rule.action == "hashmod" and not rule.modulus:
        return "relabel configuration for hashmod requires non-zero modulus"
    if rule.action in _TARGETED and not rule.target_label:
        return f"relabel configuration for {rule.action} action requires 'target_label' value"
    if rule.action in ("lowercase", "uppercase", "keepequal", "dropequal") and rule.replacement != _REPLACEMENT:
        return f"'replacement' can not be set for {rule.action} action"
    if rule.action == "labelmap" and not rule.replacement:
        return f"\"{rule.replacement}\" is invalid 'replacement' for {rule.action} action"
    if rule.action in ("keepequal", "dropequal") and (rule.regex, rule.modulus, rule.separator) != (_REGEX, 0, ";"):
        return f"{rule.action} action requires only 'source_labels' and `target_label`, and no other fields"
    if rule.action in ("labeldrop", "labelkeep") and rule != Rule(rule.action, regex=rule.regex):
        return f"{rule.action} action requires only 'regex', and no other fields"
    if "" in rule.source_labels:
        return '"" is not a valid label name'
    return ""


def _value(labels: Mapping[str, str], rule: Rule) -> str:
    return rule.separator.join(labels.get(name, "") for name in rule.source_labels)


def _set(labels: dict[str, str], name: str, value: str) -> bool:
    if value:
        labels[name] = value
    else:
        labels.pop(name, None)
    return True


def _replace(labels: dict[str, str], rule: Rule) -> bool:
    if (rule.regex, rule.replacement) == (_REGEX, _REPLACEMENT) and "$" not in rule.target_label:
        return _set(labels, rule.target_label, _value(labels, rule))  # what most rules are, without an expression
    groups = rule.pattern.groups(_value(labels, rule))
    if groups is None:
        return True
    target = expand(rule.target_label, groups)
    return _set(labels, target, expand(rule.replacement, groups)) if target else True


def _cased(text: str, change: Callable[[str], str]) -> str:
    """Change letter by letter, as Go does: one that would become two stays."""
    return "".join(other if len(other := change(one)) == 1 else one for one in text)


def _hashmod(labels: dict[str, str], rule: Rule) -> bool:
    # The original takes the last eight bytes of an MD5 sum, in no way for secrecy.
    digest = hashlib.md5(_value(labels, rule).encode(), usedforsecurity=False).digest()
    return _set(labels, rule.target_label, str(int.from_bytes(digest[8:], "big") % rule.modulus))


def _labelmap(labels: dict[str, str], rule: Rule) -> bool:
    for name, value in sorted(labels.items()):
        groups = rule.pattern.groups(name)
        if groups is not None:
            _set(labels, expand(rule.replacement, groups), value)
    return True


def _keep_labels(labels: dict[str, str], rule: Rule, *, matching: bool) -> bool:
    for name in [name for name in labels if rule.pattern.matches(name) != matching]:
        del labels[name]
    return True


_ACTIONS: Final[dict[str, Callable[[dict[str, str], Rule], bool]]] = {
    "replace": _replace,
    "keep": lambda labels, rule: rule.pattern.matches(_value(labels, rule)),
    "drop": lambda labels, rule: not rule.pattern.matches(_value(labels, rule)),
    "keepequal": lambda labels, rule: labels.get(rule.target_label, "") == _value(labels, rule),
    "dropequal": lambda labels, rule: labels.get(rule.target_label, "") != _value(labels, rule),
    "lowercase": lambda labels, rule: _set(labels, rule.target_label, _cased(_value(labels, rule), str.lower)),
    "uppercase": lambda labels, rule: _set(labels, rule.target_label, _cased(_value(labels, rule), str.upper)),
    "hashmod": _hashmod,
    "labelmap": _labelmap,
    "labeldrop": lambda labels, rule: _keep_labels(labels, rule, matching=False),
    "labelkeep": lambda labels, rule: _keep_labels(labels, rule, matching=True),
}
