"""One line of a page, in the Prometheus text format 0.0.4 or in OpenMetrics 1.0: a sample, or what it says of a metric.

What each format allows is what the original's parsers allow, which is not all that the formats' own texts say:
OpenMetrics has one space wherever it has any, and no comments; the older format takes blanks and tabs where it likes.
One thing is not as in the original, which takes blanks before a sample for a part of its name.

Sources: https://prometheus.io/docs/instrumenting/exposition_formats/, https://prometheus.io/docs/specs/om/open_metrics_spec/.
"""

import math
import re
from dataclasses import dataclass
from typing import Final, NamedTuple

from midwatch_lab.metrics.errors import ExpositionError
from midwatch_lab.metrics.labels import NAME

_QUOTED: Final = r'"((?:[^"\\]|\\.)*)"'
_NAME: Final = r"([A-Za-z_:][A-Za-z0-9_:]*)"
_METRIC: Final = re.compile(_NAME)
_PAIR: Final = re.compile(
    rf"[ \t]*(?:{_QUOTED}|([A-Za-z_][A-Za-z0-9_]*))[ \t]*(?:(=)[ \t]*(?:{_QUOTED})?[ \t]*)?", re.DOTALL
)
_TIGHT_PAIR: Final = re.compile(rf"(?:{_QUOTED}|([A-Za-z_][A-Za-z0-9_]*))(?:(=)(?:{_QUOTED})?)?", re.DOTALL)
_COMMENT: Final = re.compile(rf"#[ \t]+(HELP|TYPE)[ \t]+(?:{_QUOTED}|{_NAME})?[ \t]?(.*)", re.DOTALL)
_TIGHT_COMMENT: Final = re.compile(rf"# (HELP|TYPE|UNIT) (?:{_QUOTED}|{_NAME})?(?: (.*))?", re.DOTALL)
_UNFINISHED: Final = re.compile(rf"(?:[^\"]|{_QUOTED})*\"(?:[^\"\\]|\\.)*\\?", re.DOTALL)
_ESCAPE: Final = re.compile(r'\\([n\\"])')
_HELP_ESCAPE: Final = re.compile(r"\\([n\\])")
_SHOWN: Final = 80
_DIGITS: Final = re.compile(r"[0-9]+")
_MAX_MS: Final = 2**63 - 1


@dataclass(frozen=True)
class Format:
    """A format of pages; `tight` is OpenMetrics, which has no room for blanks."""

    tight: bool
    types: frozenset[str]


TEXT: Final = Format(tight=False, types=frozenset({"counter", "gauge", "histogram", "summary", "untyped"}))
OPEN_METRICS: Final = Format(
    tight=True,
    types=frozenset(
        {"counter", "gauge", "histogram", "gaugehistogram", "summary", "info", "stateset", "unknown"},
    ),
)


class Line(NamedTuple):
    """A sample as its line says it: `end` is where the text before its value ends; `time_ms` may be missing."""

    labels: dict[str, str]
    end: int
    value: float
    time_ms: int | None


class Said(NamedTuple):
    """What a comment says of a metric: `what` is `HELP`, `TYPE` or `UNIT`."""

    what: str
    metric: str
    text: str


def number(text: str) -> float:
    """Return a value.

    Raises:
        ExpositionError: when it is none, or too large for a float.
    """
    try:
        found = float(text) if text.isascii() and "_" not in text and text[:2].lower() not in ("+n", "-n") else None
    except ValueError:
        found = None
    if found is None or text != text.strip() or (math.isinf(found) and "i" not in text.lower()):
        raise ExpositionError(f"{text[:_SHOWN]!r} is no number")
    return found


def is_unfinished(line: str) -> bool:
    """Say whether a line ends within quotes, and so goes on in the next."""
    return '"' in line and not line.startswith("#") and _UNFINISHED.fullmatch(line) is not None


def read_sample(text: str, form: Format) -> Line:
    """Read a line with a sample.

    Raises:
        ExpositionError: says what is wrong with it.
    """
    labels, end = _metric(text, form)
    return _open_metrics_rest(text, labels, end) if form.tight else _text_rest(text, labels, end)


def read_comment(text: str, form: Format) -> Said | None:
    """Read a line that starts with `#`; None for a comment that says nothing of a metric.

    Raises:
        ExpositionError: when it is not of the format.
    """
    found = (_TIGHT_COMMENT if form.tight else _COMMENT).fullmatch(text)
    if found is None:
        if form.tight:
            raise ExpositionError(f"{text[:_SHOWN]!r} is neither HELP, TYPE, UNIT nor EOF: comments are not allowed")
        return None
    what, quoted, bare, rest = found.groups()
    if quoted is None and bare is None:
        raise ExpositionError(f"{text[:_SHOWN]!r} names no metric")
    metric = str(bare) if quoted is None else _unescaped(quoted)
    said = str(rest or "")
    if what == "TYPE" and said not in form.types:
        raise ExpositionError(f"the metric {metric} has the unknown type {said[:_SHOWN]!r}")
    if what == "UNIT" and said and not metric.endswith(f"_{said}"):
        raise ExpositionError(f"the unit {said!r} is not the end of the metric's name {metric}")
    if what == "HELP":
        _check_utf8(said)
        said = (_ESCAPE if form.tight else _HELP_ESCAPE).sub(_character, said)
    return Said(what, metric, said)


