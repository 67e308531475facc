"""What the tests of `make bench-serving` share."""

import pytest


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
