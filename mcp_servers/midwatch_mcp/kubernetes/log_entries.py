"""A container's log as entries: stamped by the API server, cleaned, redacted, tracebacks kept whole (pure).

A traceback is many lines and one event: Python's (also as vLLM prints it, its own prefix on every line), Go's panics
and the stacks of Java and Node are joined with the line that they belong to.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from midwatch_mcp.redact import REDACTED, harmless

LINE_CHARACTERS = 2_000
ENTRY_CHARACTERS = 4_000
_ENTRY_LINES = 400
_TRACEBACK = "Traceback (most recent call last):"

_STAMP = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d) ?")
_KEY = re.compile(r"-----(BEGIN|END) [A-Z ]{0,30}PRIVATE KEY-----")
_KEY_BODY = re.compile(r"[A-Za-z0-9+/=]{16,}")
_PREFIX = re.compile(
    r"(?:\([A-Za-z_]+[^)\n]{0,40}\) ){0,3}(?:DEBUG|INFO|WARNING|ERROR|CRITICAL) \d\d-\d\d \d\d:\d\d:\d\d "
    r"\[?[^\]\s]{1,80}\]? ?"
)
"""vLLM's: `(EngineCore pid=7) ERROR 11-27 08:15:00 [core.py:710] `."""
_CHAINED = ("During handling of the above exception", "The above exception was the direct cause")
_FRAME = re.compile(r"\s+at \S|\s*\.\.\. \d+ (?:more|common frames)|Caused by: ")
"""A stack frame of Java or Node."""
_GO = re.compile(r"(?:panic: |fatal error: |goroutine \d+ \[)")
_GO_FRAME = re.compile(
    r"\s*$|\t|goroutine \d+ \[|\[signal |created by |exit status |panic: |[\w./*()\[\]{}·-]{1,300}\(.*\)$"
)
_ANNOUNCES = re.compile(r"\b(?:ERROR|CRITICAL|FATAL|EXCEPTION)\b|(?i:\berror|\bexception|\bfailed)")
"""A line that may stand before a traceback and say what failed."""
_THROWN = re.compile(r"(?:[\w$]+\.)+[A-Z]\w*(?:Exception|Error)(?::|$)")
"""The first line of a Java stack."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One event of a container's log: a line, or a traceback with the line that announces it."""

    ns: int
    """When the runtime took it, in nanoseconds since 1970; 0 where nothing tells."""
    pod: str
    container: str
    order: int
    """Its place in the container's log."""
    text: str
    lines: int = 1


def entries_of(pod: str, container: str, log: str) -> list[Entry]:
    """Read a log that was asked for with `timestamps=true`. Redacted before anything else could look at it."""
    stamps: list[int] = []
    texts: list[str] = []
    for line in log.removesuffix("\n").split("\n") if log else []:
        ns, text = _stamped(line.rstrip("\r"))
        stamps.append(ns or (stamps[-1] if stamps else 0))
        texts.append(text)
    cleaned = [str(harmless(text))[:LINE_CHARACTERS] for text in _without_keys(texts)]
    return [
        Entry(stamps[first], pod, container, first, _whole(cleaned[first:end]), end - first)
        for first, end in _spans(cleaned)
    ]


def merged(logs: Iterable[list[Entry]]) -> list[Entry]:
    """Return the entries of several logs by time; at one time by pod, container and place."""
    every = [entry for log in logs for entry in log]
    return sorted(every, key=lambda entry: (entry.ns, entry.pod, entry.container, entry.order))


def _stamped(line: str) -> tuple[int, str]:
    found = _STAMP.match(line)
    if found is None:
        return 0, line
    whole, fraction, offset = found.groups()
    try:
        seconds = int(datetime.fromisoformat(whole + offset).timestamp())
    except ValueError:
        return 0, line
    return seconds * 1_000_000_000 + int((fraction or "").ljust(9, "0")), line[found.end() :]


def _without_keys(lines: list[str]) -> list[str]:
    """Replace the lines of private keys; of a key whose beginning was not read, too."""
    done: list[str] = []
    inside = False
    for line in lines:
        marks = [found[1] for found in _KEY.finditer(line)]
        if marks[:1] == ["END"] and not inside:
            while done and (done[-1] == REDACTED or _KEY_BODY.fullmatch(done[-1].strip())):
                done.pop()
        hidden = inside or bool(marks)
        inside = marks[-1] == "BEGIN" if marks else inside
        if not hidden:
            done.append(line)
        elif len(marks) == 2 or done[-1:] != [REDACTED]:  # noqa: PLR2004 (a key on one line)
            done.append(line if len(marks) == 2 else REDACTED)  # noqa: PLR2004 (redacted as text)
        else:
            done.append("")
    return done


def _spans(lines: list[str]) -> Iterator[tuple[int, int]]:
    """Yield (first, end) of the lines that are one entry each."""
    first, mode = 0, ""
    for index, line in enumerate(lines):
        body = line[found.end() :] if (found := _PREFIX.match(line)) else line
        following = _follows(body, mode, lines[index - 1] if index else "")
        if index and (following is None or index - first >= _ENTRY_LINES):
            yield first, index
            first = index
        mode = _mode_of(body) if following is None else following
    if lines:
        yield first, len(lines)


def _mode_of(body: str) -> str:
    if body.startswith(_TRACEBACK):
        return "traceback"
    return "go" if _GO.match(body) else ""


def _follows(body: str, mode: str, before: str) -> str | None:
    """Return the mode in which a line goes on with the entry before it; None where it begins its own."""
    begins = body.startswith((_TRACEBACK, *_CHAINED))
    indented = body[:1] in {" ", "\t", ""}
    if mode == "traceback":
        return "traceback" if begins or indented else "raised"
    if mode == "raised":
        return "traceback" if begins else "raised" if indented else None
    if mode == "go":
        return "go" if _GO_FRAME.match(body) else None
    announced = (begins or _THROWN.match(body)) and _ANNOUNCES.search(before)
    if _FRAME.match(body) or announced:
        return "traceback" if begins else mode
    return None


def _whole(lines: list[str]) -> str:
    """Join the lines of an entry; of a long one the beginning and, above all, the end stay."""
    text = "\n".join(lines).rstrip("\n")
    if len(text) <= ENTRY_CHARACTERS or len(lines) == 1:
        return text
    return f"{text[:1_000]}\n[... cut ...]\n{text[-(ENTRY_CHARACTERS - 1_000) :]}"
