"""The last line of the suite: how many ways there are, and how many got through."""

import pytest

TALLY = {"asked": 0, "through": 0}


@pytest.fixture
def tally() -> dict[str, int]:
    return TALLY


@pytest.hookimpl(trylast=True)
def pytest_unconfigure() -> None:
    if TALLY["asked"]:
        print(f"forbidden: {TALLY['asked']} ways, {TALLY['through']} got through")  # noqa: T201 (the suite ends with this line)
