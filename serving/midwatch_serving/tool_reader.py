"""Tool calls read out of what a model writes: text, and calls piece by piece as they come."""

import json
import re
import secrets
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, Protocol, cast

OPEN, CLOSE = "<tool_call>", "</tool_call>"
_HEAD = re.compile(r'\s*\{\s*"name"\s*:\s*("(?:[^"\\]|\\.)*")\s*,\s*"(?:arguments|parameters)"\s*:\s*')


@dataclass(frozen=True)
class CallPart:
    """A piece of a tool call: the first of each carries id and name, all of them a fragment of the arguments' JSON."""

    index: int
    arguments: str
    id: str | None = None
    name: str | None = None


class Reader(Protocol):
    """Turns generated text into what the client is told: text, and pieces of tool calls."""

    @property
    def called(self) -> bool:
        """Whether there was a call."""
        ...

    def feed(self, text: str) -> list[str | CallPart]:
        """Take text; return what is certain by now."""
        ...

    def flush(self) -> list[str | CallPart]:
        """Return what is held back, at the end."""
        ...


class PlainReader:
    """All is text."""

    called = False

    def feed(self, text: str) -> list[str | CallPart]:
        """Return the text."""
        return [text] if text else []

    def flush(self) -> list[str | CallPart]:
        """Return nothing."""
        return []


class NamedReader:
    """All is arguments of one function."""

    called = True

    def __init__(self, name: str) -> None:
        self._first = CallPart(0, "", _call_id(), name)
        self._told = False

    def feed(self, text: str) -> list[str | CallPart]:
        """Return the text as arguments, the call's beginning before it."""
        parts: list[str | CallPart] = [] if self._told else [self._first]
        self._told = True
        return [*parts, CallPart(0, text)] if text else parts

    def flush(self) -> list[str | CallPart]:
        """Return the call's beginning, when nothing was fed."""
        return [] if self._told else self.feed("")


class CallReader:
    """Text with calls in between. What looks like a call and is none, in the end, is text."""

    def __init__(self, names: frozenset[str]) -> None:
        self.called = False
        self._names = names
        self._calls = 0
        self._text = ""
        """What was not told yet; inside a call from its opening tag on."""
        self._inside = False
        self._arguments: _JsonEnd | None = None
        """Set while the arguments of a call are told as they come."""

    def feed(self, text: str) -> list[str | CallPart]:
        """Take text; return what is certain by now."""
        self._text += text
        return list(self._read())

    def flush(self) -> list[str | CallPart]:
        """Return what is held back: the text of a call that never became one."""
        rest, self._text = self._text, ""
        return [rest] if rest and self._arguments is None else []

    def _read(self) -> Generator[str | CallPart]:
        while True:
            if self._arguments is not None:
                if not (yield from self._read_arguments(self._arguments)):
                    return
            elif self._inside:
                if not (yield from self._read_call()):
                    return
            elif not (yield from self._read_text()):
                return

    def _read_text(self) -> Generator[str | CallPart, None, bool]:
        """Tell text up to an opening tag; return whether one was found."""
        at = self._text.find(OPEN)
        end = at if at >= 0 else len(self._text) - _overlap(self._text, OPEN)
        # Blanks between calls are the format's, not the answer's.
        if self._text[:end] and not (self.called and not self._text[:end].strip()):
            yield self._text[:end]
        self._text = self._text[end:]
        self._inside = at >= 0
        return self._inside

    def _read_call(self) -> Generator[str | CallPart, None, bool]:
        """Tell a call's beginning as soon as it is known, or the whole at its closing tag; return whether it moved."""
        body = self._text[len(OPEN) :]
        head = _HEAD.match(body)
        if head is not None and (name := _name(head[1])) in self._names:
            if head.end() == len(body):
                return False  # the first character of the arguments tells whether they are an object
            if body[head.end()] == "{":
                yield self._begin(name)
                self._arguments = _JsonEnd()
                self._text = body[head.end() :]
                return True
        end = body.find(CLOSE)
        if end < 0:
            return False
        call = _parsed(body[:end])
        if call is None or call[0] not in self._names:
            yield OPEN + body[: end + len(CLOSE)]
        else:
            yield self._begin(call[0])
            yield CallPart(self._calls - 1, call[1])
        self._text, self._inside = body[end + len(CLOSE) :], False
        return True

    def _read_arguments(self, ends: "_JsonEnd") -> Generator[CallPart, None, bool]:
        """Tell arguments; return whether the call is over."""
        if not ends.over:
            length = ends.feed(self._text)
            if length:
                yield CallPart(self._calls - 1, self._text[:length])
            self._text = self._text[length:]
        at = self._text.find(CLOSE) if ends.over else -1
        if at < 0:
            return False
        self._text = self._text[at + len(CLOSE) :]
        self._arguments, self._inside = None, False
        return True

    def _begin(self, name: str) -> CallPart:
        self.called = True
        self._calls += 1
        return CallPart(self._calls - 1, "", _call_id(), name)


class _JsonEnd:
    """Finds the end of a JSON object that comes in pieces."""

    def __init__(self) -> None:
        self.over = False
        self._depth = 0
        self._in_string = False
        self._escaped = False

    def feed(self, text: str) -> int:
        """Return how many characters of `text` belong to the object."""
        for at, character in enumerate(text):
            if self._in_string:
                if self._escaped:
                    self._escaped = False
                elif character == "\\":
                    self._escaped = True
                elif character == '"':
                    self._in_string = False
            elif character == '"':
                self._in_string = True
            elif character in "{[":
                self._depth += 1
            elif character in "}]":
                self._depth -= 1
                if self._depth == 0:
                    self.over = True
                    return at + 1
        return len(text)


def _overlap(text: str, tag: str) -> int:
    """Length of the longest end of `text` that is a beginning of `tag`."""
    return next((length for length in range(len(tag) - 1, 0, -1) if text.endswith(tag[:length])), 0)


def _name(quoted: str) -> str | None:
    try:
        return str(json.loads(quoted))
    except json.JSONDecodeError:
        return None


def _parsed(body: str) -> tuple[str, str] | None:
    """Return name and arguments (JSON as text) of a whole call, None where it is none."""
    try:
        call: Any = json.loads(body)
    except (json.JSONDecodeError, RecursionError):
        return None
    if not isinstance(call, dict):
        return None
    fields = cast("dict[str, Any]", call)
    name, arguments = fields.get("name"), fields.get("arguments", fields.get("parameters", {}))
    if not isinstance(name, str) or not isinstance(arguments, dict):
        return None
    return name, json.dumps(arguments, ensure_ascii=False)


def _call_id() -> str:
    return "call_" + secrets.token_hex(12)
