"""RE2 patterns as Prometheus uses them: anchored at both ends, `.` matches line ends too."""

from functools import lru_cache

from midwatch_contracts.promql import Matcher
from midwatch_lab.errors import PatternError
from midwatch_lab.expressions import compiled
from midwatch_lab.metrics.errors import BadDataError


class Pattern:
    """One compiled pattern."""

    __slots__ = ("_compiled", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        try:
            self._compiled = compiled(f"^(?s:{text})$")
        except PatternError as error:
            raise BadDataError(f"the pattern {text!r} is not one of RE2: {error}") from error

    def matches(self, value: str) -> bool:
        """Say whether the whole of `value` matches."""
        return self._compiled.match(value) is not None

    def groups(self, value: str) -> "dict[str, str] | None":
        """Return the groups of a match by number and by name (all text), or None where `value` does not match."""
        found = self._compiled.match(value)
        if found is None:
            return None
        groups = {str(i): found.group(i) or "" for i in range(self._compiled.groups + 1)}
        return groups | {name: found.group(name) or "" for name in self._compiled.groupindex}


@lru_cache(maxsize=512)
def pattern(text: str) -> Pattern:
    """Return a compiled pattern.

    Raises:
        BadDataError: when RE2 refuses it.
    """
    return Pattern(text)


def holds(matcher: Matcher, value: str) -> bool:
    """Say whether a label's value (empty where it has none) is one that `matcher` matches.

    Raises:
        BadDataError: when RE2 refuses its pattern.
    """
    if matcher.op in ("=", "!="):
        return (value == matcher.value) == (matcher.op == "=")
    return pattern(matcher.value).matches(value) == (matcher.op == "=~")
