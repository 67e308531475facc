"""Matchers of routes, in Alertmanager's notation: `severity="page"`, `team=~"a|b"`, `{job!=x, env!~"test.*"}`."""

import re
from dataclasses import dataclass

from midwatch_lab.errors import PatternError
from midwatch_lab.expressions import compiled

_MATCHER = re.compile(r"\s*([A-Za-z_:][A-Za-z0-9_:]*)\s*(=~|!=|!~|=)\s*(.*?)\s*", re.DOTALL)
_PART = re.compile(r'(?:[^",\\]|\\.|"(?:[^"\\]|\\.)*")+', re.DOTALL)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)


@dataclass(frozen=True)
class Matcher:
    """One condition on a label; a label that is missing is an empty text."""

    name: str
    op: str
    value: str

    def holds(self, value: str) -> bool:
        """Say whether a label's value fits."""
        if self.op in ("=", "!="):
            return (value == self.value) == (self.op == "=")
        return (compiled(f"^(?:{self.value})$").search(value) is not None) == (self.op == "=~")

    def __str__(self) -> str:
        escaped = self.value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
        return f'{self.name}{self.op}"{escaped}"'


def matchers(text: str) -> list[Matcher]:
    """Read one or several matchers, with or without braces.

    Raises:
        ValueError: names what is no matcher.
    """
    inner = text.strip()
    if inner.startswith("{") and inner.endswith("}"):
        inner = inner[1:-1]
    return [_matcher(part) for part in _PART.findall(inner) if part.strip()]


def _matcher(text: str) -> Matcher:
    found = _MATCHER.fullmatch(text)
    if found is None:
        raise ValueError(f'{text.strip()!r} is no matcher such as severity="page" or team=~"a|b"')
    value = found[3]
    if value.startswith('"'):
        if len(value) == 1 or not value.endswith('"'):
            raise ValueError(f"{text.strip()!r} has a quote that is not closed")
        value = _ESCAPE.sub(lambda escape: "\n" if escape[1] == "n" else escape[1], value[1:-1])
    return made(found[1], found[2], value)


def made(name: str, op: str, value: str) -> Matcher:
    """Return a matcher whose pattern, if it has one, is good.

    Raises:
        ValueError: when RE2 refuses it.
    """
    if op in ("=~", "!~"):
        try:
            compiled(f"^(?:{value})$")
        except PatternError as error:
            raise ValueError(f"{value!r} is no pattern of RE2: {error}") from error
    return Matcher(name, op, value)
