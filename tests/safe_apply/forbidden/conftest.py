"""The last line of the suite: how many ways there are, and how many got through."""

import pytest

TALLY: dict[str, set[str]] = {"asked": set(), "through": set()}
"""Sentences: a way that is asked of two clusters is one way."""


@pytest.fixture
def tally() -> dict[str, set[str]]:
    return TALLY


@pytest.hookimpl(trylast=True)
def pytest_unconfigure() -> None:
    if TALLY["asked"]:
        print(f"forbidden: {len(TALLY['asked'])} ways, {len(TALLY['through'])} got through")  # noqa: T201 (the suite ends with this line)
