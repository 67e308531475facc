"""The functions that Prometheus adds: numbers for people, texts, queries, links."""

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote_plus, urlsplit

from midwatch_contracts.promql import duration_ms
from midwatch_lab.errors import PatternError
from midwatch_lab.expressions import compiled
from midwatch_lab.metrics.errors import TemplateError
from midwatch_lab.metrics.templates.go_functions import Called
from midwatch_lab.metrics.templates.humanizing import (
    humanize,
    humanize_1024,
    humanize_duration,
    humanize_percentage,
    humanize_timestamp,
)
from midwatch_lab.metrics.templates.moments import Moment, Span
from midwatch_lab.metrics.templates.values import Anything, Sample, Samples, Value, number, type_name

_REFERENCE = re.compile(r"\$(?:\$|\{(\w+)\}|(\w+))")
_LETTER = re.compile(r"[^\W\d_]")
_WORD = re.compile(r"(?:\w|(?<=[^\W\d_])[.:'\u2019](?=[^\W\d_])|(?<=\d)[.,;'](?=\d))+")


@dataclass(frozen=True)
class World:
    """What functions ask: the time, the address of the server, and (by `query`) the samples."""

    at_s: float
    external_url: str
    query: Callable[[str], Samples]


def parse_duration(given: str) -> float:
    """Return the seconds of a duration such as `1h30m`."""
    sign = -1 if given.startswith("-") else 1
    found = 0 if given == "0" else duration_ms(given.removeprefix("-"))
    if found is None:
        raise TemplateError(f"{given!r} is no duration such as 1h30m")
    return sign * found / 1000


def _string(value: Value) -> str:
    if not isinstance(value, str):
        raise TemplateError(f"a text is needed, not a {type_name(value)}")
    return value


def _samples(value: Value) -> Samples:
    if not isinstance(value, Samples):
        raise TemplateError(f"the answer of a query is needed, not a {type_name(value)}")
    return value


def _sample(value: Value) -> Sample:
    if not isinstance(value, Sample):
        raise TemplateError(f"a sample is needed, as first gives one, not a {type_name(value)}")
    return value


def first(value: Value) -> Sample:
    """Return the first sample of an answer."""
    found = _samples(value)
    if not found:
        raise TemplateError("first was given an answer without samples")
    return found[0]


def sort_by_label(name: Value, value: Value) -> Samples:
    """Return an answer sorted by a label, in place."""
    found, label = _samples(value), _string(name)
    found.sort(key=lambda sample: sample.labels.get(label, ""))
    return found


def title(given: str) -> str:
    """Return a text in which the first letter of every word is a capital; words as Unicode breaks them."""
    return _WORD.sub(lambda word: _LETTER.sub(lambda letter: letter[0].title(), word[0], count=1), given)


def _pattern(value: Value) -> re.Pattern[str]:
    try:
        return compiled(_string(value))
    except PatternError as error:
        raise TemplateError(f"{value!r} is no pattern of RE2: {error}") from error


def replaced(pattern: Value, by: Value, value: Value) -> str:
    """Return a text in which every match is replaced; `$1` and `${name}` are what groups matched."""
    expression, template, subject = _pattern(pattern), _string(by), _string(value)
    out: list[str] = []
    end, last = 0, -1
    for found in expression.finditer(subject):
        if found.start() == found.end() == last:
            continue  # an empty match right behind another is none in Go
        out += [subject[end : found.start()], _expanded(template, found)]
        end = last = found.end()
    return "".join([*out, subject[end:]])


def _expanded(template: str, found: re.Match[str]) -> str:
    names = found.re.groupindex

    def group(reference: re.Match[str]) -> str:
        name = reference[1] or reference[2]
        if name is None:
            return "$"
        if name.isdigit():
            place = int(name)
            return (found.group(place) or "") if place <= found.re.groups else ""
        return (found.group(names[name]) or "") if name in names else ""

    return _REFERENCE.sub(group, template)


def strip_port(given: str) -> str:
    """Return a host without its port; what has none stays."""
    host, colon, _ = given.rpartition(":")
    if given.startswith("["):
        closing = given.find("]")
        return given[1:closing] if closing > 0 and given[closing + 1 : closing + 2] == ":" else given
    return host if colon and ":" not in host else given


def strip_domain(given: str) -> str:
    """Return a host's first label; an address, and a port, stay."""
    host, colon, port = given.rpartition(":")
    if not colon or ":" in host:
        host, colon, port = given, "", ""
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        host = host.partition(".")[0]
    return host + colon + port


def graph_link(query: str) -> str:
    """Return the path of a query's graph in Prometheus's own pages."""
    return f"/graph?g0.expr={quote_plus(query, safe='')}&g0.tab=0"


def table_link(query: str) -> str:
    """Return the path of a query's table in Prometheus's own pages."""
    return f"/graph?g0.expr={quote_plus(query, safe='')}&g0.tab=1"


def label(name: Value, sample: Value) -> str:
    """Return a sample's label."""
    return _sample(sample).labels.get(_string(name), "")


def matches(pattern: Value, value: Value) -> bool:
    """Say whether a pattern of RE2 is found in a text."""
    return _pattern(pattern).search(_string(value)) is not None


def on_text(function: Callable[[str], Value]) -> Called:
    """Return a function of a text as one of a value."""

    def called(value: Value) -> Value:
        return function(_string(value))

    return called


def on_number(function: Callable[[float], Value]) -> Called:
    """Return a function of a number as one of a value: a number, a text or a duration."""

    def called(value: Value) -> Value:
        return function(number(value))

    return called


def on_sample(function: Callable[[Sample], Value]) -> Called:
    """Return a function of a sample as one of a value."""

    def called(value: Value) -> Value:
        return function(_sample(value))

    return called


def arguments(*values: Value) -> Anything:
    """Return the values as `arg0`, `arg1`, …, for a template that takes several."""
    return Anything({f"arg{place}": value for place, value in enumerate(values)})


PURE: Final[dict[str, Called]] = {
    "args": arguments,
    "first": first,
    "graphLink": on_text(graph_link),
    "humanize": on_number(humanize),
    "humanize1024": on_number(humanize_1024),
    "humanizeDuration": on_number(humanize_duration),
    "humanizePercentage": on_number(humanize_percentage),
    "humanizeTimestamp": on_number(humanize_timestamp),
    "label": label,
    "match": matches,
    "parseDuration": on_text(parse_duration),
    "reReplaceAll": replaced,
    "safeHtml": on_text(str),
    "sortByLabel": sort_by_label,
    "stripDomain": on_text(strip_domain),
    "stripPort": on_text(strip_port),
    "strvalue": on_sample(lambda sample: sample.labels.get("__value__", "")),
    "tableLink": on_text(table_link),
    "title": on_text(title),
    "toDuration": on_number(Span.of),
    "toLower": on_text(str.lower),
    "toTime": on_number(Moment.of),
    "toUpper": on_text(str.upper),
    "urlQueryEscape": on_text(quote_plus),
    "value": on_sample(lambda sample: sample.value),
}


def of_world(world: World) -> dict[str, Called]:
    """Return the functions that depend on the time, the server and the samples."""
    return {
        "externalURL": lambda: world.external_url,
        "now": lambda: world.at_s,
        "pathPrefix": lambda: urlsplit(world.external_url).path,
        "query": on_text(world.query),
    }


NAMES: Final = frozenset({*PURE, "externalURL", "now", "pathPrefix", "query"})
