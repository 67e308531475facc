"""`midwatch lab rules check FILE...` and `midwatch lab rules test FILE...`."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from midwatch_contracts.promql import Features
from midwatch_lab.metrics.documents import Problem
from midwatch_lab.metrics.errors import RulesError
from midwatch_lab.metrics.rule_file import Group, check
from midwatch_lab.metrics.ruletest.judge import Verdict, run_tests

_WRONG = 2


def main(arguments: argparse.Namespace, features: Features) -> int:
    """Check or test; 0: all is well, 1: a test does not hold, 2: a file is wrong."""
    if arguments.what == "check":
        return _check(arguments.files, features, as_json=arguments.json)
    return _test(arguments.files, features, as_json=arguments.json)


def _check(paths: Sequence[Path], features: Features, *, as_json: bool) -> int:
    checked = [(path, *_checked(path, features)) for path in paths]
    if as_json:
        files = [
            {
                "file": str(path),
                "ok": not problems,
                "groups": len(groups),
                "rules": sum(len(group.rules) for group in groups),
                "problems": [{"line": one.line, "message": one.message} for one in problems],
            }
            for path, groups, problems in checked
        ]
        sys.stdout.write(json.dumps({"ok": all(file["ok"] for file in files), "files": files}, indent=2) + "\n")
    else:
        for path, groups, problems in checked:
            rules = sum(len(group.rules) for group in groups)
            if not problems:
                sys.stdout.write(f"ok    {path}: {len(groups)} groups, {rules} rules\n")
            for problem in problems:
                sys.stdout.write(f"FAIL  {path}:{problem}\n")
    return _WRONG if any(problems for _, _, problems in checked) else 0


def _checked(path: Path, features: Features) -> tuple[list[Group], list[Problem]]:
    try:
        return check(path.read_text("utf-8"), features, str(path))
    except (OSError, UnicodeDecodeError) as error:
        return [], [Problem(0, f"cannot be read: {error}")]


def _test(paths: Sequence[Path], features: Features, *, as_json: bool) -> int:
    verdicts: list[Verdict] = []
    errors: list[str] = []
    for path in paths:
        try:
            for verdict in run_tests(path, features):
                verdicts.append(verdict)
                if not as_json:
                    sys.stdout.write(_lines(verdict))
        except RulesError as error:
            errors += str(error).splitlines()
    failed = sum(bool(verdict.problems) for verdict in verdicts)
    if as_json:
        sys.stdout.write(json.dumps(_summary(verdicts, errors), indent=2) + "\n")
    else:
        expected = sum(verdict.expected for verdict in verdicts)
        counts = f"{len(verdicts) - failed} tests passed, {failed} failed"
        sys.stdout.write(f"rules: {counts}, {expected} expectations, {len(errors)} unreadable\n")
    for error in errors:
        sys.stderr.write(f"midwatch: {error}\n")
    return _WRONG if errors else int(failed > 0)


def _title(verdict: Verdict) -> str:
    return f"{verdict.file}:{verdict.line}" + (f": {verdict.name}" if verdict.name else "")


def _lines(verdict: Verdict) -> str:
    if not verdict.problems:
        return f"ok    {_title(verdict)}: {verdict.expected} expectations\n"
    return "".join(f"FAIL  {verdict.file}:{line}: {problem}\n" for line, problem in verdict.problems)


def _summary(verdicts: Sequence[Verdict], errors: Sequence[str]) -> dict[str, Any]:
    failed = sum(bool(verdict.problems) for verdict in verdicts)
    return {
        "passed": len(verdicts) - failed,
        "failed": failed,
        "errors": list(errors),
        "tests": [
            {
                "file": one.file,
                "line": one.line,
                "name": one.name,
                "expectations": one.expected,
                "ok": not one.problems,
                "problems": [{"line": line, "message": message} for line, message in one.problems],
            }
            for one in verdicts
        ],
    }
