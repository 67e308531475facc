"""Nodes: conditions as taints, pods that taints drive away, and kubelets that fall silent."""

from typing import Any

import pytest

from midwatch_contracts.clock import VirtualClock
from midwatch_contracts.times import rfc3339
from midwatch_lab.kinds.resources import EVENTS, LEASES, NODES, PODS
from midwatch_lab.kubelet import node_status
from midwatch_lab.objects import condition, dig, is_terminating, name_of
from midwatch_lab.plane import ControlPlane
from midwatch_lab.store.audit import Origin

TESTER = Origin("tester", "create", "/test", manager="tester")
KUBELET = Origin("system:node:n1", "patch", "/x", manager="kubelet", subresource="status")
SCHEDULE, EXECUTE = "NoSchedule", "NoExecute"
pytestmark = pytest.mark.anyio


def pod(plane: ControlPlane, name: str, *tolerations: dict[str, Any]) -> None:
    spec = {"containers": [{"name": "a", "image": "i"}], "tolerations": list(tolerations)}
    plane.registry.create(PODS, "llm", {"metadata": {"name": name}, "spec": spec}, TESTER)


def taint(plane: ControlPlane, *taints: dict[str, Any], **spec: Any) -> None:
    def change(node: dict[str, Any]) -> None:
        own = [item for item in node["spec"].get("taints", []) if item["key"].startswith("node.kubernetes.io/")]
        node["spec"] |= {"taints": [*own, *taints], **spec}

    plane.registry.modify(NODES, "", "n1", change, TESTER)


def report(plane: ControlPlane, kind: str, word: str) -> None:
    def change(node: dict[str, Any]) -> None:
        others = [item for item in node["status"]["conditions"] if item["type"] != kind]
        node["status"]["conditions"] = [*others, {"type": kind, "status": word}]

    plane.registry.modify(NODES, "", "n1", change, KUBELET)


def taints(plane: ControlPlane) -> set[tuple[str, str]]:
    found = dig(plane.registry.read(NODES, "", "n1"), "spec", "taints", default=[])
    return {(item["key"].removeprefix("node.kubernetes.io/"), item["effect"]) for item in found}


def staying(plane: ControlPlane) -> set[str]:
    return {name_of(item) for item in plane.store.items(PODS.key, "llm") if not is_terminating(item)}


def placed(plane: ControlPlane) -> set[str]:
    return {name_of(item) for item in plane.store.items(PODS.key, "llm") if dig(item, "spec", "nodeName")}


async def test_a_new_node_takes_pods_once_it_is_seen_ready(with_node: ControlPlane) -> None:
    assert taints(with_node) == {("not-ready", SCHEDULE)}
    async with with_node.running():
        pod(with_node, "p")
        await with_node.settle()
        assert taints(with_node) == set()
        assert placed(with_node) == {"p"}


async def test_conditions_become_taints_and_go_with_them(with_node: ControlPlane) -> None:
    async with with_node.running():
        for kind, word, expected in (
            ("Ready", "False", {("not-ready", SCHEDULE), ("not-ready", EXECUTE)}),
            ("Ready", "Unknown", {("unreachable", SCHEDULE), ("unreachable", EXECUTE)}),
            ("Ready", "True", set[tuple[str, str]]()),
            ("DiskPressure", "True", {("disk-pressure", SCHEDULE)}),
            ("DiskPressure", "False", set[tuple[str, str]]()),
        ):
            report(with_node, kind, word)
            await with_node.settle()
            assert taints(with_node) == expected


async def test_a_cordoned_node_is_tainted_and_takes_only_pods_that_tolerate_it(with_node: ControlPlane) -> None:
    async with with_node.running():
        await with_node.settle()
        taint(with_node, unschedulable=True)
        await with_node.settle()
        assert taints(with_node) == {("unschedulable", SCHEDULE)}
        pod(with_node, "kept-out")
        pod(with_node, "let-in", {"key": "node.kubernetes.io/unschedulable", "operator": "Exists"})
        await with_node.settle()
        assert placed(with_node) == {"let-in"}
        scheduled = condition(with_node.registry.read(PODS, "llm", "kept-out"), "PodScheduled")
        assert dig(scheduled, "message") == "0/1 nodes are available: 1 node(s) were unschedulable."
        taint(with_node, unschedulable=False)
        await with_node.settle()
        assert taints(with_node) == set()
        assert placed(with_node) == {"let-in", "kept-out"}


