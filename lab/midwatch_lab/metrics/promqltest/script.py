"""A script as a list of commands: load, clear, and evaluations with what is expected of them.

The grammar is that of Prometheus 3.16's `promql/promqltest`, its old forms (`eval_fail`, `eval_warn`, `eval_info`,
`eval_ordered`) included.
"""

import re
from dataclasses import dataclass, field

from midwatch_contracts.promql import EVERY_FEATURE, Expr, PromqlError, duration_ms, parse
from midwatch_lab.errors import PatternError
from midwatch_lab.expressions import compiled
from midwatch_lab.metrics.engine.annotations import line_column
from midwatch_lab.metrics.errors import MetricsError
from midwatch_lab.metrics.labels import Labels
from midwatch_lab.metrics.promqltest.values import Sequence, described_series

_LOAD = re.compile(r"load(?:_(?P<kind>\w+))?\s+(?P<interval>.+?)")
_INSTANT = re.compile(r"eval(?:_(?P<mode>fail|warn|ordered|info))?\s+instant\s+(?:at\s+(?P<at>.+?))?\s+(?P<query>.+)")
_RANGE = re.compile(
    r"eval(?:_(?P<mode>fail|warn|info))?\s+range\s+from\s+(?P<start>.+)\s+to\s+(?P<end>.+)\s+step\s+(?P<step>.+?)\s+"
    r"(?P<query>.+)"
)
_EXPECT = re.compile(
    r"expect\s+(?P<what>ordered|fail|warn|no_warn|info|no_info)(?:\s+(?P<kind>regex|msg):(?P<text>.+))?"
)
_VECTOR = re.compile(r"expect range vector\s+from\s+(?P<start>.+)\s+to\s+(?P<end>.+)\s+step\s+(?P<step>.+)")
_STRING = re.compile(r"expect string\s+(?P<text>\"(?:[^\"\\]|\\.)*\"|`[^`]*`)")
_START_TIMES = re.compile(r"[^\s{]*(?:\{[^}]*\})?@st\s")
_NUMBER = re.compile(r"[+-]?(?:[0-9.]+(?:[eE][+-]?[0-9]+)?|0[xX][0-9a-fA-F]+|[iI]nf|[nN]a[nN])")


class ScriptError(MetricsError):
    """A script cannot be read; the message begins with the file and the line."""

    kind = "bad_data"


@dataclass(frozen=True)
class Note:
    """What a message must be: the text itself, a pattern found in it, or (neither) anything."""

    text: str | None = None
    pattern: str | None = None
    """One of RE2."""

    def matches(self, message: str) -> bool:
        """Say whether a message is as expected."""
        if self.text is not None:
            return message == self.text
        return self.pattern is None or compiled(self.pattern).search(message) is not None

    def __str__(self) -> str:
        return "any" if self.pattern is None and self.text is None else self.text or f"the pattern {self.pattern}"


@dataclass(frozen=True)
class Span:
    """Times in milliseconds, `step` apart."""

    start: int
    end: int
    step: int


@dataclass
class Load:
    """Add samples: from time 0 on, `interval` milliseconds apart."""

    line: int
    interval: int
    series: list[tuple[int, Labels, Sequence]] = field(default_factory=list[tuple[int, Labels, Sequence]])
    """(line, labels, values)."""


@dataclass
class Clear:
    """Forget all samples."""

    line: int


@dataclass
class Evaluation:
    """Evaluate a query at one time or, with a span, over a range, and compare."""

    line: int
    query: str
    expr: Expr
    at: int
    """Milliseconds."""
    span: Span | None = None
    ordered: bool = False
    fail: Note | None = None
    warn: list[Note] = field(default_factory=list[Note])
    info: list[Note] = field(default_factory=list[Note])
    no_warn: bool = False
    no_info: bool = False
    vector: Span | None = None
    """The times of a range vector that an instant query is to answer."""
    string: str | None = None
    scalar: float | None = None
    series: list[tuple[Labels, Sequence]] = field(default_factory=list[tuple[Labels, Sequence]])


Command = Load | Clear | Evaluation


def read_script(text: str, name: str) -> list[Command]:
    """Read a script; `name` is the file's.

    Raises:
        ScriptError: at the first line that is wrong.
    """
    return _Reader(text, name).commands()


