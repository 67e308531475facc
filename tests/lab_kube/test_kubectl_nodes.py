"""A real, unmodified kubectl on the nodes of a running lab and on what moves pods: one test a verb."""

import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from midwatch_lab.files import LabInfo
from midwatch_lab.topology import chat_topology

pytestmark = [pytest.mark.slow, pytest.mark.kubectl]

Kubectl = Callable[..., str]
Raw = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def raw(running: LabInfo, kubectl: Path) -> Raw:
    def run(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        command = [str(kubectl), "--kubeconfig", str(running.kubeconfig), "-n", "llm", *arguments]
        environment = {"HOME": str(running.dir), "PATH": "/usr/bin:/bin"}
        return subprocess.run(
            command, input=stdin, capture_output=True, text=True, timeout=90, check=False, env=environment
        )

    return run


@pytest.fixture(scope="module")
def k(raw: Raw) -> Kubectl:
    """Runs kubectl on a lab in which `chat` is rolled out, and returns what it prints."""

    def run(*arguments: str, stdin: str = "") -> str:
        done = raw(*arguments, stdin=stdin)
        assert done.returncode == 0, f"kubectl {' '.join(arguments)}: {done.stderr}"
        return done.stdout

    run("apply", "-f", "-", stdin=yaml.safe_dump_all(chat_topology(replicas=2)))
    run("rollout", "status", "deployment/chat", "--timeout=60s")
    return run


def eventually(ask: Callable[[], Any], until_s: float = 40.0) -> Any:
    """Ask until something comes; the kubelet measures every 5 s, an autoscaler looks every 15 s."""
    deadline = time.monotonic() + until_s
    while not (found := ask()):
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.2)
    return found


def printed(raw: Raw, *arguments: str) -> Callable[[], str]:
    def ask() -> str:
        done = raw(*arguments)
        return done.stdout if done.returncode == 0 else ""

    return ask


def test_top_pods_shows_what_each_process_uses(k: Kubectl, raw: Raw) -> None:
    def both() -> list[list[str]]:
        lines = [line.split() for line in printed(raw, "top", "pods", "--no-headers")().splitlines()]
        return lines if len(lines) == 2 else []

    for name, cpu, memory in eventually(both):
        assert name.startswith("chat-")
        assert cpu.endswith("m")
        assert 20 < int(memory.removesuffix("Mi")) < 4000, "a Python process with a model"
    header, *rows = k("top", "pods", "--containers", "-l", "app.kubernetes.io/name=chat").splitlines()
    assert header.split() == ["POD", "NAME", "CPU(cores)", "MEMORY(bytes)"]
    assert [row.split()[1] for row in rows] == ["engine", "engine"]
    table = k("get", "pods.metrics.k8s.io").splitlines()
    assert table[0].split() == ["NAME", "CPU", "MEMORY", "WINDOW"]


def test_top_nodes_shows_shares_of_what_can_be_allocated(k: Kubectl, raw: Raw) -> None:
    eventually(printed(raw, "top", "pods"))
    header, *rows = k("top", "nodes").splitlines()
    assert header.split() == ["NAME", "CPU(cores)", "CPU(%)", "MEMORY(bytes)", "MEMORY(%)"]
    assert [row.split()[0] for row in rows] == ["lab-1", "lab-2"]
    assert all(row.split()[2].endswith("%") for row in rows)
