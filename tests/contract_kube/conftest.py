"""One kube-apiserver for the whole session, and the line in which the contract suite ends."""

from collections.abc import AsyncGenerator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import httpx2
import pytest

from contract_harness.original import USERS, headers_of, running, unverified
from contract_harness.tally import TALLY


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def original_url(original_binaries: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running(original_binaries, tmp_path_factory.mktemp("original")) as url:
        yield url


@pytest.fixture(scope="session")
async def original(original_url: str) -> AsyncGenerator[dict[str | None, httpx2.AsyncClient]]:
    """Clients of the original, by user; None sends no token."""
    context = unverified()
    async with AsyncExitStack() as stack:
        clients: dict[str | None, httpx2.AsyncClient] = {}
        for user in (*USERS, None):
            client = httpx2.AsyncClient(base_url=original_url, verify=context, headers=headers_of(user), timeout=30)
            clients[user] = await stack.enter_async_context(client)
        yield clients


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    if TALLY.ran and not TALLY.green:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.hookimpl(trylast=True)
def pytest_unconfigure() -> None:
    if TALLY.ran:
        print(TALLY.line)  # noqa: T201 (the suite ends with this line)
