"""The Prometheus text format: one line of a page to one sample.

A page is read line by line, and what a line's text before its value means is kept from scrape to scrape: a line seen
before costs a dictionary look-up and a number. `le` and `quantile` become floats' text here, as in Prometheus since
3.0: when scraped, not in queries and not by remote write.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from midwatch_lab.metrics.errors import ExpositionError
from midwatch_lab.metrics.labels import NAME
from midwatch_lab.metrics.numbers import bound_text
from midwatch_lab.metrics.store import Series

_METRIC = re.compile(r"[A-Za-z_:][A-Za-z0-9_:]*")
_PAIR = re.compile(r'[ \t]*(?:"((?:[^"\\]|\\.)*)"|([A-Za-z_][A-Za-z0-9_]*))[ \t]*(?:=[ \t]*"((?:[^"\\]|\\.)*)")?[ \t]*')
_ESCAPE = re.compile(r"\\(.)")
_ESCAPES = {"n": "\n", "\\": "\\", '"': '"'}
_TYPES = frozenset({"counter", "gauge", "histogram", "summary", "untyped"})
_COMMENT = re.compile(r"#[ \t]+(TYPE|HELP)[ \t]+(\"(?:[^\"\\]|\\.)*\"|\S+)[ \t]?(.*)")


class Sample(NamedTuple):
    """One sample of a page; `time_ms` is None where the page gives none."""

    series: Series
    value: float
    time_ms: int | None


@dataclass
class Metadata:
    """What a page says about a metric."""

    type: str = "unknown"
    help: str = ""


@dataclass
class Page:
    """One target's page, read again and again. `resolve` gives the series of a label set."""

    resolve: Callable[[dict[str, str]], Series]
    metadata: dict[str, Metadata] = field(default_factory=dict[str, Metadata])
    _known: dict[str, Series] = field(default_factory=dict[str, Series])
    _comments: set[str] = field(default_factory=set[str])

    def read(self, text: str) -> list[Sample]:
        """Return the samples of a page.

        Raises:
            ExpositionError: names the first line that is not of the format; no sample of the page counts then.
        """
        samples: list[Sample] = []
        add, known, comments = samples.append, self._known, self._comments
        for number, line in enumerate(text.split("\n"), 1):
            if not line or line in comments:
                continue
            key, _, shown = line.rpartition(" ")
            series = known.get(key)
            if series is not None:
                try:
                    add(Sample(series, float(shown), None))
                except ValueError as error:
                    raise ExpositionError(f"line {number}: {shown[:40]!r} is no number") from error
                continue
            try:
                found = self._first_sight(line)
            except ExpositionError as error:
                raise ExpositionError(f"line {number}: {error}") from error
            if found is not None:
                add(found)
        return samples

    def _first_sight(self, line: str) -> Sample | None:
        text = line.strip(" \t\r")
        if not text:
            return None
        if text.startswith("#"):
            self._comment(text)
            self._comments.add(line)
            return None
        labels, end = read_metric(text)
        fields = text[end:].split()
        if not fields or len(fields) > 2:  # noqa: PLR2004 (value and time)
            raise ExpositionError(f"{text[:80]!r} has no value behind the labels, or more than a value and a time")
        try:
            value, time_ms = float(fields[0]), int(fields[1]) if len(fields) > 1 else None
        except ValueError as error:
            raise ExpositionError(f"{' '.join(fields)[:40]!r} is no number, or no time in milliseconds") from error
        self._normalise(labels)
        series = self.resolve(labels)
        if time_ms is None and line == f"{text[:end]} {fields[0]}":
            self._known[text[:end]] = series
        return Sample(series, value, time_ms)

    def _comment(self, text: str) -> None:
        found = _COMMENT.match(text)
        if found is None:
            return
        name = _unescape(found[2][1:-1]) if found[2].startswith('"') else found[2]
        entry = self.metadata.setdefault(name, Metadata())
        if found[1] == "HELP":
            entry.help = _unescape(found[3])
            return
        kind = found[3].strip()
        if kind not in _TYPES:
            raise ExpositionError(f"the metric {name} has the unknown type {kind!r}")
        entry.type = "unknown" if kind == "untyped" else kind

    def _normalise(self, labels: dict[str, str]) -> None:
        """Write bucket bounds and quantiles as floats."""
        name = labels[NAME]
        for label, family, kind in (("le", name.removesuffix("_bucket"), "histogram"), ("quantile", name, "summary")):
            entry = self.metadata.get(family)
            if label in labels and entry is not None and entry.type == kind:
                try:
                    labels[label] = bound_text(float(labels[label]))
                except ValueError:
                    continue


def read_metric(text: str) -> tuple[dict[str, str], int]:
    """Read `name{a="b"}` or `{"name", a="b"}`; return the labels with `__name__`, and the offset behind them.

    Raises:
        ExpositionError: when the text starts otherwise, or sets a label twice.
    """
    labels: dict[str, str] = {}
    found = _METRIC.match(text)
    end = 0
    if found is not None:
        labels[NAME] = found[0]
        end = found.end()
    brace = end + len(text[end:]) - len(text[end:].lstrip(" \t"))
    if text.startswith("{", brace):
        end = _read_labels(text, brace + 1, labels)
    if NAME not in labels:
        raise ExpositionError(f"{text[:80]!r} starts with no metric name")
    return labels, end


def _read_labels(text: str, position: int, labels: dict[str, str]) -> int:
    while True:
        if text.startswith("}", position):
            return position + 1
        pair = _PAIR.match(text, position)
        if pair is None:
            raise ExpositionError(f'{text[:80]!r} has labels that are not written as name="value"')
        quoted, bare, value = pair.groups()
        name = bare if quoted is None else _unescape(quoted)
        if value is None:
            if quoted is None:
                raise ExpositionError(f"the label {name} has no value")
            name, value = NAME, quoted
        if name in labels:
            raise ExpositionError(f"the label {name} stands twice in {text[:80]!r}")
        labels[name] = _unescape(value)
        position = pair.end()
        if text.startswith(",", position):
            position += 1
            position += len(text[position:]) - len(text[position:].lstrip(" \t"))
        elif not text.startswith("}", position):
            raise ExpositionError(f"the labels of {text[:80]!r} are not closed")


def _unescape(text: str) -> str:
    if "\\" not in text:
        return text
    return _ESCAPE.sub(lambda found: _ESCAPES.get(found[1], found[0]), text)
