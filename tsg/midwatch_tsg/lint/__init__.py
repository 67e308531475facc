"""The linter: a guide is checked whole before its first tool is called (DESIGN §4).

Errors keep a guide from running; warnings are a mentor's advice, after the families of defects that the StepFly study
found in real guides: clarity, control flow, data flow, queries, presentation.
"""

from collections.abc import Mapping
from pathlib import Path

from midwatch_contracts.surface import ToolSpec
from midwatch_tsg.errors import GuideError
from midwatch_tsg.graph import graph_of
from midwatch_tsg.lint.changes import check_changes
from midwatch_tsg.lint.expressions import check_expressions
from midwatch_tsg.lint.mentor import advise
from midwatch_tsg.lint.outcomes import check_outcomes
from midwatch_tsg.lint.report import Report
from midwatch_tsg.lint.structure import check_structure
from midwatch_tsg.lint.tools import check_tools
from midwatch_tsg.model import Guide
from midwatch_tsg.parser import parse
from midwatch_tsg.problem import Problem
from midwatch_tsg.scope import scopes


def lint(guide: Guide, surface: Mapping[str, ToolSpec]) -> list[Problem]:
    """Return what is wrong with a guide that parses, in the order of its lines; `surface` are the tools by name."""
    report = Report(guide.file)
    graph = graph_of(guide)
    check_structure(guide, graph, report)
    if not graph.cycle():  # who comes before whom is not defined on a cycle
        found = scopes(guide, graph, surface)
        check_expressions(guide, found, report)
        check_tools(guide, surface, found, report)
        check_changes(guide, found, report)
        check_outcomes(guide, graph, found, report)
    advise(guide, report)
    return report.sorted()


def lint_text(text: str, file: str, surface: Mapping[str, ToolSpec]) -> tuple[Guide | None, list[Problem]]:
    """Parse and check a text; what does not parse is reported together with what can be checked all the same."""
    guide, problems = parse(text, file)
    if guide is None:
        return None, sorted(problems)
    return guide, sorted([*problems, *lint(guide, surface)])


def lint_file(path: Path, surface: Mapping[str, ToolSpec]) -> tuple[Guide | None, list[Problem]]:
    """Parse and check a file.

    Raises:
        GuideError: when the file cannot be read.
    """
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise GuideError(f"{path} cannot be read as a guide: {error}") from error
    return lint_text(text, str(path), surface)
