"""Node, if it is there with its programs, and the last lines: what each program found."""

from collections.abc import Generator

import pytest

from outside_programs.node import Node, missing, node_program
from outside_programs.platform import Platform, platform

LINES: list[str] = []


@pytest.fixture(scope="session")
def node(tmp_path_factory: pytest.TempPathFactory) -> Node:
    why, program = missing(), node_program()
    if why is not None or program is None:
        pytest.skip(f"{why}")
    return Node(program, tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="session")
def lab_server(node: Node, tmp_path_factory: pytest.TempPathFactory) -> Generator[Platform]:
    """A lab and `midwatch mcp all --allow-write` over it (after `node`: without it nothing is started)."""
    assert node
    with platform(tmp_path_factory.mktemp("platform")) as running:
        yield running


@pytest.fixture(scope="session")
def last_lines() -> list[str]:
    """What the run ends with, a line a program."""
    return LINES


@pytest.hookimpl(trylast=True)
def pytest_unconfigure() -> None:
    for line in LINES:
        print(line)  # noqa: T201 (the suite ends with these lines)
