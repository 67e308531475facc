"""What a run of the conformance suite found, beside what it was expected to find.

The suite holds what a revision requires against the file of expected failures. What it runs without counting it (an
extension, a scenario that came later) is held against the list `not_scored` of the same file here, both ways too.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import yaml

_ENTRY = re.compile(r"  - (?P<name>[a-z0-9:-]+) # (?P<reason>\S.*)")
_RESULT = re.compile(r"server-(?P<scenario>.+)-\d{4}-\d\d-\d\dT[\dZ-]+")
_LEAST_REASON = 30
"""Characters: fewer say that it fails, not why."""

Checks = dict[str, list[dict[str, Any]]]
"""By scenario."""


@dataclass(frozen=True)
class Expected:
    """The entries of one file: `scenario` or `scenario:check`."""

    scored: frozenset[str]
    not_scored: frozenset[str]


def read_expected(text: str) -> Expected:
    """Read a file of expected failures.

    Raises:
        ValueError: it is no such file, or a line of it gives no reason; names the line.
    """
    lists: Any = yaml.safe_load(text)
    if not isinstance(lists, dict) or set(cast("dict[str, Any]", lists)) != {"server", "not_scored"}:
        raise ValueError("the file has two lists, server and not_scored")
    named = {key: names or [] for key, names in cast("dict[str, list[str] | None]", lists).items()}
    given = [name for names in named.values() for name in names]
    reasons: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#") or re.fullmatch(r"(server|not_scored):( \[\])?", line):
            continue
        entry = _ENTRY.fullmatch(line)
        if entry is None or len(entry["reason"]) < _LEAST_REASON:
            raise ValueError(f"line {number} is not `  - scenario # why it fails`: {line!r}")
        reasons[entry["name"]] = entry["reason"]
    if sorted(given) != sorted(reasons):
        raise ValueError("an entry stands there twice, or in another form than `  - scenario # why it fails`")
    return Expected(frozenset(named["server"]), frozenset(named["not_scored"]))


@dataclass(frozen=True)
class Required:
    """What a revision asks of a server: scenarios that count, and those that are run beside them."""

    scored: frozenset[str]
    not_scored: frozenset[str]


def read_required(file: Path) -> Required:
    """Read the suite's own list for a revision."""
    found: Any = yaml.safe_load(file.read_text("utf-8"))
    beside = [entry["scenario"] for entry in found["not_scored"] if entry["leg"] == "server"]
    return Required(frozenset(found["server"]), frozenset(beside))


@dataclass
class Verdict:
    """How the checks of one run ended."""

    passed: int = 0
    expected: list[str] = field(default_factory=list[str])
    """Failures that are on the list, as `scenario:check`."""
    unexpected: list[str] = field(default_factory=list[str])
    """Failures that are not, with what the suite said."""
    stale: list[str] = field(default_factory=list[str])
    """Entries of the list that did not fail."""
    ended: Counter[str] = field(default_factory=Counter[str])


def read_results(folder: Path) -> Checks:
    """Return the checks that the suite wrote into its output folder."""
    found: Checks = {}
    for file in folder.glob("*/checks.json"):
        name = _RESULT.fullmatch(file.parent.name)
        if name is None:
            raise ValueError(f"{file.parent} has no name of a scenario")
        found[name["scenario"]] = json.loads(file.read_text("utf-8"))
    return found


def judge(checks: Checks, entries: Iterable[str]) -> Verdict:
    """Hold the checks against the entries of a list; a warning counts as a failure, as it does to the suite."""
    verdict, used = Verdict(), set[str]()
    for scenario, found in checks.items():
        for check in found:
            name, status = f"{scenario}:{check['id']}", check["status"]
            verdict.ended[status] += 1
            if status not in {"FAILURE", "WARNING"}:
                continue
            listed = {scenario, name} & set(entries)
            used |= listed
            if listed:
                verdict.expected.append(name)
            else:
                verdict.unexpected.append(f"{name}: {check.get('errorMessage')}")
    verdict.passed = verdict.ended["SUCCESS"]
    verdict.stale = sorted(set(entries) - used)
    return verdict
