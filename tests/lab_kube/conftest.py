"""What the lab's tests share: a control plane without processes, HTTP clients onto its API, a lab for kubectl."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml

from midwatch_contracts.clock import VirtualClock
from midwatch_lab.api.server import ApiServer
from midwatch_lab.api.users import bind_users, fresh_users
from midwatch_lab.controllers.aggregation import AggregationController
from midwatch_lab.files import LabInfo
from midwatch_lab.kinds.resources import NAMESPACES, NODES
from midwatch_lab.kubelet.logs import ContainerLog
from midwatch_lab.plane import ControlPlane
from midwatch_lab.store.audit import Origin
from midwatch_lab.topology import chat_topology

TESTER = Origin("tester", "create", "/test", manager="tester")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class NoLogs:
    """A log source of a cluster that runs nothing."""

    def log_of(self, uid: str, container: str, *, previous: bool) -> ContainerLog | None:  # noqa: ARG002 (a protocol)
        return None


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabInfo]:
    """A lab in a process of its own, with pods that are processes."""
    folder = tmp_path_factory.mktemp("lab")
    command = [sys.executable, "-m", "midwatch_lab", "up", "--dir", str(folder), "--json", "--exit-with-stdin"]
    with (folder / "lab.log").open("wb") as log:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log)
    try:
        assert process.stdout is not None
        yield LabInfo.of(json.loads(process.stdout.readline()))
    finally:
        process.communicate(timeout=30)


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def plane(clock: VirtualClock) -> ControlPlane:
    made = ControlPlane(clock)
    made.registry.create(NAMESPACES, "", {"metadata": {"name": "llm"}}, TESTER)
    return made


@pytest.fixture
def with_node(plane: ControlPlane) -> ControlPlane:
    room = {"cpu": "8", "memory": "16Gi", "pods": "50"}
    status = {"allocatable": room, "capacity": room, "conditions": [{"type": "Ready", "status": "True"}]}
    plane.registry.create(NODES, "", {"metadata": {"name": "n1"}, "status": status}, TESTER)
    return plane


@pytest.fixture
def client_of(plane: ControlPlane) -> Callable[[str | None], httpx2.AsyncClient]:
    """Makes a client of the plane's API server, as a user; None sends no token."""
    users, tokens = fresh_users()
    bind_users(plane.registry)
    aggregation = AggregationController(plane.registry, plane.clock)
    for role in ("view", "edit", "admin"):
        aggregation.reconcile(("", role))
    transport = httpx2.ASGITransport(ApiServer(plane.registry, plane.clock, users, NoLogs()))

    def client(user: str | None) -> httpx2.AsyncClient:
        headers = {"Authorization": f"Bearer {tokens[user]}"} if user else {}
        return httpx2.AsyncClient(transport=transport, base_url="http://lab", headers=headers)

    return client


@pytest.fixture
def chat() -> dict[str, Any]:
    """The manifest of a Deployment."""
    return chat_topology("llm", "chat")[1]


@pytest.fixture
def service() -> dict[str, Any]:
    """The manifest of its Service."""
    return chat_topology("llm", "chat")[2]


@pytest.fixture(scope="module")
def raw(running: LabInfo, kubectl: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs an unmodified kubectl on that lab, and returns how that ended."""

    def run(*arguments: str, stdin: str = "", user: str = "admin") -> subprocess.CompletedProcess[str]:
        config = running.kubeconfig if user == "admin" else running.midwatch_kubeconfig
        command = [str(kubectl), "--kubeconfig", str(config), "-n", "llm", *arguments]
        environment = {"HOME": str(running.dir), "PATH": "/usr/bin:/bin"}
        return subprocess.run(
            command, input=stdin, capture_output=True, text=True, timeout=90, check=False, env=environment
        )

    return run


@pytest.fixture(scope="module")
def k(raw: Callable[..., subprocess.CompletedProcess[str]]) -> Callable[..., str]:
    """Runs kubectl on a lab in which `chat` is rolled out, and returns what it prints."""

    def run(*arguments: str, stdin: str = "") -> str:
        done = raw(*arguments, stdin=stdin)
        assert done.returncode == 0, f"kubectl {' '.join(arguments)}: {done.stderr}"
        return done.stdout

    run("apply", "-f", "-", stdin=yaml.safe_dump_all(chat_topology(replicas=2)))
    run("rollout", "status", "deployment/chat", "--timeout=60s")
    return run
