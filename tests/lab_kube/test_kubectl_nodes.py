"""A real, unmodified kubectl on the nodes of a running lab and on what moves pods: one test a verb."""

import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from midwatch_lab.files import LabInfo

pytestmark = [pytest.mark.slow, pytest.mark.kubectl]

Kubectl = Callable[..., str]
Raw = Callable[..., subprocess.CompletedProcess[str]]


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


def nodes_of_pods(k: Kubectl) -> list[str]:
    return k("get", "pods", "-o", "jsonpath={.items[*].spec.nodeName}").split()


def taint_keys(k: Kubectl, node: str) -> list[str]:
    return k("get", "node", node, "-o", "jsonpath={.spec.taints[*].key}").split()


def test_cordon_taints_the_node_and_uncordon_frees_it(k: Kubectl) -> None:
    assert "node/lab-1 cordoned" in k("cordon", "lab-1")
    assert "Ready,SchedulingDisabled" in k("get", "node", "lab-1")
    assert eventually(lambda: taint_keys(k, "lab-1")) == ["node.kubernetes.io/unschedulable"]
    assert "node/lab-1 uncordoned" in k("uncordon", "lab-1")
    eventually(lambda: not taint_keys(k, "lab-1"))
    assert "already uncordoned" in k("uncordon", "lab-1")


def test_a_budget_holds_a_drain_up_until_another_pod_is_ready(k: Kubectl, running: LabInfo, kubectl: Path) -> None:
    budget = {
        "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "chat"},
        "spec": {"minAvailable": 2, "selector": {"matchLabels": {"app.kubernetes.io/name": "chat"}}},
    }  # fmt: skip
    k("apply", "-f", "-", stdin=yaml.safe_dump(budget))
    allowed = ["get", "pdb", "chat", "-o", "jsonpath={.status.currentHealthy} {.status.disruptionsAllowed}"]
    eventually(lambda: k(*allowed) == "2 0")
    header, row = k("get", "pdb").splitlines()
    assert header.split()[:5] == ["NAME", "MIN", "AVAILABLE", "MAX", "UNAVAILABLE"]
    assert row.split()[:4] == ["chat", "2", "N/A", "0"]
    assert sorted(nodes_of_pods(k)) == ["lab-1", "lab-2"]
    command = [str(kubectl), "--kubeconfig", str(running.kubeconfig), "drain", "lab-1", "--timeout=80s"]
    draining = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        assert draining.stdout is not None
        said = ""
        while "Cannot evict pod as it would violate the pod's disruption budget." not in said:
            line = draining.stdout.readline()
            assert line, f"the drain ended: {said}"
            said += line
        assert "lab-1" in nodes_of_pods(k)
        k("scale", "deployment/chat", "--replicas=3")
        rest, _ = draining.communicate(timeout=85)
    finally:
        draining.kill()
    assert draining.returncode == 0, said + rest
    assert "node/lab-1 drained" in rest
    assert set(nodes_of_pods(k)) == {"lab-2"}
    assert eventually(lambda: k(*allowed) == "3 1")
    k("uncordon", "lab-1")
    k("scale", "deployment/chat", "--replicas=2")
    k("delete", "pdb", "chat")
    k("rollout", "status", "deployment/chat", "--timeout=60s")


def test_a_noexecute_taint_moves_the_pods_to_another_node(k: Kubectl) -> None:
    assert "node/lab-2 tainted" in k("taint", "node", "lab-2", "maintenance=now:NoExecute")
    eventually(lambda: set(nodes_of_pods(k)) == {"lab-1"})
    k("rollout", "status", "deployment/chat", "--timeout=60s")
    assert "TaintManagerEviction" in k("get", "events", "--field-selector=reason=TaintManagerEviction")
    assert "node/lab-2 untainted" in k("taint", "node", "lab-2", "maintenance-")
    assert not taint_keys(k, "lab-2")


def test_autoscale_makes_an_autoscaler_that_raises_the_replicas(k: Kubectl, raw: Raw) -> None:
    # Three at least, at any load: what is measured of an idle model would make a poor test.
    k("autoscale", "deployment/chat", "--min=3", "--max=4", "--cpu=50%")
    eventually(lambda: k("get", "deployment", "chat", "-o", "jsonpath={.spec.replicas}") == "3")
    k("rollout", "status", "deployment/chat", "--timeout=60s")

    def shown() -> list[str]:
        words = k("get", "hpa", "chat").splitlines()[1].split()
        return words if "<unknown>/50%" not in words else []

    words = eventually(shown)
    assert words[:3] == ["chat", "Deployment/chat", "cpu:"]
    assert words[3].endswith("%/50%")
    assert words[4:6] == ["3", "4"]
    assert raw("top", "pods").returncode == 0


def test_describe_hpa_tells_of_metrics_conditions_and_events(k: Kubectl) -> None:
    text = eventually(lambda: found if "ScalingActive" in (found := k("describe", "hpa", "chat")) else "")
    assert "resource cpu on pods  (as a percentage of request):" in text
    assert "SuccessfulRescale" in text
    assert "New size: 3; reason: Current number of replicas below Spec.MinReplicas" in text
    for kind in ("AbleToScale", "ScalingActive"):
        assert kind in text
    k("delete", "hpa", "chat")


def test_describe_node_tells_of_its_pods_lease_and_taints(k: Kubectl) -> None:
    k("taint", "node", "lab-2", "note=x:PreferNoSchedule")
    text = k("describe", "node", "lab-2")
    assert "note=x:PreferNoSchedule" in text
    assert "HolderIdentity:  lab-2" in text
    assert "kubelet is posting ready status" in text
    assert "Non-terminated Pods:" in text
    k("taint", "node", "lab-2", "note-")
