"""Reading and writing the policy file: what does not fit is named with line, field and mend."""

import difflib
import os
import re
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from midwatch_mcp.safe_apply.errors import PolicyError
from midwatch_mcp.safe_apply.policy import Policy
from midwatch_mcp.safe_apply.policy_names import UNKNOWN


@dataclass(frozen=True)
class Fault:
    """One thing in a policy file that does not fit. `line` counts from 1, and is 0 where it is not known."""

    line: int
    field: str
    says: str
    mend: str

    def text(self, path: Path) -> str:
        """Return it as one line."""
        where = f"{path}:{self.line}" if self.line else str(path)
        return f"{where}: {f'{self.field}: ' if self.field else ''}{self.says}; {self.mend}"


def policy_path(state: Path, given: Path | None) -> Path:
    """Return where the policy file is: the one given, or `<state>/policy.toml`."""
    return given or state / "policy.toml"


def load(path: Path, *, required: bool = False) -> Policy:
    """Read the policy; the built-in one where there is no file and none is required.

    Raises:
        PolicyError: names the file, and line, field and mend of what does not fit. A policy that cannot be read allows
            nothing.
    """
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError as error:
        if required:
            raise PolicyError(f"there is no policy file {path}: write one, or leave the setting out") from error
        return Policy()
    except (OSError, UnicodeDecodeError) as error:
        raise PolicyError(f"the policy {path} cannot be read: {error}; until it can, nothing is allowed") from error
    found, faults = parse(text)
    if found is None:
        wrong = "\n".join(fault.text(path) for fault in faults)
        raise PolicyError(f"the policy does not fit, and until it does nothing is allowed:\n{wrong}")
    return found


def parse(text: str) -> tuple[Policy | None, list[Fault]]:
    """Return the policy that a file's text holds, or None and what does not fit."""
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        line = re.search(r"at line (\d+)", str(error))
        says = f"it is no TOML: {error}"
        last = len(text.splitlines())  # an error "at end of document"
        return None, [Fault(int(line[1]) if line else last, "", says, "mend the line (https://toml.io)")]
    except RecursionError:
        return None, [Fault(0, "", "it is nested too deeply", "a policy has no more than three levels")]
    try:
        return Policy.model_validate(raw), []
    except ValidationError as error:
        return None, [_fault(one, text) for one in error.errors()]


def _fault(error: ErrorDetails, text: str) -> Fault:
    place = tuple(str(part) for part in error["loc"] if not _is_union_branch(part))
    field = ".".join(place)
    at = _line(place, error["input"], text)
    if error["type"] == "extra_forbidden":
        return Fault(at, field, "there is no such field", _known_elsewhere(place))
    says = error["msg"].removeprefix("Value error, ")
    given = repr(error["input"])
    shown = given if len(given) < _SHOWN else given[:_SHOWN] + "…"
    if error["type"] == UNKNOWN:
        return Fault(at, field, says, (error.get("ctx") or {})["mend"])
    return Fault(at, field, f"{says} (it is {shown})", _mend(error, place))


_SHOWN = 60


def _line(place: tuple[str, ...], given: Any, text: str) -> int:
    """Return the line of a field, and of a word in a list that goes over several; 0 where it is not known."""
    lines = _lines(text)
    at = next((lines[place[:end]] for end in range(len(place), 0, -1) if place[:end] in lines), 0)
    if not at or not place[-1].isdecimal() or not isinstance(given, str):
        return at
    quoted = (f'"{given}"', f"'{given}'")
    rest = enumerate(text.splitlines()[at - 1 :], at)
    return next((number for number, line in rest if any(word in line for word in quoted)), at)


def _is_union_branch(part: Any) -> bool:
    return part in ("datetime", "time")


def _mend(error: ErrorDetails, place: tuple[str, ...]) -> str:
    context = error.get("ctx") or {}
    if "expected" in context:
        return f"write {context['expected']}"
    bounds = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}
    if found := [f"{words} {context[name]}" for name, words in bounds.items() if name in context]:
        return f"write a number that is {' and '.join(found)}"
    example = _EXAMPLES.get(place[-1]) or _EXAMPLES.get(place[0], "")
    return f"write it like {example}" if example else "see `midwatch policy schema`"


