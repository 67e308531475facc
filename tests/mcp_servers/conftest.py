"""A small serving platform made of doubles, and a client of each server in both protocol eras."""

from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from midwatch_contracts.clock import VirtualClock
from midwatch_mcp.evidence import EvidenceStore
from midwatch_mcp.metrics.client import PrometheusClient
from midwatch_mcp.metrics.room import MetricsRoom
from midwatch_mcp.metrics.server import HANDLERS
from midwatch_mcp.server import new_server
from midwatch_mcp.settings import ServerSettings
from midwatch_mcp.testing.backend import BackendDouble
from midwatch_mcp.testing.caller import ERAS, Caller, Era
from midwatch_mcp.testing.world import Stage, World, stage

NEW_ARGS = ["--model", "tiny", "--num-gpu-blocks-override=14", "--max-num-seqs", "4"]
OLD_ARGS = ["--model", "tiny", "--num-gpu-blocks-override=256", "--max-num-seqs", "4"]
LABELS = {"app": "chat"}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def template(args: list[str], cpu: str = "1", env: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    container = {
        "name": "engine",
        "image": "midwatch/serve:1",
        "command": ["midwatch", "serve"],
        "args": args,
        "env": env or [],
        "ports": [{"name": "http", "containerPort": 8000}],
        "resources": {"limits": {"cpu": cpu}},
    }
    return {"metadata": {"labels": LABELS}, "spec": {"containers": [container]}}


def owner(kind: str, name: str, uid: str) -> list[dict[str, Any]]:
    return [{"apiVersion": "apps/v1", "kind": kind, "name": name, "uid": uid, "controller": True}]


def deployment() -> dict[str, Any]:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": "chat",
            "namespace": "llm",
            "uid": "uid-d",
            "generation": 2,
            "annotations": {"deployment.kubernetes.io/revision": "2"},
        },
        "spec": {"replicas": 3, "selector": {"matchLabels": LABELS}, "template": template(NEW_ARGS)},
        "status": {
            "observedGeneration": 2,
            "replicas": 3,
            "updatedReplicas": 3,
            "readyReplicas": 2,
            "availableReplicas": 2,
            "conditions": [
                {
                    "type": "Available",
                    "status": "False",
                    "reason": "MinimumReplicasUnavailable",
                    "message": "Deployment does not have minimum availability.",
                    "lastTransitionTime": "2026-01-01T00:10:00Z",
                }
            ],
        },
    }


def replicaset(name: str, revision: int, args: list[str], created: str, replicas: int) -> dict[str, Any]:
    return {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": name,
            "namespace": "llm",
            "uid": f"uid-{name}",
            "labels": LABELS,
            "creationTimestamp": created,
            "annotations": {"deployment.kubernetes.io/revision": str(revision)},
            "ownerReferences": owner("Deployment", "chat", "uid-d"),
        },
        "spec": {"replicas": replicas, "selector": {"matchLabels": LABELS}, "template": template(args)},
        "status": {"replicas": replicas, "readyReplicas": replicas},
    }


def pod(name: str, *, ready: bool, namespace: str = "llm", args: list[str] | None = None) -> dict[str, Any]:
    state: dict[str, Any] = (
        {"running": {"startedAt": "2026-01-01T00:10:05Z"}} if ready else {"waiting": {"reason": "CrashLoopBackOff"}}
    )
    status = {
        "phase": "Running",
        "podIP": "127.1.0.2",
        "conditions": [{"type": "Ready", "status": str(ready)}],
        "containerStatuses": [
            {
                "name": "engine",
                "image": "midwatch/serve:1",
                "ready": ready,
                "restartCount": 0 if ready else 7,
                "state": state,
            }
        ],
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": LABELS,
            "ownerReferences": owner("ReplicaSet", "chat-new", "uid-chat-new"),
        },
        "spec": {"nodeName": "n1", **template(args or NEW_ARGS)["spec"]},
        "status": status,
    }


def event(name: str, about: str, reason: str, message: str, at: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": name, "namespace": "llm"},
        "involvedObject": {"kind": about.partition("/")[0], "namespace": "llm", "name": about.partition("/")[2]},
        "type": "Warning" if reason in {"BackOff", "Unhealthy"} else "Normal",
        "reason": reason,
        "message": message,
        "lastTimestamp": at,
        "count": 2,
        "source": {"component": "kubelet"},
    }


def furnish(world: World) -> None:
    """Put in a Deployment of three pods whose newest revision shrank the KV cache; one pod crashes."""
    world.cluster.put(
        deployment(),
        replicaset("chat-old", 1, OLD_ARGS, "2026-01-01T00:00:00Z", 0),
        replicaset("chat-new", 2, NEW_ARGS, "2026-01-01T00:10:00Z", 3),
        pod("chat-new-a", ready=True),
        pod("chat-new-b", ready=True),
        pod("chat-new-c", ready=False),
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "chat", "namespace": "llm"},
            "spec": {"selector": LABELS, "ports": [{"name": "http", "port": 8000, "targetPort": "http"}]},
        },
        event(
            "e1",
            "Deployment/chat",
            "ScalingReplicaSet",
            "Scaled up replica set chat-new from 0 to 1",
            "2026-01-01T00:10:01Z",
        ),
        event(
            "e2",
            "Deployment/chat",
            "ScalingReplicaSet",
            "Scaled down replica set chat-old from 3 to 0",
            "2026-01-01T00:10:20Z",
        ),
        event(
            "e3",
            "Deployment/chat",
            "ScalingReplicaSet",
            "Scaled up replica set chat-new from 1 to 3",
            "2026-01-01T00:10:10Z",
        ),
        event("e4", "Pod/chat-new-c", "BackOff", "Back-off restarting failed container", "2026-01-01T00:11:00Z"),
    )
    for name in ("chat-new-a", "chat-new-b"):
        world.backends[name] = BackendDouble(blocks=14, kv_usage=0.9, waiting=5)
        world.cluster.backends[name] = world.backends[name].answer


@pytest.fixture(scope="session")
def open_stage() -> Generator[Stage]:
    with stage() as running:
        yield running


@pytest.fixture
def world(open_stage: Stage) -> World:
    furnished = open_stage.enter(World())
    furnish(furnished)
    return furnished


@pytest.fixture
def settings(world: World, tmp_path: Path) -> ServerSettings:
    return world.settings(tmp_path)


@pytest.fixture
def metrics(settings: ServerSettings, era: Era) -> Caller:
    """The metrics server with a clock that stands still at 1,700,000,000."""
    client = PrometheusClient.of(settings)
    server = new_server(
        "metrics",
        title="Metrics",
        instructions="",
        settings=settings,
        evidence=EvidenceStore(settings.state),
        room=MetricsRoom(client, VirtualClock(start=1_700_000_000.0)),
        handlers=HANDLERS,
        close=client.aclose,
    )
    return Caller(server, era)


@pytest.fixture(params=ERAS)
def era(request: pytest.FixtureRequest) -> Era:
    return request.param
