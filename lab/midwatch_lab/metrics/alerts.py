"""The alerts of one rule: pending, firing, kept, resolved."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from midwatch_lab.metrics.labels import Labels
from midwatch_lab.metrics.rule_file import Rule

_RESOLVED_KEPT_S: Final = 15 * 60.0
"""How long a resolved alert is remembered, so that it can be told to Alertmanager again."""
RESEND_S: Final = 60.0
"""How often Alertmanager is told again of an alert that fires."""
_NEARLY: Final = 1e-6


@dataclass
class ActiveAlert:
    """One alert; times are Unix seconds."""

    labels: dict[str, str]
    annotations: dict[str, str]
    value: float
    active_at: float
    state: Literal["pending", "firing", "inactive"] = "pending"
    fired_at: float = 0.0
    keep_since: float | None = None
    """Since when the rule no longer shows it, while `keep_firing_for` holds it."""
    resolved_at: float | None = None
    sent_at: float | None = None
    """When Alertmanager was told of it last."""

    def due(self, now: float) -> bool:
        """Say whether Alertmanager is to be told of it now."""
        if self.state == "pending":
            return False
        if self.sent_at is None or (self.resolved_at is not None and self.resolved_at > self.sent_at):
            return True
        return now - self.sent_at > RESEND_S


@dataclass
class AlertStates:
    """The alerts of a rule by their labels, those that are resolved for a while too."""

    known: dict[Labels, ActiveAlert] = field(default_factory=dict[Labels, ActiveAlert])

    def active(self) -> Iterator[ActiveAlert]:
        """Return the alerts that are pending or firing."""
        return (alert for alert in self.known.values() if alert.resolved_at is None)

    @property
    def state(self) -> str:
        """`firing`, `pending` or `inactive`."""
        states = {alert.state for alert in self.active()}
        return "firing" if "firing" in states else "pending" if states else "inactive"

    def clear(self) -> None:
        """Forget all of them."""
        self.known.clear()

    def due(self, now: float) -> list[ActiveAlert]:
        """Return those that Alertmanager is to be told of, and note that it is."""
        found = [alert for alert in self.known.values() if alert.due(now)]
        for alert in found:
            alert.sent_at = now
        return found

    def update(self, shown: Mapping[Labels, ActiveAlert], rule: Rule, now: float) -> list[ActiveAlert]:
        """Take in what a rule shows at `now`; return the alerts that are pending or firing then."""
        for key, alert in shown.items():
            known = self.known.get(key)
            if known is None or known.state == "inactive":
                self.known[key] = alert
            else:
                known.value, known.annotations, known.keep_since = alert.value, alert.annotations, None
        for key, alert in list(self.known.items()):
            if key not in shown:
                self._missing(key, alert, rule, now)
            elif alert.state == "pending" and now - alert.active_at >= rule.hold_s - _NEARLY:
                alert.state, alert.fired_at = "firing", now
        return list(self.active())

    def _missing(self, key: Labels, alert: ActiveAlert, rule: Rule, now: float) -> None:
        if alert.state == "firing" and rule.keep_firing_s > 0:
            alert.keep_since = now if alert.keep_since is None else alert.keep_since
            if now - alert.keep_since < rule.keep_firing_s - _NEARLY:
                return
        old = alert.resolved_at is not None and now - alert.resolved_at > _RESOLVED_KEPT_S
        if alert.state == "pending" or old:
            del self.known[key]
        elif alert.state == "firing":
            alert.state, alert.resolved_at = "inactive", now
