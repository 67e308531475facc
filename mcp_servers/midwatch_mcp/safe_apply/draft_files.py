"""Drafts from files, YAML or JSON."""

import sys
from pathlib import Path
from typing import Any, cast

import yaml

from midwatch_contracts.command import CommandError
from midwatch_contracts.exit_codes import Exit

MOST = 1_000_000
"""Characters of a draft."""


def read_draft(name: str) -> dict[str, Any]:
    """Read a draft from a file, or from standard input where the name is `-`.

    Raises:
        CommandError: it cannot be read, is too long, or is no mapping; names file and line.
    """
    try:
        text = sys.stdin.read(MOST + 1) if name == "-" else _beginning(Path(name))
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"the draft {name} cannot be read: {error}", Exit.BAD_INPUT) from error
    if len(text) > MOST:
        raise CommandError(f"the draft {name} is longer than {MOST} characters: that is no draft", Exit.BAD_INPUT)
    try:
        found: Any = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        # ValueError: a date that there is not, such as 2026-02-30.
        raise CommandError(f"the draft {name} cannot be read as YAML or JSON: {error}", Exit.BAD_INPUT) from error
    if not isinstance(found, dict):
        raise CommandError(
            f"the draft {name} is no mapping with title, operations and expect: `midwatch change operations` lists the "
            "operations that there are",
            Exit.BAD_INPUT,
        )
    return {str(key): value for key, value in cast("dict[Any, Any]", found).items()}


def _beginning(path: Path) -> str:
    with path.open(encoding="utf-8") as stream:
        return stream.read(MOST + 1)