class _Reader:
    """Line by line; a command ends at an empty line or, where only one value can follow, behind it."""

    def __init__(self, text: str, name: str) -> None:
        stripped = [line.strip() for line in text.split("\n")]
        self.lines: list[str] = ["" if line.startswith("#") else line for line in stripped]
        self.name = name
        self.index = 0

    def error(self, message: str, index: int | None = None) -> ScriptError:
        return ScriptError(f"{self.name}:{(self.index if index is None else index) + 1}: {message}")

    def commands(self) -> list[Command]:
        found: list[Command] = []
        while self.index < len(self.lines):
            line = self.lines[self.index]
            if line:
                found.append(self.command(line))
            self.index += 1
        return found

    def command(self, line: str) -> Command:
        word = line.split(maxsplit=1)[0].lower()
        if word == "clear":
            return Clear(self.index + 1)
        if word.startswith("load"):
            return self.load(line)
        if word.startswith("eval"):
            return self.evaluation(line)
        raise self.error(f"{line.split(maxsplit=1)[0]!r} is no command: write load, clear or eval")

    def following(self) -> str | None:
        """Return the next line of this command, None at its end."""
        if self.index + 1 >= len(self.lines) or not self.lines[self.index + 1]:
            return None
        self.index += 1
        return self.lines[self.index]

    def milliseconds(self, text: str | None, what: str) -> int:
        sign = -1 if text is not None and text.startswith("-") else 1
        found = None if text is None else 0 if text == "0" else duration_ms(text.removeprefix("-"))
        if found is None:
            raise self.error(f"{text!r} is no {what} such as 5m")
        return sign * found

    def span(self, match: "re.Match[str]") -> Span:
        start, end = self.milliseconds(match["start"], "time"), self.milliseconds(match["end"], "time")
        step = self.milliseconds(match["step"], "step")
        if end < start or step <= 0:
            raise self.error("a range ends after it starts, and its step is positive")
        return Span(start, end, step)

    def load(self, line: str) -> Load:
        match = _LOAD.fullmatch(line)
        if match is None:
            raise self.error("a load says the interval between samples: load 5m")
        if match["kind"] is not None:
            raise self.error(f"load_{match['kind']} is not offered: native histograms are not")
        found = Load(self.index + 1, self.milliseconds(match["interval"], "interval"))
        while (text := self.following()) is not None:
            if _START_TIMES.match(text):
                raise self.error("start timestamps (@st) are not offered")
            found.series.append((self.index + 1, *self.series(text)))
        return found

    def series(self, text: str) -> tuple[Labels, Sequence]:
        try:
            return described_series(text)
        except PromqlError as error:
            raise self.error(str(error)) from error

    def evaluation(self, line: str) -> Evaluation:
        instant, ranged = _INSTANT.fullmatch(line), _RANGE.fullmatch(line)
        match = instant or ranged
        if match is None:
            raise self.error("write `eval instant at TIME QUERY` or `eval range from START to END step STEP QUERY`")
        query = match["query"]
        try:
            expr = parse(query, EVERY_FEATURE)
        except PromqlError as error:
            place = "" if error.position is None else f"{line_column(query, error.position)}: "
            raise self.error(f"{query!r} does not parse: {place}{error}") from error
        found = Evaluation(self.index + 1, query, expr, 0)
        if instant is not None:
            found.at = self.milliseconds(instant["at"], "time")
        else:
            found.span = self.span(match)
            found.at = found.span.end
        _old_mode(found, match["mode"])
        while (text := self.following()) is not None and not self.expected(found, text, match["mode"]):
            pass
        self.check(found)
        return found

    def expected(self, found: Evaluation, text: str, mode: str | None) -> bool:
        """Read one line of what is expected; true when the command ends with it."""
        if mode == "fail" and text.startswith(("expected_fail_message", "expected_fail_regexp")):
            word, _, rest = text.partition(" ")
            found.fail = self.note("msg" if word.endswith("message") else "regex", rest)
            return True
        if text.split(maxsplit=1)[0] == "expect":
            self.expect(found, text)
            return False
        if _NUMBER.fullmatch(text):
            found.scalar = self.number(text)
            return True
        labels, values = self.series(text)
        if found.span is None and found.vector is None and len(values) > 1:
            raise self.error(
                "an instant query answers one value: write `expect range vector` where it is a range vector"
            )
        found.series.append((labels, values))
        return False

    def expect(self, found: Evaluation, text: str) -> None:
        if (match := _VECTOR.fullmatch(text)) is not None:
            found.vector = self.span(match)
            found.at = found.vector.end
        elif (match := _STRING.fullmatch(text)) is not None:
            value = parse(match["text"])
            found.string = getattr(value, "value", "")
        elif (match := _EXPECT.fullmatch(text)) is not None:
            self.expect_note(found, match)
        else:
            raise self.error("an expectation is `expect TYPE`, `expect TYPE msg: TEXT` or `expect TYPE regex: PATTERN`")

    def expect_note(self, found: Evaluation, match: "re.Match[str]") -> None:
        note = self.note(match["kind"], match["text"])
        match match["what"]:
            case "ordered":
                found.ordered = True
            case "no_warn":
                found.no_warn = True
            case "no_info":
                found.no_info = True
            case "fail" if found.fail is not None:
                raise self.error("a query fails once: write one `expect fail`")
            case "fail":
                found.fail = note
            case "warn":
                found.warn.append(note)
            case _:
                found.info.append(note)

    def note(self, kind: str | None, text: str | None) -> Note:
        if kind is None or text is None:
            return Note()
        if kind == "msg":
            return Note(text=text.strip())
        try:
            compiled(text.strip())
        except PatternError as error:
            raise self.error(f"{text.strip()!r} is no pattern: {error}") from error
        return Note(pattern=text.strip())

    def number(self, text: str) -> float:
        try:
            return float(int(text, 16)) if "x" in text.lower() else float(text)
        except ValueError as error:
            raise self.error(f"{text!r} is no number") from error

    def check(self, found: Evaluation) -> None:
        if (found.warn and found.no_warn) or (found.info and found.no_info):
            raise self.error("a query cannot both warn or inform and not", found.line - 1)
        if found.ordered and found.span is not None:
            raise self.error("a range query has no order of its own", found.line - 1)


def _old_mode(found: Evaluation, mode: str | None) -> None:
    if mode == "ordered":
        found.ordered = True
    elif mode == "fail":
        found.fail = Note()
    elif mode == "warn":
        found.warn.append(Note())
    elif mode == "info":
        found.info.append(Note())
