"""What is wrong with an object: `kube_describe` says it first, for every kind that an incident leads to."""

from typing import Any

import pytest

from midwatch_mcp.kubernetes.trouble import by_pods, object_troubles
from midwatch_mcp.settings import ServerSettings
from midwatch_mcp.testing.caller import Caller
from midwatch_mcp.testing.cluster import KindDouble
from midwatch_mcp.testing.world import World

NOW = 1_767_226_000.0
"""2026-01-01T00:06:40Z."""
MINUTE_FOUR = "2026-01-01T00:04:00Z"


def said(kind: str, spec: dict[str, Any] | None = None, status: dict[str, Any] | None = None, **meta: Any) -> list[str]:
    item = {"kind": kind, "metadata": {"name": "x", **meta}, "spec": spec or {}, "status": status or {}}
    return [trouble.what for trouble in object_troubles(item, NOW)]


def pod(entry: dict[str, Any], limit: str | None = "2Gi", **status: Any) -> list[str]:
    limits = {"limits": {"memory": limit}} if limit else {}
    spec = {"containers": [{"name": "engine", "resources": limits}]}
    return said("Pod", spec, {"phase": "Running", "containerStatuses": [{"name": "engine", **entry}], **status})


KILLED = {"terminated": {"exitCode": 137, "reason": "OOMKilled", "finishedAt": MINUTE_FOUR}}
ENDED = "ended with exit 137 (OOMKilled, "


@pytest.mark.parametrize(
    ("entry", "limit", "expected"),
    [
        (
            {"restartCount": 7, "state": {"waiting": {"reason": "CrashLoopBackOff"}}, "lastState": KILLED},
            "2Gi",
            f"container engine waits: CrashLoopBackOff, 7 restarts; the run before {ENDED}memory limit 2Gi), 160 s ago",
        ),
        (
            {"restartCount": 1, "state": {"running": {}}, "ready": True, "lastState": KILLED},
            None,
            f"container engine restarted 1 times; the run before {ENDED}no memory limit of its own), 160 s ago",
        ),
        (
            {"state": {"waiting": {"reason": "ImagePullBackOff"}}},
            None,
            "container engine waits: ImagePullBackOff",
        ),
        (
            {"state": {"terminated": {"exitCode": 143, "reason": "Error"}}},
            None,
            "container engine ended with exit 143 (Error, SIGTERM)",
        ),
        (
            {"state": {"running": {}}, "ready": False, "started": True},
            None,
            "container engine runs and is not ready: its readiness probe has not passed",
        ),
        (
            {"state": {"running": {}}, "ready": False, "started": False},
            None,
            "container engine runs and is not ready: its startup probe has not passed",
        ),
    ],
)
def test_a_container_says_its_state_its_last_end_and_what_it_waits_for(
    entry: dict[str, Any], limit: str | None, expected: str
) -> None:
    assert pod(entry, limit) == [expected]


def test_a_healthy_pod_has_no_trouble_and_an_old_restart_is_none() -> None:
    ready: dict[str, Any] = {"conditions": [{"type": "Ready", "status": "True"}]}
    assert pod({"state": {"running": {}}, "ready": True}, **ready) == []
    old = {"terminated": {"exitCode": 1, "finishedAt": "2025-12-01T00:00:00Z"}}
    assert pod({"state": {"running": {}}, "ready": True, "restartCount": 3, "lastState": old}, **ready) == []


@pytest.mark.parametrize(
    ("kind", "spec", "status", "expected"),
    [
        (
            "Pod",
            {},
            {
                "phase": "Pending",
                "conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}],
            },
            ["not scheduled: Unschedulable"],
        ),
        ("Pod", {}, {"phase": "Failed", "reason": "Evicted"}, ["the pod failed: Evicted"]),
        (
            "Node",
            {"unschedulable": True, "taints": [{"key": "gpu", "effect": "NoSchedule"}]},
            {
                "conditions": [
                    {
                        "type": "Ready",
                        "status": "Unknown",
                        "reason": "NodeStatusUnknown",
                        "lastTransitionTime": MINUTE_FOUR,
                    },
                    {"type": "MemoryPressure", "status": "True"},
                    {"type": "DiskPressure", "status": "False"},
                ]
            },
            [
                "cordoned: no new pod is scheduled to it",
                "tainted NoSchedule",
                "Ready is Unknown for 160 s (NodeStatusUnknown)",
                "MemoryPressure is True",
            ],
        ),
        ("PersistentVolumeClaim", {}, {"phase": "Pending"}, ["not bound: Pending"]),
        ("PersistentVolumeClaim", {}, {"phase": "Bound"}, []),
        (
            "Job",
            {"backoffLimit": 2},
            {"failed": 3, "conditions": [{"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded"}]},
            ["3 of its pods failed (backoffLimit 2)", "Failed is True (BackoffLimitExceeded)"],
        ),
        ("CronJob", {"suspend": True}, {}, ["suspended: it starts no Jobs"]),
        (
            "CronJob",
            {},
            {"lastScheduleTime": MINUTE_FOUR, "lastSuccessfulTime": "2026-01-01T00:00:00Z"},
            ["its last run did not succeed (last 400 s ago)"],
        ),
        (
            "HorizontalPodAutoscaler",
            {"maxReplicas": 4},
            {"currentReplicas": 4, "conditions": [{"type": "ScalingLimited", "status": "True"}]},
            ["at its maximum of 4 replicas, and would scale further"],
        ),
        (
            "HorizontalPodAutoscaler",
            {"maxReplicas": 4},
            {"conditions": [{"type": "ScalingActive", "status": "False", "reason": "FailedGetResourceMetric"}]},
            ["ScalingActive is False (FailedGetResourceMetric)"],
        ),
        (
            "PodDisruptionBudget",
            {},
            {"disruptionsAllowed": 0, "currentHealthy": 2, "desiredHealthy": 3, "expectedPods": 3},
            ["allows no disruption: 2 pods healthy, 3 needed; drains wait"],
        ),
        (
            "ResourceQuota",
            {},
            {"hard": {"requests.cpu": "4", "pods": "10"}, "used": {"requests.cpu": "4000m", "pods": "3"}},
            ["4000m of 4 used: nothing more fits"],
        ),
        ("DaemonSet", {}, {"desiredNumberScheduled": 3, "numberReady": 1}, ["1 of 3 pods ready"]),
        ("StatefulSet", {"replicas": 2}, {"readyReplicas": 1}, ["1 of 2 replicas ready"]),
        ("Service", {"type": "LoadBalancer"}, {}, ["its load balancer has no address yet"]),
        ("Ingress", {}, {}, ["it has no address: no ingress controller has taken it up"]),
        ("Certificate", {}, {"conditions": [{"type": "Ready", "status": "False"}]}, ["Ready is False"]),
        ("RayCluster", {}, {"phase": "Failed"}, ["its phase is Failed"]),
        ("Widget", {}, {"phase": "Ready", "conditions": [{"type": "Synced", "status": "True"}]}, []),
    ],
)
def test_each_kind_says_what_is_wrong_with_it(
    kind: str, spec: dict[str, Any], status: dict[str, Any], expected: list[str]
) -> None:
    assert said(kind, spec, status) == expected


