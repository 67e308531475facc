"""`kube_rollout` of every kind that has revisions: how far, why no further, and what two revisions differ in."""

from typing import Any

import pytest

from midwatch_mcp.settings import ServerSettings
from midwatch_mcp.testing.caller import Caller
from midwatch_mcp.testing.world import World

pytestmark = pytest.mark.anyio
LABELS = {"app": "store"}


@pytest.fixture
def kube(settings: ServerSettings) -> Caller:
    return Caller.of("kubernetes", settings)


def template(image: str, period: int = 5) -> dict[str, Any]:
    probe = {"periodSeconds": period}
    return {
        "metadata": {"labels": LABELS},
        "spec": {"containers": [{"name": "db", "image": image, "livenessProbe": probe}]},
    }


def revision(kind: str, number: int, image: str) -> dict[str, Any]:
    owner = {"apiVersion": "apps/v1", "kind": kind, "name": "store", "uid": "uid-store", "controller": True}
    metadata = {"name": f"store-{number}", "namespace": "llm", "labels": LABELS, "ownerReferences": [owner]}
    data = {"spec": {"template": template(image, number)}}
    return {
        "apiVersion": "apps/v1",
        "kind": "ControllerRevision",
        "metadata": metadata,
        "revision": number,
        "data": data,
    }


