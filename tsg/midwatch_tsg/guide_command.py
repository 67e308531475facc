"""What `midwatch guide lint`, `show` and `list` do."""

import argparse
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import orjson
from rich.console import Console
from rich.table import Table

from midwatch_contracts.command import CommandError, Settings
from midwatch_contracts.exit_codes import Exit
from midwatch_contracts.surface import surface
from midwatch_tsg.errors import GuideError
from midwatch_tsg.guide import find, library, library_folder
from midwatch_tsg.lint import lint_file
from midwatch_tsg.model import Guide
from midwatch_tsg.problem import Problem
from midwatch_tsg.show import tree_of


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Run the action; return its exit code.

    Raises:
        CommandError: a guide or folder cannot be read.
    """
    try:
        match arguments.action:
            case "lint":
                return _lint(arguments, settings)
            case "show":
                return _show(find(arguments.id, settings.guides), as_json=arguments.json)
            case _:
                return _list(list(library(settings.guides).values()), as_json=arguments.json)
    except GuideError as error:
        raise CommandError(str(error), Exit.BAD_INPUT) from error


def _lint(arguments: argparse.Namespace, settings: Settings) -> int:
    files: Sequence[Path] = arguments.files or [
        path for folder in (library_folder(), *settings.guides) for path in sorted(folder.glob("*.md"))
    ]
    tools = surface()
    problems = [problem for path in files for problem in lint_file(path, tools)[1]]
    bad = [problem for problem in problems if arguments.strict or problem.severity == "error"]
    if arguments.json:
        _print_json({"files": [str(path) for path in files], "ok": not bad, "problems": [asdict(p) for p in problems]})
    else:
        for problem in problems:
            print(_line(problem))  # noqa: T201 (the answer goes to stdout)
        errors = sum(problem.severity == "error" for problem in problems)
        print(f"{len(files)} guides, {errors} errors, {len(problems) - errors} warnings")  # noqa: T201
    return Exit.BAD_INPUT if bad else Exit.OK


def _line(problem: Problem) -> str:
    return (
        f"{problem.file}:{problem.line}: {problem.severity}: {problem.what}\n    mend: {problem.mend} [{problem.rule}]"
    )


def _show(guide: Guide, *, as_json: bool) -> int:
    if as_json:
        steps = [
            {
                "id": step.id,
                "title": step.title,
                "kind": step.kind,
                "join": step.join,
                "next": list(step.targets),
            }
            for step in guide.steps
        ]
        _print_json(_head(guide) | {"start": guide.steps[0].id, "steps": steps})
    else:
        Console().print(tree_of(guide))
    return Exit.OK


def _list(guides: list[Guide], *, as_json: bool) -> int:
    if as_json:
        _print_json([_head(guide) for guide in guides])
        return Exit.OK
    table = Table("id", "title", "alerts", "steps", box=None, header_style="bold")
    for guide in guides:
        table.add_row(guide.id, guide.title, ", ".join(guide.alerts), str(len(guide.steps)))
    Console().print(table)
    return Exit.OK


def _head(guide: Guide) -> dict[str, Any]:
    return {
        "id": guide.id,
        "title": guide.title,
        "file": guide.file,
        "sha256": guide.sha256,
        "alerts": guide.alerts,
        "symptoms": guide.symptoms,
        "inputs": [asdict(declared) for declared in guide.inputs],
    }


def _print_json(value: Any) -> None:
    print(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode())  # noqa: T201 (the answer goes to stdout)
