"""What every test shares: markers, and where the original binaries are."""

import os
import shutil
import signal
import ssl
from collections.abc import Generator
from pathlib import Path
from typing import Any

import certifi
import pytest
from hypothesis import settings

# No deadline: a busy machine is not a defect. In CI the examples are the same at every run, so that a change is judged
# by what it changed; at a desk they are new each time.
settings.register_profile("midwatch", deadline=None)
settings.register_profile("ci", settings.get_profile("midwatch"), derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "midwatch")

HEAVY = ("slow", "original", "kubectl", "packaging", "outside")


def pytest_configure() -> None:
    _leave_the_systems_certificates()
    # A shell has what it runs in the background ignore Ctrl-C, and all that the tests start would inherit that.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _leave_the_systems_certificates() -> None:
    """Read them never: 30 ms for each client that is made, and nobody whom a test speaks to in this process has one."""
    load, theirs = ssl.SSLContext.load_verify_locations, certifi.where()

    def load_verify_locations(self: ssl.SSLContext, cafile: Any = None, capath: Any = None, cadata: Any = None) -> None:
        if cafile != theirs:
            load(self, cafile, capath, cadata)

    def load_default_certs(self: ssl.SSLContext, purpose: ssl.Purpose = ssl.Purpose.SERVER_AUTH) -> None:
        del self, purpose

    ssl.SSLContext.load_verify_locations = load_verify_locations
    ssl.SSLContext.load_default_certs = load_default_certs


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--all", action="store_true", help="also run the tests marked " + ", ".join(HEAVY))
    parser.addoption("--one-kill-in", type=int, default=61, help="of the crash matrices, run one kill in so many")
    parser.addoption("--one-apply-in", type=int, default=20, help="of the applies under faults, make one in so many")
    parser.addoption("--no-skips", action="store_true", help="a skipped test is a failure (CI has every original)")


def _binary(name: str) -> Path | None:
    folder = os.environ.get("KUBEBUILDER_ASSETS")
    if folder and (Path(folder) / name).is_file():
        return Path(folder) / name
    found = shutil.which(name)
    return Path(found) if found and name == "kubectl" else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--all") or config.getoption("-m"):
        return
    for item in items:
        marks = [name for name in HEAVY if item.get_closest_marker(name)]
        if marks:
            item.add_marker(pytest.mark.skip(reason=f"marked {', '.join(marks)}: run with --all"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if item.config.getoption("--no-skips") and report.skipped:
        report.outcome = "failed"
        report.longrepr = f"skipped, and --no-skips is given: {report.longrepr}"
    return report


@pytest.fixture(scope="session")
def kubectl() -> Path:
    """A real kubectl."""
    found = _binary("kubectl")
    if found is None:
        pytest.skip("no kubectl: put one on PATH, or name its folder in KUBEBUILDER_ASSETS")
    return found


@pytest.fixture(scope="session")
def original_binaries() -> Path:
    """The folder with kube-apiserver, etcd and prometheus (envtest's convention)."""
    folder = os.environ.get("KUBEBUILDER_ASSETS")
    if not folder or not (Path(folder) / "kube-apiserver").is_file():
        pytest.skip("KUBEBUILDER_ASSETS names no folder with kube-apiserver: the tests against the original need it")
    return Path(folder)


@pytest.fixture(scope="session")
def prometheus_binaries() -> Path:
    """The folder with `prometheus` and `promtool`."""
    folder = Path(os.environ.get("KUBEBUILDER_ASSETS", "/nonexistent"))
    if not (folder / "prometheus").is_file():
        pytest.skip("KUBEBUILDER_ASSETS names no folder with prometheus: the tests against the original need it")
    return folder
