"""The tree of routes: which receivers hear of an alert, and how its notifications are grouped."""

from collections.abc import Mapping
from dataclasses import dataclass

from midwatch_lab.alertmanager.alerts import Alert
from midwatch_lab.alertmanager.matchers import Matcher
from midwatch_lab.metrics.labels import braced, from_dict


@dataclass(frozen=True)
class Route:
    """One route. `identity` is its place in the tree; `group_by` None groups by all labels."""

    identity: str
    key: str
    """The matchers on the way to it, which begin the keys of its groups."""
    receiver: str
    matchers: tuple[Matcher, ...]
    group_by: frozenset[str] | None
    group_wait_s: float
    group_interval_s: float
    repeat_interval_s: float
    goes_on: bool
    """Whether the routes behind it are tried too."""
    routes: "tuple[Route, ...]" = ()

    def find(self, labels: Mapping[str, str]) -> "list[Route]":
        """Return the routes for a label set: the deepest that match, in order; none where this does not."""
        if not all(matcher.holds(labels.get(matcher.name, "")) for matcher in self.matchers):
            return []
        found: list[Route] = []
        for route in self.routes:
            matched = route.find(labels)
            found += matched
            if matched and not route.goes_on:
                break
        return found or [self]

    def group_labels(self, alert: Alert) -> dict[str, str]:
        """Return the labels that make an alert's group."""
        wanted = alert.labels.items()
        return dict(sorted(pair for pair in wanted if self.group_by is None or pair[0] in self.group_by))

    def group_key(self, labels: Mapping[str, str]) -> str:
        """Return a group's key in notifications."""
        return f"{self.key}:{braced(from_dict(labels))}"
