"""Rules and alerts as the HTTP API shows them: filters, pages, shapes."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from midwatch_contracts.promql import Matcher
from midwatch_contracts.times import rfc3339
from midwatch_lab.metrics.alerts import ActiveAlert
from midwatch_lab.metrics.errors import BadDataError
from midwatch_lab.metrics.numbers import exponent_text
from midwatch_lab.metrics.parameters import Parameters
from midwatch_lab.metrics.patterns import holds
from midwatch_lab.metrics.rules import GroupState, Rules, RuleState

_NEVER: Final = "0001-01-01T00:00:00Z"
_TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})
_FALSE = frozenset({"0", "f", "F", "FALSE", "false", "False"})
_INTEGER = re.compile(r"[+-]?[0-9]{1,18}")


@dataclass(frozen=True)
class Wanted:
    """Which rules are asked for, and how many groups."""

    kind: str | None
    rules: frozenset[str]
    groups: frozenset[str]
    files: frozenset[str]
    matchers: Sequence[Sequence[Matcher]]
    alerts: bool
    most: int | None
    token: str | None

    @classmethod
    def of(cls, parameters: Parameters) -> "Wanted":
        """Read a request.

        Raises:
            BadDataError: names the parameter that is wrong.
        """
        kind = (parameters.get("type") or "").lower()
        if kind not in ("", "alert", "record"):
            raise BadDataError(f'invalid parameter "type": not supported value "{parameters.get("type")}"')
        return cls(
            kind or None,
            _all(parameters, "rule_name[]"),
            _all(parameters, "rule_group[]"),
            _all(parameters, "file[]"),
            [selector.all_matchers() for selector in parameters.selectors(required=False)],
            not _excluded(parameters.get("exclude_alerts")),
            *_page(parameters),
        )

    def takes(self, group: GroupState) -> bool:
        """Say whether a group may be shown."""
        named = not self.groups or group.group.name in self.groups
        return named and (not self.files or group.group.file in self.files)

    def takes_rule(self, state: RuleState) -> bool:
        """Say whether a rule is shown."""
        rule = state.rule
        if self.kind is not None and rule.alert != (self.kind == "alert"):
            return False
        if self.rules and rule.name not in self.rules:
            return False
        labels = dict(rule.raw_labels)
        fits = (all(holds(one, labels.get(one.name, "")) for one in matchers) for matchers in self.matchers)
        return not self.matchers or any(fits)


def rule_groups(rules: Rules, wanted: Wanted) -> dict[str, Any]:
    """Return the groups that have what is wanted, by file and name.

    Raises:
        BadDataError: when the token is of no group.
    """
    shown = [one for one in sorted(rules.groups, key=lambda one: one.group.identity) if wanted.takes(one)]
    pairs = [(one, [state for state in one.rules if wanted.takes_rule(state)]) for one in shown]
    pairs = [(one, states) for one, states in pairs if states]
    if wanted.token is not None:
        while pairs and _token(pairs[0][0]) != wanted.token:
            del pairs[0]
        if not pairs:
            raise BadDataError(
                f"invalid parameter \"group_next_token\": invalid group_next_token '{wanted.token}'. "
                "were rule groups changed?"
            )
    cut = pairs if wanted.most is None else pairs[: wanted.most]
    found: dict[str, Any] = {"groups": [_group(one, states, rules, wanted) for one, states in cut]}
    if len(cut) < len(pairs):
        found["groupNextToken"] = _token(pairs[len(cut)][0])
    return found


def alert(found: ActiveAlert) -> dict[str, Any]:
    """Return one alert."""
    return {
        "labels": found.labels,
        "annotations": found.annotations,
        "state": found.state,
        "activeAt": rfc3339(found.active_at),
        **({} if found.keep_since is None else {"keepFiringSince": rfc3339(found.keep_since)}),
        "value": exponent_text(found.value),
    }


def _token(state: GroupState) -> str:
    return hashlib.sha256(";".join(state.group.identity).encode()).hexdigest()


def _group(state: GroupState, shown: list[RuleState], rules: Rules, wanted: Wanted) -> dict[str, Any]:
    return {
        "name": state.group.name,
        "file": state.group.file,
        "rules": [_rule(one, alerts=wanted.alerts) for one in shown],
        "interval": state.group.interval_s or rules.interval_s,
        "limit": state.group.limit,
        **_times(state),
    }


def _rule(state: RuleState, *, alerts: bool) -> dict[str, Any]:
    rule = state.rule
    shown: dict[str, Any] = {"name": rule.name, "query": rule.query, "labels": dict(sorted(rule.raw_labels))}
    if rule.alert:
        shown = {
            "state": state.state,
            **shown,
            "duration": rule.hold_s,
            "keepFiringFor": rule.keep_firing_s,
            "annotations": dict(sorted(rule.raw_annotations)),
            "alerts": [alert(found) for found in state.alerts.active()] if alerts else None,
        }
    return {
        **shown,
        "health": state.health,
        **({"lastError": state.last_error} if state.last_error else {}),
        **_times(state),
        "type": "alerting" if rule.alert else "recording",
    }


def _times(state: GroupState | RuleState) -> dict[str, Any]:
    return {
        "evaluationTime": state.duration_s,
        "lastEvaluation": _NEVER if state.last_s is None else rfc3339(state.last_s),
    }


def _all(parameters: Parameters, name: str) -> frozenset[str]:
    return frozenset(value for key, value in parameters.pairs if key == name)


def _excluded(text: str | None) -> bool:
    if text is not None and text not in _TRUE | _FALSE:
        raise BadDataError(
            'invalid parameter "exclude_alerts": error converting exclude_alerts: '
            f'strconv.ParseBool: parsing "{text}": invalid syntax'
        )
    return text in _TRUE


def _page(parameters: Parameters) -> tuple[int | None, str | None]:
    most, token = parameters.get("group_limit"), parameters.get("group_next_token")
    if most is None:
        if token is not None:
            raise BadDataError(
                'invalid parameter "group_next_token": group_limit needs to be present in order to paginate over '
                "the groups"
            )
        return None, None
    if not _INTEGER.fullmatch(most):
        raise BadDataError(
            'invalid parameter "group_limit": group_limit needs to be a valid number: '
            f'strconv.ParseInt: parsing "{most}": invalid syntax'
        )
    if int(most) <= 0:
        raise BadDataError('invalid parameter "group_limit": group_limit needs to be greater than 0')
    return int(most), token
