from collections.abc import AsyncGenerator, Generator
from pathlib import Path
from typing import cast

import pytest

from midwatch_mcp.safe_apply.fake_world import World
from safe_apply_desk import Desk
from safe_apply_original import Original, running


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def world(tmp_path: Path, anyio_backend: str) -> AsyncGenerator[World]:
    assert anyio_backend == "asyncio"
    made = World(tmp_path)
    yield made
    for envelope in made.envelopes:
        await envelope.aclose()


@pytest.fixture
def one_kill_in(request: pytest.FixtureRequest) -> int:
    """Which share of its kills a crash matrix makes; `make crash-matrix` makes all."""
    return cast("int", request.config.getoption("--one-kill-in"))


@pytest.fixture
def one_apply_in(request: pytest.FixtureRequest) -> int:
    """Which share of the 1,000 applies under faults is made; `make faults` makes all."""
    return cast("int", request.config.getoption("--one-apply-in"))


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


@pytest.fixture(scope="session")
def original(original_binaries: Path, tmp_path_factory: pytest.TempPathFactory) -> Generator[Original]:
    """An original API server, one for all tests of the folder."""
    with running(original_binaries, tmp_path_factory.mktemp("original")) as found:
        yield found
