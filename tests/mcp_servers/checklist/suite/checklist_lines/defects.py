"""A defect for a process of its own: no monkeypatch reaches it, so the words that start it are changed."""

import sys

import pytest

_WORDS: list[str] = []


def print_to_standard_output(patch: pytest.MonkeyPatch) -> None:
    """Let the server print a line as it starts, as a forgotten debug line does."""
    patch.setattr(
        sys.modules[__name__],
        "_WORDS",
        ["-c", "print('debug'); import runpy; runpy.run_module('midwatch_agents', run_name='__main__')"],
    )


def started(words: list[str]) -> list[str]:
    """Return the words that start the server: as they are, or with the defect put in."""
    if not _WORDS:
        return words
    program, _, _, *rest = words  # PYTHON -m midwatch_agents ...
    return [program, *_WORDS, *rest]
