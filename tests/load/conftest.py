from collections.abc import AsyncIterator

import pytest

from scripted_service import ScriptedService


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def world() -> AsyncIterator[ScriptedService]:
    found = ScriptedService()
    yield found
    await found.service.close()
