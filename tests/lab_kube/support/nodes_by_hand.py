"""Plays the nodes of a control plane without processes: makes pods ready, lets deleted ones go, ends them."""

from typing import Any

from midwatch_lab.kinds.resources import NODES, PODS
from midwatch_lab.objects import copied, dig, is_condition_true, is_terminating, name_of
from midwatch_lab.plane import ControlPlane
from midwatch_lab.registry.upkeep import DeleteOptions
from midwatch_lab.store.audit import Origin

NAMESPACE = "llm"
TESTER = Origin("tester", "create", "/test", manager="tester")
KUBELET = Origin("system:node:n1", "patch", "/x", manager="kubelet", subresource="status")
_ROOM = {"cpu": "8", "memory": "16Gi", "pods": "50"}


def add_node(plane: ControlPlane, name: str, *, labels: dict[str, str] | None = None, **spec: Any) -> None:
    """Register a node that is ready."""
    status = {"allocatable": _ROOM, "capacity": _ROOM, "conditions": [{"type": "Ready", "status": "True"}]}
    body = {"metadata": {"name": name, "labels": labels or {}}, "spec": spec, "status": status}
    plane.registry.create(NODES, "", body, TESTER)


def pods(plane: ControlPlane) -> list[dict[str, Any]]:
    """Return the pods that there are."""
    return plane.store.items(PODS.key, NAMESPACE)


def names(plane: ControlPlane) -> list[str]:
    """Return the names of the pods that there are."""
    return [name_of(pod) for pod in pods(plane)]


def report(plane: ControlPlane, name: str, phase: str, *, ready: bool = False, code: int | None = None) -> None:
    """Report a pod's phase, and the exit code of its containers where they have ended."""
    now = plane.registry.now_text()

    def change(obj: dict[str, Any]) -> None:
        status = obj["status"]
        status |= {"phase": phase, "startTime": status.get("startTime", now)}
        others = [item for item in status.get("conditions", []) if item["type"] != "Ready"]
        status["conditions"] = [
            *others, {"type": "Ready", "status": "True" if ready else "False", "lastTransitionTime": now}
        ]  # fmt: skip
        if code is not None:
            state = {"terminated": {"exitCode": code, "finishedAt": now}}
            status["containerStatuses"] = [
                {"name": item["name"], "ready": False, "restartCount": 0, "image": "", "imageID": "", "state": state}
                for item in obj["spec"]["containers"]
            ]

    plane.registry.modify(PODS, NAMESPACE, name, change, KUBELET)


def succeed(plane: ControlPlane, name: str) -> None:
    """End a pod well."""
    report(plane, name, "Succeeded", code=0)


def fail(plane: ControlPlane, name: str, code: int = 1) -> None:
    """End a pod badly."""
    report(plane, name, "Failed", code=code)


async def let_go(plane: ControlPlane) -> None:
    """End the pods that are to go."""
    await plane.settle()
    for pod in pods(plane):
        if is_terminating(pod):
            draft = copied(pod)
            draft["status"]["phase"] = "Failed" if dig(pod, "spec", "restartPolicy") != "Always" else "Running"
            ended = plane.registry.update(PODS, pod, draft, KUBELET)
            plane.registry.delete(PODS, ended, DeleteOptions(grace=0), TESTER)
    await plane.settle()


async def step(plane: ControlPlane) -> str:
    """Let what is deleted go, and make the first pod ready that is not; returns its name, empty where all are."""
    await let_go(plane)
    waiting = [
        name_of(pod)
        for pod in pods(plane)
        if dig(pod, "spec", "nodeName")
        and not is_condition_true(pod, "Ready")
        and dig(pod, "status", "phase") not in ("Succeeded", "Failed")
    ]
    if not waiting:
        return ""
    report(plane, waiting[0], "Running", ready=True)
    await plane.settle()
    return waiting[0]


async def play(plane: ControlPlane, *, limit: int = 200) -> list[str]:
    """Step until nothing moves; returns the names of the pods that were made ready, in order."""
    ready: list[str] = []
    for _ in range(limit):
        name = await step(plane)
        if not name:
            return ready
        ready.append(name)
    raise AssertionError("the pods never come to rest")
