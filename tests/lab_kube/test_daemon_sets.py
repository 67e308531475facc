"""DaemonSets on a virtual clock: one pod a node, taints and selectors, updates within limits, and history."""

from typing import Any

import pytest

from midwatch_lab.kinds.resources import CONTROLLER_REVISIONS, DAEMON_SETS, NODES
from midwatch_lab.objects import dig, is_condition_true, is_terminating, labels_of, name_of
from midwatch_lab.plane import ControlPlane
from nodes_by_hand import NAMESPACE, TESTER, add_node, fail, let_go, play, pods, report, step

pytestmark = pytest.mark.anyio


@pytest.fixture
def cluster(plane: ControlPlane) -> ControlPlane:
    for name in ("n1", "n2", "n3"):
        add_node(plane, name, labels={"disk": "ssd" if name == "n1" else "none"})
    return plane


def make(plane: ControlPlane, pod: dict[str, Any] | None = None, **spec: Any) -> None:
    template = {
        "metadata": {"labels": {"app": "agent"}},
        "spec": {"containers": [{"name": "agent", "image": "agent:1"}], **(pod or {})},
    }
    whole = {"selector": {"matchLabels": {"app": "agent"}}, "template": template} | spec
    plane.registry.create(DAEMON_SETS, NAMESPACE, {"metadata": {"name": "agent"}, "spec": whole}, TESTER)


def set_image(plane: ControlPlane, image: str) -> None:
    def renew(obj: dict[str, Any]) -> None:
        obj["spec"]["template"]["spec"]["containers"][0]["image"] = image

    plane.registry.modify(DAEMON_SETS, NAMESPACE, "agent", renew, TESTER)


def change_node(plane: ControlPlane, name: str, **spec: Any) -> None:
    plane.registry.modify(NODES, "", name, lambda obj: obj["spec"].update(spec), TESTER)


def status(plane: ControlPlane) -> dict[str, Any]:
    return plane.registry.read(DAEMON_SETS, NAMESPACE, "agent")["status"]


def nodes(plane: ControlPlane) -> list[str]:
    return sorted(dig(pod, "spec", "nodeName") for pod in pods(plane))


def up(plane: ControlPlane) -> int:
    return sum(is_condition_true(pod, "Ready") and not is_terminating(pod) for pod in pods(plane))


async def test_every_node_gets_one_pod_and_so_does_a_new_one(cluster: ControlPlane) -> None:
    async with cluster.running():
        make(cluster)
        await play(cluster)
        assert nodes(cluster) == ["n1", "n2", "n3"]
        assert status(cluster) == {
            "currentNumberScheduled": 3, "numberMisscheduled": 0, "desiredNumberScheduled": 3, "numberReady": 3,
            "observedGeneration": 1, "updatedNumberScheduled": 3, "numberAvailable": 3,
        }  # fmt: skip
        add_node(cluster, "n4")
        await play(cluster)
        assert nodes(cluster) == ["n1", "n2", "n3", "n4"]
        (revision,) = cluster.store.items(CONTROLLER_REVISIONS.key, NAMESPACE)
        digest = labels_of(revision)["controller-revision-hash"]
        assert {labels_of(pod)["controller-revision-hash"] for pod in pods(cluster)} == {digest}
        assert name_of(revision) == f"agent-{digest}"


async def test_pods_go_only_where_selector_and_taints_let_them(cluster: ControlPlane) -> None:
    async with cluster.running():
        change_node(cluster, "n2", taints=[{"key": "gpu", "value": "yes", "effect": "NoSchedule"}])
        make(cluster)
        await play(cluster)
        assert nodes(cluster) == ["n1", "n3"]
        change_node(cluster, "n3", taints=[{"key": "gpu", "value": "yes", "effect": "NoSchedule"}])
        await play(cluster)
        assert nodes(cluster) == ["n1", "n3"], "one that is there already may stay"
        assert status(cluster)["numberMisscheduled"] == 1
        change_node(cluster, "n3", taints=[{"key": "gpu", "value": "yes", "effect": "NoExecute"}])
        await play(cluster)
        assert nodes(cluster) == ["n1"]


async def test_a_node_selector_chooses_nodes(cluster: ControlPlane) -> None:
    async with cluster.running():
        make(cluster, {"nodeSelector": {"disk": "ssd"}})
        await play(cluster)
        assert nodes(cluster) == ["n1"]
        assert status(cluster)["desiredNumberScheduled"] == 1


async def test_a_cordoned_node_keeps_and_gets_its_pod(cluster: ControlPlane) -> None:
    async with cluster.running():
        change_node(cluster, "n2", unschedulable=True)
        make(cluster)
        await play(cluster)
        assert nodes(cluster) == ["n1", "n2", "n3"]


async def test_a_pod_that_failed_is_replaced(cluster: ControlPlane) -> None:
    async with cluster.running():
        make(cluster)
        await play(cluster)
        before = {name_of(pod) for pod in pods(cluster)}
        fail(cluster, min(before))
        await play(cluster)
        assert nodes(cluster) == ["n1", "n2", "n3"]
        assert len(before & {name_of(pod) for pod in pods(cluster)}) == 2


async def test_an_update_replaces_one_pod_after_another(cluster: ControlPlane) -> None:
    async with cluster.running():
        make(cluster)
        await play(cluster)
        set_image(cluster, "agent:2")
        least = 3
        for _ in range(20):
            await let_go(cluster)
            least = min(least, up(cluster))
            if not await step(cluster):
                break
        assert least == 2, "maxUnavailable is 1"
        assert {pod["spec"]["containers"][0]["image"] for pod in pods(cluster)} == {"agent:2"}
        assert status(cluster)["updatedNumberScheduled"] == 3
        assert sorted(item["revision"] for item in cluster.store.items(CONTROLLER_REVISIONS.key, NAMESPACE)) == [1, 2]


async def test_an_update_that_surges_never_leaves_a_node_without_a_pod(cluster: ControlPlane) -> None:
    async with cluster.running():
        make(cluster, updateStrategy={"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}})
        await play(cluster)
        set_image(cluster, "agent:2")
        for _ in range(20):
            await cluster.settle()
            assert up(cluster) == 3
            if not await step(cluster):
                break
        await let_go(cluster)
        assert nodes(cluster) == ["n1", "n2", "n3"]
        assert {pod["spec"]["containers"][0]["image"] for pod in pods(cluster)} == {"agent:2"}


async def test_on_delete_leaves_old_pods_until_they_are_deleted(cluster: ControlPlane) -> None:
    async with cluster.running():
        make(cluster, updateStrategy={"type": "OnDelete"})
        await play(cluster)
        set_image(cluster, "agent:2")
        await play(cluster)
        assert {pod["spec"]["containers"][0]["image"] for pod in pods(cluster)} == {"agent:1"}
        assert "updatedNumberScheduled" not in status(cluster)


async def test_pods_that_are_down_are_replaced_whatever_the_limit(cluster: ControlPlane) -> None:
    async with cluster.running():
        make(cluster)
        await play(cluster)
        for pod in pods(cluster):
            report(cluster, name_of(pod), "Running", ready=False)
        set_image(cluster, "agent:2")
        await cluster.settle()
        assert all(is_terminating(pod) for pod in pods(cluster))
