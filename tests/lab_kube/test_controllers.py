"""Deployments, ReplicaSets, endpoints and garbage collection, on a plane whose pods become ready when told."""

from typing import Any

import pytest

from midwatch_contracts.clock import VirtualClock
from midwatch_lab.kinds.resources import DEPLOYMENTS, ENDPOINTS, EVENTS, NAMESPACES, PODS, REPLICA_SETS, SERVICES
from midwatch_lab.objects import condition, dig, is_condition_true, is_terminating, name_of
from midwatch_lab.plane import ControlPlane
from midwatch_lab.registry.upkeep import DeleteOptions
from midwatch_lab.store.audit import Origin

TESTER = Origin("tester", "create", "/test", manager="tester")

pytestmark = pytest.mark.anyio
NODE = "system:node:n1"


def pods(plane: ControlPlane) -> list[dict[str, Any]]:
    return plane.store.items(PODS.key, "llm")


def ready_pods(plane: ControlPlane) -> list[dict[str, Any]]:
    return [pod for pod in pods(plane) if is_condition_true(pod, "Ready") and not is_terminating(pod)]


def make_ready(plane: ControlPlane, pod: dict[str, Any], index: int = 0) -> None:
    def report(obj: dict[str, Any]) -> None:
        obj["status"] |= {"phase": "Running", "podIP": f"127.9.0.{index + 1}"}
        conditions = obj["status"].setdefault("conditions", [])
        conditions.append({"type": "Ready", "status": "True", "lastTransitionTime": plane.registry.now_text()})

    origin = Origin(NODE, "patch", "/x", manager="kubelet", subresource="status")
    plane.registry.modify(PODS, "llm", name_of(pod), report, origin)


def finish_terminating(plane: ControlPlane) -> None:
    for pod in pods(plane):
        if is_terminating(pod):
            plane.registry.delete(PODS, pod, DeleteOptions(grace=0), TESTER)


async def play_nodes(plane: ControlPlane, *, limit: int = 200) -> list[int]:
    """Make one pod ready at a time and let deleted ones go, until nothing moves; counts ready pods at each step."""
    counts: list[int] = []
    for step in range(limit):
        await plane.settle()
        finish_terminating(plane)
        await plane.settle()
        counts.append(len(ready_pods(plane)))
        waiting = [p for p in pods(plane) if not is_condition_true(p, "Ready") and dig(p, "spec", "nodeName")]
        if not waiting:
            return counts
        make_ready(plane, waiting[0], step)
    raise AssertionError("the rollout never ended")


def change_args(plane: ControlPlane, *args: str) -> None:
    def change(obj: dict[str, Any]) -> None:
        obj["spec"]["template"]["spec"]["containers"][0]["args"] = list(args)

    plane.registry.modify(DEPLOYMENTS, "llm", "chat", change, TESTER)


def revisions(plane: ControlPlane) -> dict[str, int]:
    """Replicas by revision."""
    return {
        item["metadata"]["annotations"]["deployment.kubernetes.io/revision"]: item["spec"]["replicas"]
        for item in plane.store.items(REPLICA_SETS.key, "llm")
    }


def deployment(plane: ControlPlane) -> dict[str, Any]:
    return plane.registry.read(DEPLOYMENTS, "llm", "chat")