_EXAMPLES = {
    "kinds": 'kinds = ["Deployment", "example.com/Widget"]',
    "operations": 'operations = ["scale", "set_args"]',
    "namespaces": '[namespaces] allow = ["llm-*"]',
    "allow": 'allow = ["llm-*"]',
    "deny": 'deny = ["kube-*"]',
    "frozen": 'frozen = "why"',
    "freeze": '[[freeze]] reason = "weekend", zone = "Europe/Berlin", days = ["Sat", "Sun"], from = 00:00, to = 00:00',
    "from": "from = 18:00:00 or from = 2026-12-20T00:00:00Z",
    "to": "to = 08:00:00 or to = 2027-01-05T00:00:00Z",
    "zone": 'zone = "Europe/Berlin"',
    "protected_labels": '[protected_labels] "team" = "payments"',
    "protected_annotations": '[protected_annotations] "team" = "payments"',
    "untouchable": 'untouchable = ["acme.com/*"]',
    "images": 'images = ["ghcr.io/acme/*"]',
    "adapters": 'adapters = ["/adapters/*"]',
    "inert": 'inert = ["acme.com/*"]',
    "people": "people = 2",
    "host": "host = false",
    "rehearsed": "rehearsed = true",
    "autonomy": "autonomy = 3",
}


def _known_elsewhere(place: tuple[str, ...]) -> str:
    """Return what to write in place of a field that there is not: one spelt alike, or the same under its table."""
    known = _known_fields(place[:-1])
    near = difflib.get_close_matches(place[-1], known, n=1)
    tables = [name for name in _known_fields(()) if place[-1] in _known_fields((name,))]
    if near:
        return f"do you mean {near[0]}?"
    return f"write it under [{tables[0]}]" if tables else f"take it out, or write one of {', '.join(known)}"


def _known_fields(place: tuple[str, ...]) -> list[str]:
    """Return the fields that there are at a place of the policy."""
    schema: dict[str, Any] = Policy.model_json_schema(by_alias=True)
    node = schema
    for part in place:
        below = node.get("items", {}) if part.isdecimal() else node.get("properties", {}).get(part, {})
        node = _resolved(below, schema)
    return sorted(node.get("properties", {}))


def _resolved(node: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    reference = node.get("$ref")
    return node if reference is None else cast("dict[str, Any]", schema["$defs"][str(reference).rsplit("/", 1)[-1]])


_HEADER = re.compile(r"^\s*(\[\[?)\s*([^\[\]]+?)\s*\]\]?\s*(?:#.*)?$")
_KEY = re.compile(r"""^\s*((?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*'))*)\s*=""")


def _lines(text: str) -> dict[tuple[str, ...], int]:
    """Return the line of each table and key of a TOML text, by its path; elements of arrays of tables by number."""
    found: dict[tuple[str, ...], int] = {}
    counts: dict[str, int] = {}
    table: tuple[str, ...] = ()
    for number, line in enumerate(text.splitlines(), 1):
        header = _HEADER.match(line)
        if header is not None:
            table = _path(header[2])
            if header[1] == "[[":
                counts[header[2]] = counts.get(header[2], -1) + 1
                table = (*table, str(counts[header[2]]))
            found.setdefault(table, number)
        elif (key := _KEY.match(line)) is not None:
            found.setdefault((*table, *_path(key[1])), number)
    return found


def _path(dotted: str) -> tuple[str, ...]:
    return tuple(part.strip().strip("\"'") for part in re.findall(r"""[^."'\s]+|"[^"]*"|'[^']*'""", dotted))


# Freezing by hand

_FROZEN_LINE = re.compile(r"^\s*frozen\s*=.*\n?", re.MULTILINE)


def set_frozen(path: Path, reason: str | None) -> Policy:
    """Write `frozen` into the policy file (None takes it out), leaving every other line as it is.

    Raises:
        PolicyError: when the file does not fit before, or would not after.
    """
    load(path)
    text = path.read_text("utf-8") if path.exists() else 'schema = "midwatch.policy/v1"\n'
    table = re.search(r"^\s*\[", text, re.MULTILINE)
    head, tail = (text[: table.start()], text[table.start() :]) if table else (text, "")
    head = _FROZEN_LINE.sub("", head)
    if reason is not None:
        head = f"frozen = {_toml_string(reason)}\n" + head
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    _replace(path, head + tail, reason)
    return load(path)


def _replace(path: Path, text: str, frozen: str | None) -> None:
    """Put `text` in the place of the file, once it is known to say what it shall."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".policy-", suffix=".toml")
    written = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
        said = load(written).frozen
        if said == frozen:
            written.replace(path)
    finally:
        written.unlink(missing_ok=True)
    if said != frozen:
        raise PolicyError(f"the line `frozen` of {path} cannot be written by machine: edit the file by hand")


def _toml_string(text: str) -> str:
    escaped = "".join(c if c.isprintable() and c not in '"\\' else f"\\U{ord(c):08x}" for c in text)
    return f'"{escaped}"'
