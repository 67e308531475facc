"""`midwatch lab promqltest FILE...`."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from midwatch_lab.metrics.errors import MetricsError
from midwatch_lab.metrics.promqltest.runner import Outcome, run_script

_UNREADABLE = 2


def main(arguments: argparse.Namespace) -> int:
    """Run the scripts; 0: every case answered as expected, 1: one did not, 2: a script cannot be read."""
    outcomes: list[Outcome] = []
    errors: list[str] = []
    for path in arguments.files:
        try:
            for outcome in run_script(path.read_text(), str(path)):
                outcomes.append(outcome)
                if not arguments.json:
                    sys.stdout.write(_line(outcome))
        except MetricsError as error:
            errors.append(str(error))
        except (OSError, UnicodeDecodeError) as error:
            errors.append(f"{path}: cannot be read: {error}")
    failed = sum(outcome.problem is not None for outcome in outcomes)
    if arguments.json:
        sys.stdout.write(json.dumps(_summary(arguments.files, outcomes, errors), indent=2) + "\n")
    else:
        sys.stdout.write(f"promqltest: {len(outcomes) - failed} passed, {failed} failed, {len(errors)} unreadable\n")
    for error in errors:
        sys.stderr.write(f"midwatch: {error}\n")
    return _UNREADABLE if errors else int(failed > 0)


def _line(outcome: Outcome) -> str:
    where = f"{outcome.file}:{outcome.line}: {outcome.query}"
    return f"ok    {where}\n" if outcome.problem is None else f"FAIL  {where}: {outcome.problem}\n"


def _summary(files: list[Path], outcomes: list[Outcome], errors: list[str]) -> dict[str, Any]:
    failed = sum(outcome.problem is not None for outcome in outcomes)
    return {
        "files": [str(path) for path in files],
        "passed": len(outcomes) - failed,
        "failed": failed,
        "errors": errors,
        "cases": [
            {"file": one.file, "line": one.line, "query": one.query, "ok": one.problem is None, "problem": one.problem}
            for one in outcomes
        ],
    }
