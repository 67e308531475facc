"""Two Prometheus servers for the whole session, without and with experimental features, and the suite's last line."""

from collections.abc import AsyncGenerator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import httpx2
import pytest

from midwatch_contracts.promql import FEATURE_NAMES
from midwatch_lab.original_prometheus import OriginalPrometheus, prometheus_running
from promql_harness.data import samples
from promql_harness.sides import lab_client
from promql_harness.tally import TALLY

Sides = dict[bool, tuple[httpx2.AsyncClient, httpx2.AsyncClient]]
"""Clients of the lab and of the original, by whether experimental features are on."""


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def originals(
    prometheus_binaries: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[bool, OriginalPrometheus]]:
    binary = prometheus_binaries / "prometheus"
    config = "global: {evaluation_interval: 1m}\n"
    with (
        prometheus_running(binary, tmp_path_factory.mktemp("plain"), config) as plain,
        prometheus_running(binary, tmp_path_factory.mktemp("features"), config, FEATURE_NAMES) as featured,
    ):
        for original in (plain, featured):
            original.write(samples())
        yield {False: plain, True: featured}


@pytest.fixture(scope="session")
async def sides(originals: dict[bool, OriginalPrometheus]) -> AsyncGenerator[Sides]:
    async with AsyncExitStack() as stack:
        found: Sides = {}
        for features, original in originals.items():
            lab = await stack.enter_async_context(lab_client(samples(), features=features))
            remote = httpx2.AsyncClient(base_url=original.url, timeout=30)
            found[features] = (lab, await stack.enter_async_context(remote))
        yield found


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    if TALLY.ran and not TALLY.green:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.hookimpl(trylast=True)
def pytest_unconfigure() -> None:
    if TALLY.ran:
        print(TALLY.line)  # noqa: T201 (the suite ends with this line)
