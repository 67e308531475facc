"""A target's page, read again and again: the Prometheus text format and OpenMetrics.

A page is read line by line, and what a line's text before its value means is kept from scrape to scrape: a line seen
before costs a dictionary look-up and a number. `le` and `quantile` become floats' text here, as in Prometheus since
3.0: when scraped, not in queries and not by remote write.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from midwatch_lab.metrics.errors import ExpositionError, ScrapeError
from midwatch_lab.metrics.exposition_lines import (
    OPEN_METRICS,
    TEXT,
    Format,
    Line,
    is_unfinished,
    number,
    read_comment,
    read_sample,
)
from midwatch_lab.metrics.numbers import bound_text
from midwatch_lab.metrics.store import Series

ACCEPT: Final = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.7,"
    "application/openmetrics-text;version=0.0.1;q=0.6,"
    "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.5,"
    "text/plain;version=0.0.4;q=0.4,*/*;q=0.3"
)
"""What a target is asked for: what the original sends by default."""
_OPEN_METRICS, _TEXT = "application/openmetrics-text", "text/plain"
_SPECIAL: Final = ("NaN", "+Inf", "-Inf")
_SPARE: Final = 1000
"""Lines that are kept beyond twice those of a page."""
_BOUNDS: Final = {"histogram": "le", "summary": "quantile"}


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
    unit: str = ""


@dataclass
class Reading:
    """What a page says, up to its end or to what is wrong with it."""

    samples: list[Sample] = field(default_factory=list[Sample])
    read: int = 0
    """How many samples it has, also those that relabelling drops."""
    error: str = ""


def format_of(media: str, fallback: str = "") -> Format:
    """Return the format that a `Content-Type` names, or that of a fallback where it names none that is read here.

    Raises:
        ExpositionError: when it names none that is read here, in the original's words.
    """
    if fallback and media.partition(";")[0].strip().lower() not in (_OPEN_METRICS, _TEXT):
        media = fallback
    if not media:
        raise ExpositionError(
            "non-compliant scrape target sending blank Content-Type "
            "and no fallback_scrape_protocol specified for target"
        )
    kind = media.partition(";")[0].strip().lower()
    if kind == _OPEN_METRICS:
        return OPEN_METRICS
    if kind != _TEXT:
        raise ExpositionError(
            f'received unsupported Content-Type "{media}" and no fallback_scrape_protocol specified for target'
        )
    return TEXT


@dataclass
class Page:
    """One target's page. `resolve` gives the series of a label set, None where relabelling drops it."""

    resolve: Callable[[dict[str, str]], Series | None]
    metadata: dict[str, Metadata] = field(default_factory=dict[str, Metadata])
    _form: Format = TEXT
    _known: dict[str, Series | None] = field(default_factory=dict[str, "Series | None"])
    _comments: dict[str, str] = field(default_factory=dict[str, str])
    """The comments seen before, each with the type that it gives to the lines below."""
    _type: str = ""

    def read(self, text: str, form: Format = TEXT) -> Reading:
        """Return what a page says; none of it counts where there is an `error`, which names the line at fault."""
        if form is not self._form:
            self._form = form
            self._known.clear()
            self._comments.clear()
        self._type = ""
        reading = Reading()
        try:
            self._read(text, reading)
        except ScrapeError as error:
            reading.error = str(error)
        if len(self._known) > 2 * reading.read + _SPARE:
            self._known.clear()  # of a page whose labels come and go, what is gone must not stay for ever
        return reading

    def _read(self, text: str, reading: Reading) -> None:
        if "\r" in text:  # part of a value, which then is no number; but not for `float`
            self._known.clear()
        lines = text.removesuffix("\n").split("\n") if text else []
        at, begun, ended = 0, "", False
        while at < len(lines):
            if not begun and not ended:
                at = self._known_lines(lines, at, reading)
                if at == len(lines):
                    break
            line = f"{begun}\n{lines[at]}" if begun else lines[at]
            at += 1
            begun = line if is_unfinished(line) else ""
            if begun:
                continue
            try:
                ended = self._first_sight(line, reading, ended=ended)
            except ExpositionError as error:
                raise ExpositionError(f"line {at}: {error}") from error
        if begun:
            raise ExpositionError(f"the page ends within quotes: {begun[:40]!r}")
        if self._form.tight and text and not ended:
            raise ExpositionError("data does not end with # EOF")

    def _known_lines(self, lines: list[str], start: int, reading: Reading) -> int:
        """Read lines that were seen before, from `start` on; return where the first is that was not."""
        known, comments, samples, dropped = self._known, self._comments, reading.samples, 0
        before, at = len(samples), start
        for at in range(start, len(lines)):
            line = lines[at]
            key, _, shown = line.rpartition(" ")
            if key not in known:
                if line not in comments:
                    break
                self._type = comments[line] or self._type
                continue
            try:
                value = float(shown)
            except ValueError:
                break  # as a new line it is refused
            if (value - value != 0 and shown not in _SPECIAL) or "_" in shown or not shown.isascii():
                break
            series = known[key]
            if series is None:
                dropped += 1
            else:
                samples.append(Sample(series, value, None))
        else:
            at += 1
        reading.read += len(samples) - before + dropped
        return at

    def _first_sight(self, line: str, reading: Reading, *, ended: bool) -> bool:
        """Read a line that was not seen before; return whether it ends the page."""
        if self._form.tight:
            if ended:
                raise ExpositionError("unexpected data after # EOF")
            if line == "# EOF":
                return True
        else:
            line = line.lstrip(" \t")
            if not line:
                return False
        if line.startswith("#"):
            self._comment(line)
            return False
        self._sample(line, read_sample(line, self._form), reading)
        return False

    def _sample(self, text: str, found: Line, reading: Reading) -> None:
        self._normalise(found.labels)
        reading.read += 1
        series = self.resolve(found.labels)
        key, _, shown = text.rpartition(" ")
        if found.time_ms is None and key == text[: found.end] and shown:
            self._known[key] = series
        if series is not None:
            reading.samples.append(Sample(series, found.value, found.time_ms))

    def _comment(self, text: str) -> None:
        said = read_comment(text, self._form)
        self._comments[text] = ""
        if said is None:
            return
        entry = self.metadata.setdefault(said.metric, Metadata())
        if said.what == "TYPE":
            self._type = self._comments[text] = said.text
            entry.type = "unknown" if said.text == "untyped" else said.text
        elif said.what == "HELP":
            entry.help = said.text
        else:
            entry.unit = said.text

    def _normalise(self, labels: dict[str, str]) -> None:
        """Write bucket bounds and quantiles as floats, below the type of a histogram or summary."""
        label = _BOUNDS.get(self._type)
        if label is None or label not in labels:
            return
        try:
            labels[label] = bound_text(number(labels[label]))
        except ExpositionError:
            return