async def test_a_deployment_becomes_available_through_a_replica_set(
    with_node: ControlPlane, chat: dict[str, Any]
) -> None:
    async with with_node.running():
        with_node.registry.create(DEPLOYMENTS, "llm", chat, TESTER)
        await play_nodes(with_node)
        found = deployment(with_node)
    status = found["status"]
    assert {status[key] for key in ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas")} == {3}
    assert status["observedGeneration"] == found["metadata"]["generation"]
    progressing = condition(found, "Progressing")
    assert progressing is not None
    assert progressing["reason"] == "NewReplicaSetAvailable"
    assert is_condition_true(found, "Available")
    assert found["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "1"
    messages = {event["message"] for event in with_node.store.items(EVENTS.key, "llm")}
    (owner,) = with_node.store.items(REPLICA_SETS.key, "llm")
    assert f"Scaled up replica set {name_of(owner)} from 0 to 3" in messages


async def test_a_rolling_update_keeps_the_service_available_throughout(
    with_node: ControlPlane, chat: dict[str, Any]
) -> None:
    async with with_node.running():
        with_node.registry.create(DEPLOYMENTS, "llm", chat, TESTER)
        await play_nodes(with_node)
        change_args(with_node, "--new")
        counts = await play_nodes(with_node)
    assert min(counts) >= 3, "25% of 3 rounds down to none that may miss"
    assert max(len(pods(with_node)), 3) == 3
    assert revisions(with_node) == {"1": 0, "2": 3}
    assert all(p["spec"]["containers"][0]["args"] == ["--new"] for p in pods(with_node))


async def test_going_back_to_an_old_template_gives_its_replica_set_a_new_number(
    with_node: ControlPlane, chat: dict[str, Any]
) -> None:
    first = chat["spec"]["template"]["spec"]["containers"][0]["args"]
    async with with_node.running():
        with_node.registry.create(DEPLOYMENTS, "llm", chat, TESTER)
        await play_nodes(with_node)
        change_args(with_node, "--new")
        await play_nodes(with_node)
        change_args(with_node, *first)
        await play_nodes(with_node)
    assert revisions(with_node) == {"2": 0, "3": 3}
    assert deployment(with_node)["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "3"


async def test_a_rollout_whose_pods_never_come_up_leaves_the_old_ones(
    with_node: ControlPlane, clock: VirtualClock, chat: dict[str, Any]
) -> None:
    async with with_node.running():
        with_node.registry.create(DEPLOYMENTS, "llm", chat, TESTER)
        await play_nodes(with_node)
        change_args(with_node, "--broken")
        await with_node.settle()
        assert len(ready_pods(with_node)) == 3
        assert len(pods(with_node)) == 4, "one more than desired, by maxSurge"
        await clock.advance(601.0)
        await with_node.settle()
        progressing = condition(deployment(with_node), "Progressing")
    assert progressing is not None
    assert (progressing["status"], progressing["reason"]) == ("False", "ProgressDeadlineExceeded")


async def test_recreate_ends_all_old_pods_before_it_makes_new_ones(
    with_node: ControlPlane, chat: dict[str, Any]
) -> None:
    chat["spec"]["strategy"] = {"type": "Recreate"}
    async with with_node.running():
        with_node.registry.create(DEPLOYMENTS, "llm", chat, TESTER)
        await play_nodes(with_node)
        change_args(with_node, "--new")
        await with_node.settle()
        assert all(is_terminating(pod) for pod in pods(with_node))
        assert len(pods(with_node)) == 3
        await play_nodes(with_node)
    assert [p["spec"]["containers"][0]["args"] for p in ready_pods(with_node)] == [["--new"]] * 3


async def test_a_paused_deployment_scales_but_does_not_roll_out(with_node: ControlPlane, chat: dict[str, Any]) -> None:
    async with with_node.running():
        with_node.registry.create(DEPLOYMENTS, "llm", chat, TESTER)
        await play_nodes(with_node)

        def pause(obj: dict[str, Any]) -> None:
            obj["spec"]["paused"] = True
            obj["spec"]["replicas"] = 5

        with_node.registry.modify(DEPLOYMENTS, "llm", "chat", pause, TESTER)
        change_args(with_node, "--new")
        await play_nodes(with_node)
        assert revisions(with_node) == {"1": 5}
        with_node.registry.modify(DEPLOYMENTS, "llm", "chat", lambda obj: obj["spec"].pop("paused"), TESTER)
        await play_nodes(with_node)
        assert revisions(with_node) == {"1": 0, "2": 5}


async def test_old_replica_sets_beyond_the_history_limit_go(with_node: ControlPlane, chat: dict[str, Any]) -> None:
    chat["spec"]["revisionHistoryLimit"] = 1
    async with with_node.running():
        with_node.registry.create(DEPLOYMENTS, "llm", chat, TESTER)
        for number in range(3):
            await play_nodes(with_node)
            change_args(with_node, f"--n={number}")
        await play_nodes(with_node)
    assert set(revisions(with_node)) == {"3", "4"}


async def test_only_ready_pods_are_endpoints_and_a_deleted_pod_leaves_at_once(
    with_node: ControlPlane, chat: dict[str, Any], service: dict[str, Any]
) -> None:
    async with with_node.running():
        with_node.registry.create(SERVICES, "llm", service, TESTER)
        with_node.registry.create(DEPLOYMENTS, "llm", chat, TESTER)
        await with_node.settle()
        assert not addresses(with_node)
        for index, pod in enumerate(pods(with_node)[:2]):
            make_ready(with_node, pod, index)
        await with_node.settle()
        assert len(addresses(with_node)) == 2
        gone = ready_pods(with_node)[0]
        with_node.registry.delete(PODS, gone, DeleteOptions(), TESTER)
        await with_node.settle()
        assert addresses(with_node) == [dig(ready_pods(with_node)[0], "status", "podIP")]


def addresses(plane: ControlPlane) -> list[str]:
    found = plane.registry.find(ENDPOINTS, "llm", "chat")
    subsets = dig(found, "subsets", default=[])
    return [address["ip"] for subset in subsets for address in subset.get("addresses", [])]


async def test_what_a_deleted_deployment_owned_goes_with_it(with_node: ControlPlane, chat: dict[str, Any]) -> None:
    async with with_node.running():
        made = with_node.registry.create(DEPLOYMENTS, "llm", chat, TESTER)
        await play_nodes(with_node)
        made = deployment(with_node)
        with_node.registry.delete(DEPLOYMENTS, made, DeleteOptions(), TESTER)
        await play_nodes(with_node)
    assert not pods(with_node)
    assert not with_node.store.items(REPLICA_SETS.key, "llm")


async def test_orphaned_pods_stay_and_foreground_waits_for_them(with_node: ControlPlane, chat: dict[str, Any]) -> None:
    async with with_node.running():
        with_node.registry.create(DEPLOYMENTS, "llm", chat, TESTER)
        await play_nodes(with_node)
        with_node.registry.delete(DEPLOYMENTS, deployment(with_node), DeleteOptions(propagation="Orphan"), TESTER)
        await with_node.settle()
        assert with_node.registry.find(DEPLOYMENTS, "llm", "chat") is None
        (left,) = with_node.store.items(REPLICA_SETS.key, "llm")
        assert not left["metadata"].get("ownerReferences")
        with_node.registry.delete(REPLICA_SETS, left, DeleteOptions(propagation="Foreground"), TESTER)
        await with_node.settle()
        assert with_node.store.items(REPLICA_SETS.key, "llm"), "it waits for its pods"
        finish_terminating(with_node)
        await with_node.settle()
        assert not with_node.store.items(REPLICA_SETS.key, "llm")


async def test_a_deleted_namespace_is_emptied_and_then_goes(with_node: ControlPlane, chat: dict[str, Any]) -> None:
    async with with_node.running():
        with_node.registry.create(DEPLOYMENTS, "llm", chat, TESTER)
        await play_nodes(with_node)
        home = with_node.registry.read(NAMESPACES, "", "llm")
        _, gone = with_node.registry.delete(NAMESPACES, home, DeleteOptions(), TESTER)
        assert not gone
        await play_nodes(with_node)
        finish_terminating(with_node)
        await with_node.settle()
    assert with_node.registry.find(NAMESPACES, "", "llm") is None
    assert not with_node.store.items(DEPLOYMENTS.key, "llm")


async def test_a_pod_that_fits_nowhere_waits_and_says_why(with_node: ControlPlane, chat: dict[str, Any]) -> None:
    chat["spec"]["template"]["spec"]["containers"][0]["resources"] = {"limits": {"cpu": "64"}}
    async with with_node.running():
        with_node.registry.create(DEPLOYMENTS, "llm", chat, TESTER)
        await with_node.settle()
        (first, *_) = pods(with_node)
        scheduled = condition(first, "PodScheduled")
    assert scheduled is not None
    assert scheduled["message"] == "0/1 nodes are available: 1 Insufficient cpu."
    assert not dig(first, "spec", "nodeName")


async def test_controllers_write_as_the_system(with_node: ControlPlane, chat: dict[str, Any]) -> None:
    start = with_node.store.audit.entries()[-1]["seq"]
    async with with_node.running():
        with_node.registry.create(DEPLOYMENTS, "llm", chat, TESTER)
        await play_nodes(with_node)
    principals = {entry["principal"] for entry in with_node.store.audit.entries(after=start)}
    assert principals - {"tester"} != set()
    assert all(name.startswith("system:") for name in principals - {"tester"})


async def test_a_pod_that_names_another_scheduler_is_left_to_it(with_node: ControlPlane) -> None:
    plane = with_node
    for name, scheduler in (("ours", {}), ("theirs", {"schedulerName": "their-scheduler"})):
        spec = {"containers": [{"name": "c", "image": "i"}], **scheduler}
        plane.registry.create(PODS, "llm", {"metadata": {"name": name}, "spec": spec}, TESTER)
    async with plane.running():
        await plane.settle()
    assert {name_of(pod): dig(pod, "spec", "nodeName") for pod in pods(plane)} == {"ours": "n1", "theirs": None}