async def test_pods_are_driven_away_at_once_after_their_time_or_never(
    with_node: ControlPlane, clock: VirtualClock
) -> None:
    def fit(**more: Any) -> dict[str, Any]:
        return {"key": "k", "operator": "Equal", "value": "v", "effect": EXECUTE, **more}

    async with with_node.running():
        pod(with_node, "plain")
        pod(with_node, "forever", fit())
        pod(with_node, "awhile", fit(tolerationSeconds=60))
        pod(with_node, "shortest", fit(tolerationSeconds=60), fit(tolerationSeconds=10))
        pod(with_node, "anything", {"operator": "Exists"})
        await with_node.settle()
        taint(with_node, {"key": "k", "value": "v", "effect": EXECUTE})
        await with_node.settle()
        assert staying(with_node) == {"forever", "awhile", "shortest", "anything"}
        await clock.advance(11.0)
        await with_node.settle()
        assert staying(with_node) == {"forever", "awhile", "anything"}
        await clock.advance(50.0)
        await with_node.settle()
        assert staying(with_node) == {"forever", "anything"}
        gone = with_node.registry.read(PODS, "llm", "awhile")
        assert dig(condition(gone, "DisruptionTarget"), "reason") == "DeletionByTaintManager"
    said = {event["message"] for event in with_node.store.items(EVENTS.key, "llm")}
    assert "Marking for deletion Pod llm/awhile" in said


async def test_a_taint_that_is_taken_off_in_time_cancels_the_deletion(
    with_node: ControlPlane, clock: VirtualClock
) -> None:
    async with with_node.running():
        pod(with_node, "p", {"key": "k", "operator": "Exists", "tolerationSeconds": 60})
        await with_node.settle()
        taint(with_node, {"key": "k", "effect": EXECUTE})
        await with_node.settle()
        await clock.advance(30.0)
        taint(with_node)
        await with_node.settle()
        await clock.advance(600.0)
        await with_node.settle()
        assert staying(with_node) == {"p"}
    said = {event["message"] for event in with_node.store.items(EVENTS.key, "llm")}
    assert "Cancelling deletion of Pod llm/p" in said


async def test_a_kubelet_that_renews_nothing_loses_its_pods_after_their_time(
    with_node: ControlPlane, clock: VirtualClock
) -> None:
    def renew(lease: dict[str, Any]) -> None:
        lease["spec"]["renewTime"] = moment()

    def moment() -> str:
        return rfc3339(clock.now()).removesuffix("Z") + "000Z"

    body = {"metadata": {"name": "n1"}, "spec": {"holderIdentity": "n1", "renewTime": moment()}}
    with_node.registry.create(LEASES, "kube-node-lease", body, TESTER)
    async with with_node.running():
        pod(with_node, "p")
        await with_node.settle()
        for _ in range(8):
            await clock.advance(10.0)
            with_node.registry.modify(LEASES, "kube-node-lease", "n1", renew, TESTER)
            await with_node.settle()
        assert taints(with_node) == set()
        for _ in range(11):
            await clock.advance(10.0)
            await with_node.settle()
        node = with_node.registry.read(NODES, "", "n1")
        assert dig(condition(node, "Ready"), "reason") == "NodeStatusUnknown"
        assert taints(with_node) == {("unreachable", SCHEDULE), ("unreachable", EXECUTE)}
        assert staying(with_node) == {"p"}, "every pod tolerates five minutes of it"
        for _ in range(31):
            await clock.advance(10.0)
            await with_node.settle()
        assert staying(with_node) == set()
        with_node.registry.modify(LEASES, "kube-node-lease", "n1", renew, TESTER)
        assert node_status.is_to_be_posted(node, clock.now())
        found = node_status.conditions(dig(node, "status", "conditions"), with_node.registry.now_text())
        with_node.registry.update(NODES, node, {**node, "status": {**node["status"], "conditions": found}}, KUBELET)
        await with_node.settle()
        assert taints(with_node) == set()


async def test_conditions_are_posted_again_after_five_minutes_with_the_times_of_their_beginnings() -> None:
    found = {"status": {"conditions": node_status.conditions([], "2026-01-02T03:04:05Z")}}
    began = 1_767_323_045.0
    assert not node_status.is_to_be_posted(found, began + 299)
    assert node_status.is_to_be_posted(found, began + 300)
    again = node_status.conditions([*found["status"]["conditions"], {"type": "Other"}], "2026-01-02T03:09:05Z")
    assert [item["lastTransitionTime"] for item in again[:-1]] == ["2026-01-02T03:04:05Z"] * 4
    assert [item["lastHeartbeatTime"] for item in again[:-1]] == ["2026-01-02T03:09:05Z"] * 4
    assert again[-1] == {"type": "Other"}
