"""A matcher of a selector, compiled once and tried on many label sets."""

from collections.abc import Mapping

from midwatch_contracts.promql import Matcher
from midwatch_lab.metrics.patterns import pattern


class CompiledMatcher:
    """One matcher, ready to be tried on many series."""

    __slots__ = ("name", "negated", "pattern", "value")

    def __init__(self, matcher: Matcher) -> None:
        self.name, self.value = matcher.name, matcher.value
        self.negated = matcher.op in ("!=", "!~")
        self.pattern = pattern(matcher.value) if matcher.op in ("=~", "!~") else None

    def holds(self, labels: Mapping[str, str]) -> bool:
        """Say whether a label set passes; a label that is missing is empty."""
        found = labels.get(self.name, "")
        matched = found == self.value if self.pattern is None else self.pattern.matches(found)
        return matched != self.negated