def test_an_object_that_finalizers_hold_says_since_when_and_a_change_nobody_saw_is_named() -> None:
    held: dict[str, Any] = {"deletionTimestamp": MINUTE_FOUR, "finalizers": ["a/b", "c/d"]}
    assert said("ConfigMap", **held) == ["should have been gone 160 s ago: 2 finalizers hold it"]
    assert said("Widget", status={"observedGeneration": 2}, generation=3) == [
        "its controller has seen generation 2 and not yet 3"
    ]


def test_pods_with_one_trouble_are_told_together() -> None:
    pods = [
        {
            "metadata": {"name": f"p{number}"},
            "status": {
                "containerStatuses": [
                    {"name": "engine", "restartCount": number, "state": {"waiting": {"reason": "CrashLoopBackOff"}}}
                ]
            },
        }
        for number in range(1, 4)
    ]
    assert [trouble.what for trouble in by_pods(pods, NOW)] == [
        "3 pods, for one p1: container engine waits: CrashLoopBackOff, 1 restarts"
    ]


@pytest.mark.anyio
async def test_describe_of_a_deployment_says_first_what_its_pods_wait_for(settings: ServerSettings) -> None:
    found = await Caller.of("kubernetes", settings).result("kube_describe", kind="deploy", name="chat", namespace="llm")
    assert "pod chat-new-c: container engine waits: CrashLoopBackOff, 7 restarts" in found["summary"]
    assert [trouble["what"].partition(" ")[0] for trouble in found["data"]["troubles"]] == ["2", "Available", "pod"]


@pytest.mark.anyio
async def test_describe_of_a_node_sums_what_its_pods_request_beside_what_it_has(
    settings: ServerSettings, world: World
) -> None:
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"}, "spec": {}}
    world.cluster.put(node | {"status": {"allocatable": {"cpu": "8", "memory": "16Gi"}}})
    for name in ("chat-new-a", "chat-new-b"):
        container = world.cluster.store["v1", "pods", "llm", name]["spec"]["containers"][0]
        container["resources"]["requests"] = {"cpu": "1500m"}
    data = await Caller.of("kubernetes", settings).data("kube_describe", kind="Node", name="n1")
    assert data["allocatable"] == {
        "allocatable.cpu": 8.0,
        "allocatable.memory": 16 * 2**30,
        "pods": 3.0,
        "requested.cpu": 3.0,
    }
    assert data["children"][0]["entity"] == "Pod/llm/chat-new-c"
    assert data["children_total"] == 3


@pytest.mark.anyio
async def test_what_a_custom_object_owns_is_found_though_its_kind_is_not_known_here(
    settings: ServerSettings, world: World
) -> None:
    world.cluster.kinds = (*world.cluster.kinds, KindDouble("Model", "example.org/v1", "models"))
    world.cluster.put({"apiVersion": "example.org/v1", "kind": "Model", "metadata": {"name": "m", "namespace": "llm"}})
    deployment = world.cluster.store["apps/v1", "deployments", "llm", "chat"]
    deployment["metadata"]["ownerReferences"] = [{"kind": "Model", "name": "m", "uid": "uid-models-m"}]
    data = await Caller.of("kubernetes", settings).data("kube_describe", kind="Model", name="m", namespace="llm")
    assert [child["entity"] for child in data["children"]] == ["Deployment/llm/chat"]
    assert data["children"][0]["state"].startswith("2/3 ready: Available is False")


@pytest.mark.anyio
async def test_the_pods_that_hold_a_claim_are_its_children_and_failed_mounts_are_told(
    settings: ServerSettings, world: World
) -> None:
    claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "models", "namespace": "llm"}}
    world.cluster.put(claim | {"spec": {}, "status": {"phase": "Pending"}})
    volumes = [{"name": "m", "persistentVolumeClaim": {"claimName": "models"}}]
    world.cluster.store["v1", "pods", "llm", "chat-new-a"]["spec"]["volumes"] = volumes
    data = await Caller.of("kubernetes", settings).data("kube_describe", kind="pvc", name="models", namespace="llm")
    assert [child["entity"] for child in data["children"]] == ["Pod/llm/chat-new-a"]
    assert data["troubles"][0]["what"] == "not bound: Pending"
