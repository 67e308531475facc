"""Every case of every `promql_cases_*.py`."""

import importlib
from pathlib import Path

from promql_harness.cases import Case, Cases


def all_cases() -> list[Case]:
    """Return the cases of all files, in the order of the files' names."""
    found: list[Case] = []
    for path in sorted(Path(__file__).parents[1].glob("promql_cases_*.py")):
        cases: Cases = importlib.import_module(path.stem).CASES
        found += cases.found
    return found


CASES = all_cases()