def workload(kind: str, spec: dict[str, Any], status: dict[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": "store", "namespace": "llm", "uid": "uid-store", "generation": 3},
        "spec": {"selector": {"matchLabels": LABELS}, "template": template("db:3"), **spec},
        "status": {"observedGeneration": 3, **status},
    }


def stateful(**spec: Any) -> dict[str, Any]:
    status = {
        "replicas": 3,
        "updatedReplicas": 1,
        "readyReplicas": 2,
        "availableReplicas": 2,
        "updateRevision": "store-3",
    }
    return workload("StatefulSet", {"replicas": 3, **spec}, status)


async def test_a_stateful_set_shows_its_revisions_and_any_two_are_compared(kube: Caller, world: World) -> None:
    world.cluster.put(stateful(), *(revision("StatefulSet", number, f"db:{number}") for number in (1, 2, 3)))
    found = await kube.data("kube_rollout", kind="StatefulSet", name="store", namespace="llm")
    assert (found["state"], found["revision"], found["compared"]) == ("progressing", 3, [2, 3])
    assert [(one["revision"], one["image"], one["current"]) for one in found["revisions"]] == [
        (3, "db:3", True),
        (2, "db:2", False),
        (1, "db:1", False),
    ]
    one = await kube.result("kube_rollout", kind="StatefulSet", name="store", namespace="llm", compare="1-3")
    assert one["data"]["changed"] == [
        {"container": "db", "flag": "image", "before": "db:1", "after": "db:3"},
        {"container": "db", "flag": "livenessProbe.periodSeconds", "before": "1", "after": "3"},
    ]
    assert "Revision 3 changed" in one["summary"]
    assert "against 1: db image, db livenessProbe.periodSeconds" in one["summary"]
    back = await kube.data("kube_rollout", kind="StatefulSet", name="store", namespace="llm", compare="3-1")
    assert back["changed"][0]["after"] == "db:1"
    gone = await kube.error("kube_rollout", kind="StatefulSet", name="store", namespace="llm", compare="7-3")
    assert "revision 7 is not kept: there are 3, 2, 1" in gone


async def test_a_daemon_set_is_judged_by_the_nodes_that_it_should_be_on(kube: Caller, world: World) -> None:
    status = {"desiredNumberScheduled": 4, "updatedNumberScheduled": 4, "numberReady": 4, "numberAvailable": 4}
    world.cluster.put(workload("DaemonSet", {}, status), revision("DaemonSet", 1, "db:1"))
    found = await kube.data("kube_rollout", kind="DaemonSet", name="store", namespace="llm")
    assert (found["desired"], found["ready"], found["state"], found["complete"]) == (4, 4, "complete", True)
    assert (found["why"], found["compared"], found["changed"]) == ([], [], [])


@pytest.mark.parametrize(
    ("strategy", "said"),
    [
        ({"type": "OnDelete"}, "its strategy is OnDelete"),
        ({"type": "RollingUpdate", "rollingUpdate": {"partition": 1}}, "its partition is 1"),
    ],
)
async def test_a_strategy_that_waits_for_a_person_says_so(
    strategy: dict[str, Any], said: str, kube: Caller, world: World
) -> None:
    item = stateful(updateStrategy=strategy)
    item["status"] |= {"readyReplicas": 3, "availableReplicas": 3}
    world.cluster.put(item)
    found = await kube.data("kube_rollout", kind="StatefulSet", name="store", namespace="llm")
    assert found["state"] == "by hand"
    assert said in found["why"][0]["what"]


async def test_a_deployment_past_its_deadline_is_stuck_and_says_what_its_pods_wait_for(
    kube: Caller, world: World
) -> None:
    item = world.cluster.store["apps/v1", "deployments", "llm", "chat"]
    item["spec"]["progressDeadlineSeconds"] = 600
    item["status"]["conditions"] = [
        {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": "timed out"}
    ]
    entry = world.cluster.store["v1", "pods", "llm", "chat-new-c"]["status"]["containerStatuses"][0]
    entry["state"] = {"waiting": {"reason": "ImagePullBackOff", "message": "pull access denied"}}
    found = await kube.result("kube_rollout", name="chat", namespace="llm")
    data = found["data"]
    assert (data["state"], data["deadline_s"]) == ("stuck", 600)
    assert data["why"] == [
        {"what": "Progressing: ProgressDeadlineExceeded", "said": "timed out"},
        {
            "what": "pod chat-new-c: container engine waits: ImagePullBackOff, 7 restarts",
            "said": "pull access denied",
        },
    ]
    assert "rollout stuck" in found["summary"]
    assert "Why: Progressing: ProgressDeadlineExceeded and 1 more." in found["summary"]


async def test_pods_that_a_quota_refuses_are_told_with_what_refused_them(kube: Caller, world: World) -> None:
    item = world.cluster.store["apps/v1", "deployments", "llm", "chat"]
    item["status"]["conditions"] = [
        {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "exceeded quota: compute"}
    ]
    about = {"kind": "ReplicaSet", "namespace": "llm", "name": "chat-new"}
    world.cluster.put(
        {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": "refused", "namespace": "llm"},
            "involvedObject": about,
            "type": "Warning",
            "reason": "FailedCreate",
            "message": "pods is forbidden: exceeded quota: compute, requested: cpu=1, used: cpu=4, limited: cpu=4",
            "count": 9,
            "lastTimestamp": "2026-01-01T00:12:00Z",
        }
    )
    data = await kube.data("kube_rollout", name="chat", namespace="llm")
    assert data["state"] == "stuck"
    refused = next(one for one in data["why"] if "cannot make pods" in one["what"])
    assert refused["what"].startswith("ReplicaSet/llm/chat-new cannot make pods: refused 9 times, last ")
    assert "used: cpu=4, limited: cpu=4" in refused["said"]


async def test_who_paused_a_rollout_and_when_is_said(kube: Caller, world: World) -> None:
    item = world.cluster.store["apps/v1", "deployments", "llm", "chat"]
    item["spec"]["paused"] = True
    item["status"]["updatedReplicas"] = 1
    item["metadata"]["managedFields"] = [
        {"manager": "kubectl-client-side-apply", "operation": "Update", "fieldsV1": {"f:spec": {"f:replicas": {}}}},
        {
            "manager": "kubectl-rollout",
            "operation": "Update",
            "time": "2026-01-01T00:09:00Z",
            "fieldsV1": {"f:spec": {"f:paused": {}}},
        },
    ]
    data = await kube.data("kube_rollout", name="chat", namespace="llm")
    assert data["state"] == "paused"
    assert data["paused_by"] == "kubectl-rollout (Update) at 2026-01-01T00:09:00Z"
    assert "paused: nothing is rolled out until it is resumed" in {one["what"] for one in data["why"]}


async def test_a_change_that_no_controller_has_seen_is_not_taken_for_complete(kube: Caller, world: World) -> None:
    item = world.cluster.store["apps/v1", "deployments", "llm", "chat"]
    item["metadata"]["generation"] = 7
    item["status"] |= {"readyReplicas": 3, "availableReplicas": 3, "conditions": []}
    data = await kube.data("kube_rollout", name="chat", namespace="llm")
    assert data["complete"] is False
    assert data["why"][0]["what"] == "its controller has not seen the latest change of it"
