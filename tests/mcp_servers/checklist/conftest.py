"""The last line of the checklist: how many lines hold, and how many fail once their guard is out."""

import pytest

TALLY = {"green": 0, "red": 0}


@pytest.fixture
def tally() -> dict[str, int]:
    return TALLY


@pytest.hookimpl(trylast=True)
def pytest_unconfigure() -> None:
    if any(TALLY.values()):
        print(f"checklist: {TALLY['green']} green, {TALLY['red']} red without guard")  # noqa: T201 (the suite ends with this line)