def _metric(text: str, form: Format) -> tuple[dict[str, str], int]:
    """Read `name{a="b"}` or `{"name",a="b"}`; return the labels with `__name__`, and the offset behind them."""
    labels: dict[str, str] = {}
    found = _METRIC.match(text)
    end = found.end() if found is not None else 0
    if found is not None:
        labels[NAME] = found[0]
    brace = end if form.tight else end + len(text[end:]) - len(text[end:].lstrip(" \t"))
    if text.startswith("{", brace):
        end = _labels(text, brace + 1, labels, form)
    if not labels.get(NAME):
        raise ExpositionError(f"{text[:_SHOWN]!r} starts with no metric name")
    _check_utf8(text[:end])
    return labels, end


def _labels(text: str, position: int, labels: dict[str, str], form: Format, *, named: bool = False) -> int:
    """Read labels behind a brace into `labels`; `named`: there may be no name of a metric among them."""
    while True:
        if not form.tight:
            position += len(text[position:]) - len(text[position:].lstrip(" \t"))
        if text.startswith("}", position):
            return position + 1
        pair = (_TIGHT_PAIR if form.tight else _PAIR).match(text, position)
        if pair is None:
            raise ExpositionError(f'{text[:_SHOWN]!r} has labels that are not written as name="value"')
        name, value = _pair(pair, labels, named=named)
        if name in labels:
            raise ExpositionError(f"the label {name} stands twice in {text[:_SHOWN]!r}")
        labels[name] = value
        position = pair.end()
        if text.startswith(",", position):
            position += 1
        elif not text.startswith("}", position):
            raise ExpositionError(f"the labels of {text[:_SHOWN]!r} are not closed")


def _pair(pair: re.Match[str], labels: dict[str, str], *, named: bool) -> tuple[str, str]:
    quoted, bare, equals, value = pair.groups()
    name = str(bare) if quoted is None else _unescaped(quoted)
    if equals is None and quoted is not None and not named:
        if NAME in labels:
            raise ExpositionError(f"the metric has the names {labels[NAME]} and {name}")
        return NAME, name
    if value is None:
        raise ExpositionError(f"the label {name} has no value in quotes")
    return name, _unescaped(value)


def _text_rest(text: str, labels: dict[str, str], end: int) -> Line:
    fields = re.split(r"[ \t]+", text[end:].strip(" \t"))
    if not fields[0] or len(fields) > 2:  # noqa: PLR2004 (value and time)
        raise ExpositionError(f"{text[:_SHOWN]!r} has no value behind the labels, or more than a value and a time")
    value = number(fields[0])
    if len(fields) == 1:
        return Line(labels, end, value, None)
    if not _DIGITS.fullmatch(fields[1]) or int(fields[1]) > _MAX_MS:
        raise ExpositionError(f"{fields[1][:_SHOWN]!r} is no time in milliseconds since 1970")
    return Line(labels, end, value, int(fields[1]))


def _open_metrics_rest(text: str, labels: dict[str, str], end: int) -> Line:
    before, mark, exemplar = text[end:].partition(" # ")
    fields = before.split(" ")
    if fields[0] or len(fields) not in (2, 3) or "" in fields[1:]:
        raise ExpositionError(f"{text[:_SHOWN]!r} has no value behind one space, or more than a value and a time")
    value = number(fields[1])
    time_ms = _milliseconds(fields[2]) if len(fields) > 2 else None  # noqa: PLR2004 (nothing, value, time)
    if mark:
        _check_exemplar(exemplar)
    return Line(labels, end, value, time_ms)


def _check_exemplar(text: str) -> None:
    """Refuse what is no exemplar; exemplars are not kept."""
    if not text.startswith("{"):
        raise ExpositionError(f"the exemplar {text[:_SHOWN]!r} has no labels")
    end = _labels(text, 1, {}, OPEN_METRICS, named=True)
    fields = text[end:].split(" ")
    if fields[0] or len(fields) not in (2, 3) or "" in fields[1:]:
        raise ExpositionError(f"the exemplar {text[:_SHOWN]!r} has no value behind one space")
    for field in fields[1:]:
        number(field)


def _milliseconds(text: str) -> int:
    seconds = number(text)
    if not math.isfinite(seconds) or abs(seconds) > _MAX_MS / 1000:
        raise ExpositionError(f"{text!r} is no time in seconds since 1970")
    return int(seconds * 1000)


def _check_utf8(text: str) -> None:
    """Refuse bytes that are not UTF-8, which reach here as lone surrogates."""
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        raise ExpositionError(f"{text.encode('utf-8', 'surrogateescape')[:_SHOWN]!r} is not UTF-8")


def _character(found: re.Match[str]) -> str:
    return "\n" if found[1] == "n" else found[1]


def _unescaped(text: str) -> str:
    return _ESCAPE.sub(_character, text) if "\\" in text else text
