"""Reads the fields of a parsed mapping: typed, with the line of each, and with a problem for each that does not fit."""

import difflib
import re
from collections.abc import Iterable
from typing import Any, cast

from midwatch_contracts.errors import ContractError
from midwatch_contracts.times import parse_duration
from midwatch_tsg.problem import Problem
from midwatch_tsg.strict_yaml import Document, Path

STEP_ID = re.compile(r"[a-z][a-z0-9_-]{0,59}")
NAME = re.compile(r"[a-z][a-z0-9_]{0,59}")


class Problems:
    """Collects problems of one file."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.found: list[Problem] = []
        self.step: str | None = None

    def error(self, rule: str, line: int, what: str, mend: str) -> None:
        """Add an error, of the current step if there is one."""
        self.found.append(Problem(self.file, line, "error", rule, what, mend, self.step))


class Fields:
    """One mapping in a document. `done` reports the keys that nobody asked for."""

    def __init__(self, document: Document, path: Path, problems: Problems) -> None:
        self._document, self._path, self._problems = document, path, problems
        value = document.data
        for key in path:
            value = value[key]
        self._data: dict[str, Any] = cast("dict[str, Any]", value) if isinstance(value, dict) else {}
        self._asked: set[str] = set()
        if not isinstance(value, dict):
            self.problem("yaml.shape", "a mapping is needed here", "write `key: value` lines")

    def __contains__(self, key: str) -> bool:
        return key in self._data

    def keys(self) -> Iterable[str]:
        """Return the keys as written."""
        return self._data.keys()

    def line(self, *key: str | int) -> int:
        """Return the line of a field."""
        return self._document.line((*self._path, *key))

    def lines(self) -> dict[str, int]:
        """Return the line of each field, and of those below as `with.query` and `expect.0.promql`."""
        depth = len(self._path)
        return {
            ".".join(map(str, path[depth:])): line
            for path, line in self._document.lines.items()
            if len(path) > depth and path[:depth] == self._path
        }

    def problem(self, rule: str, what: str, mend: str, *key: str | int) -> None:
        """Report a problem at a field."""
        self._problems.error(rule, self.line(*key), what, mend)

    def raw(self, key: str) -> Any:
        """Return a field of any shape, or None."""
        self._asked.add(key)
        return self._data.get(key)

    def inner(self, *key: str | int) -> "Fields":
        """Return a mapping below."""
        self._asked.add(str(key[0]))
        return Fields(self._document, (*self._path, *key), self._problems)

    def text(self, key: str, *, required: bool = False) -> str | None:
        """Return a field of text; numbers and booleans count as the text that was written."""
        value = self.raw(key)
        if value is None:
            if required:
                self.problem("step.missing_field", f"`{key}` is missing", f"add `{key}: …`", key)
            return None
        if isinstance(value, dict | list) or (isinstance(value, str) and not value.strip()):
            self.problem("step.field_type", f"`{key}` must be text", f"write `{key}: …` on one line", key)
            return None
        return str(value).lower() if isinstance(value, bool) else str(value).strip()

    def choice(self, key: str, options: tuple[str, ...], default: str | None = None) -> str | None:
        """Return a field that must be one of `options`."""
        value = self.raw(key)
        if value is None or value in options:
            return default if value is None else cast("str", value)
        near = difflib.get_close_matches(str(value), options, n=1)
        hint = f"did you mean `{near[0]}`?" if near else "write one of them"
        self.problem("step.field_value", f"`{key}` is {value!r}, not one of {', '.join(options)}", hint, key)
        return default

    def names(self, key: str) -> tuple[str, ...]:
        """Return a field that is one step id or a list of them."""
        return self.step_ids(self.raw(key), key)

    def step_ids(self, value: Any, *key: str | int) -> tuple[str, ...]:
        """Check that a value is a step id or a list of them."""
        if value is None:
            return ()
        items = cast("list[Any]", value) if isinstance(value, list) else [value]
        good = [item for item in items if isinstance(item, str) and STEP_ID.fullmatch(item)]
        if len(good) != len(items) or not good:
            self.problem("step.id", f"{value!r} names no step", "write the id of a section, or a list of ids", *key)
        return tuple(good)

    def strings(self, key: str) -> tuple[str, ...]:
        """Return a field that is a list of texts."""
        value = self.raw(key)
        if value is None:
            return ()
        items = cast("list[Any]", value) if isinstance(value, list) else [value]
        if not all(isinstance(item, str) for item in items):
            self.problem("step.field_type", f"`{key}` must be a list of texts", "quote the items", key)
        return tuple(str(item) for item in items)

    def seconds(self, key: str) -> float | None:
        """Return a field that is a duration such as `5s`."""
        value = self.raw(key)
        if value is None:
            return None
        try:
            found = parse_duration(str(value))
        except ContractError as error:
            self.problem("step.duration", str(error), "write a duration with its unit", key)
            return None
        if found <= 0:
            self.problem("step.duration", f"`{key}` must be longer than 0s", "write a duration such as 5s", key)
            return None
        return found

    def done(self) -> None:
        """Report fields that are not known here."""
        for key in self._data:
            if key not in self._asked:
                near = difflib.get_close_matches(key, self._asked, n=1)
                known = ", ".join(sorted(self._asked))
                mend = f"did you mean `{near[0]}`?" if near else f"remove it; known here are {known}"
                self.problem("step.unknown_field", f"`{key}` is no field of this", mend, key)
