"""Disruption budgets: what they allow, by the controller that counts and by the evictions that take.

The counts were read from kube-controller-manager 1.36 beside kwok, for the same objects.
"""

from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from midwatch_contracts.clock import VirtualClock
from midwatch_lab.kinds.resources import DEPLOYMENTS, DISRUPTION_BUDGETS, EVENTS, PODS, REPLICA_SETS
from midwatch_lab.objects import condition, dig, is_condition_true, is_terminating, name_of
from midwatch_lab.plane import ControlPlane
from midwatch_lab.registry.upkeep import DeleteOptions
from midwatch_lab.store.audit import Origin

TESTER = Origin("tester", "create", "/test", manager="tester")
CHAT = {"matchLabels": {"app.kubernetes.io/name": "chat"}}
NODE = Origin("system:node:n1", "patch", "/x", manager="kubelet", subresource="status")

pytestmark = pytest.mark.anyio


async def ready(plane: ControlPlane, count: int | None = None) -> list[str]:
    """Play the node: make pods ready, all or the first `count`; returns the names of all pods."""
    await plane.settle()
    names = [name_of(pod) for pod in plane.store.items(PODS.key, "llm")]
    for name in names[:count]:
        report(plane, name, "True")
    await plane.settle()
    return names


def report(plane: ControlPlane, name: str, is_ready: str) -> None:
    def change(obj: dict[str, Any]) -> None:
        obj["status"]["phase"] = "Running"
        conditions = [item for item in obj["status"].get("conditions", []) if item["type"] != "Ready"]
        now = plane.registry.now_text()
        obj["status"]["conditions"] = [*conditions, {"type": "Ready", "status": is_ready, "lastTransitionTime": now}]

    plane.registry.modify(PODS, "llm", name, change, NODE)


def budget(plane: ControlPlane, selector: Any = CHAT, **spec: Any) -> None:
    body = {"metadata": {"name": "b"}, "spec": {"selector": selector, **spec}}
    plane.registry.create(DISRUPTION_BUDGETS, "llm", body, TESTER)


def status(plane: ControlPlane) -> dict[str, Any]:
    return plane.registry.read(DISRUPTION_BUDGETS, "llm", "b")["status"]


def counts(plane: ControlPlane) -> tuple[int, int, int, int]:
    """Expected, healthy, wanted healthy, allowed."""
    found = status(plane)
    names = ("expectedPods", "currentHealthy", "desiredHealthy", "disruptionsAllowed")
    return found[names[0]], found[names[1]], found[names[2]], found[names[3]]


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"minAvailable": 2}, (3, 3, 2, 1)),
        ({"minAvailable": 3}, (3, 3, 3, 0)),
        ({"minAvailable": 9}, (3, 3, 9, 0)),
        ({"minAvailable": "50%"}, (3, 3, 2, 1)),
        ({"minAvailable": "34%"}, (3, 3, 2, 1)),
        ({"minAvailable": "0%"}, (3, 3, 0, 3)),
        ({"maxUnavailable": 1}, (3, 3, 2, 1)),
        ({"maxUnavailable": 0}, (3, 3, 3, 0)),
        ({"maxUnavailable": "40%"}, (3, 3, 1, 2)),
        ({"maxUnavailable": "100%"}, (3, 3, 0, 3)),
        ({"maxUnavailable": 9}, (3, 3, 0, 3)),
        ({}, (0, 3, 0, 0)),
    ],
)
async def test_a_budget_counts_the_pods_of_a_deployment(
    with_node: ControlPlane, chat: dict[str, Any], spec: dict[str, Any], expected: tuple[int, ...]
) -> None:
    async with with_node.running():
        with_node.registry.create(DEPLOYMENTS, "llm", chat, TESTER)
        budget(with_node, **spec)
        await ready(with_node)
    assert counts(with_node) == expected
    found = condition(with_node.registry.read(DISRUPTION_BUDGETS, "llm", "b"), "DisruptionAllowed")
    assert found is not None
    word = ("True", "SufficientPods") if expected[3] else ("False", "InsufficientPods")
    assert (found["status"], found["reason"], found["observedGeneration"]) == (*word, 1)
    assert status(with_node)["observedGeneration"] == 1


async def test_pods_that_nobody_manages_count_only_for_a_number_of_available_ones(with_node: ControlPlane) -> None:
    labels = {"app.kubernetes.io/name": "chat"}
    for name in ("p", "q"):
        body = {"metadata": {"name": name, "labels": labels}, "spec": {"containers": [{"name": "a", "image": "i"}]}}
        with_node.registry.create(PODS, "llm", body, TESTER)
    async with with_node.running():
        budget(with_node, minAvailable=1)
        await ready(with_node)
        assert counts(with_node) == (2, 2, 1, 1)

        def change(obj: dict[str, Any]) -> None:
            obj["spec"] = {"selector": CHAT, "maxUnavailable": 1}

        with_node.registry.modify(DISRUPTION_BUDGETS, "llm", "b", change, TESTER)
        await with_node.settle()
    assert counts(with_node) == (0, 2, 0, 0)
    assert status(with_node)["observedGeneration"] == 2
    said = {event["reason"]: event["message"] for event in with_node.store.items(EVENTS.key, "llm")}
    shown = "&LabelSelector{MatchLabels:map[string]string{app.kubernetes.io/name: chat,},"
    assert shown + "MatchExpressions:[]LabelSelectorRequirement{},}" in said["UnmanagedPods"]


async def test_a_budget_over_no_pods_allows_nothing_and_says_so(with_node: ControlPlane) -> None:
    async with with_node.running():
        budget(with_node, minAvailable=1)
        await with_node.settle()
    assert counts(with_node) == (0, 0, 1, 0)
    assert {event["reason"] for event in with_node.store.items(EVENTS.key, "llm")} == {"NoPods"}


async def test_a_budget_whose_pods_have_an_owner_without_a_scale_fails_safe(
    with_node: ControlPlane, chat: dict[str, Any]
) -> None:
    async with with_node.running():
        with_node.registry.create(DEPLOYMENTS, "llm", chat, TESTER)
        budget(with_node, maxUnavailable=1)
        names = await ready(with_node)

        def change(obj: dict[str, Any]) -> None:
            obj["metadata"]["ownerReferences"] = [
                {"apiVersion": "batch/v1", "kind": "Job", "name": "j", "uid": "u", "controller": True}
            ]

        with_node.registry.modify(PODS, "llm", names[0], change, TESTER)
        await with_node.settle()
        why = "jobs.batch does not implement the scale subresource"
        found = condition(with_node.registry.read(DISRUPTION_BUDGETS, "llm", "b"), "DisruptionAllowed")
        assert found is not None
        assert (found["status"], found["reason"], found["message"]) == ("False", "SyncFailed", why)
        assert status(with_node)["disruptionsAllowed"] == 0


def eviction(client_of: Callable[[str | None], httpx2.AsyncClient]) -> Callable[[str], Any]:
    http = client_of("admin")

    async def evict(name: str) -> httpx2.Response:
        path = f"/api/v1/namespaces/llm/pods/{name}/eviction"
        return await http.post(path, json={"metadata": {"name": name}})

    return evict


async def test_evictions_one_after_the_other_stop_at_what_the_budget_allows(
    with_node: ControlPlane, chat: dict[str, Any], client_of: Callable[[str | None], httpx2.AsyncClient]
) -> None:
    evict = eviction(client_of)
    async with with_node.running():
        with_node.registry.create(DEPLOYMENTS, "llm", chat, TESTER)
        budget(with_node, minAvailable=2)
        names = await ready(with_node)
        # Before the controller has had a turn: the budget itself must hold the second one up.
        answers = [await evict(name) for name in names]
        assert [answer.status_code for answer in answers] == [201, 429, 429]
        assert answers[1].json()["details"]["causes"][0]["reason"] == "DisruptionBudget"
        (gone,) = [pod for pod in with_node.store.items(PODS.key, "llm") if is_terminating(pod)]
        assert is_condition_true(gone, "DisruptionTarget")
        await with_node.settle()
        assert (await evict(names[1])).status_code == 429
        with_node.registry.delete(PODS, gone, DeleteOptions(grace=0), TESTER)
        await ready(with_node)
        assert counts(with_node) == (3, 3, 2, 1), "the ReplicaSet has made another"
        assert (await evict(names[1])).status_code == 201


async def test_a_pod_that_was_to_go_and_did_not_counts_again_after_two_minutes(
    with_node: ControlPlane, clock: VirtualClock, chat: dict[str, Any]
) -> None:
    async with with_node.running():
        with_node.registry.create(DEPLOYMENTS, "llm", chat, TESTER)
        budget(with_node, minAvailable=2)
        names = await ready(with_node)

        def note(obj: dict[str, Any]) -> None:
            obj["status"]["disruptedPods"] = {names[0]: with_node.registry.now_text()}

        origin = Origin("system:apiserver", "update", "/x", subresource="status")
        with_node.registry.modify(DISRUPTION_BUDGETS, "llm", "b", note, origin)
        await with_node.settle()
        assert counts(with_node) == (3, 2, 2, 0)
        await clock.advance(119.0)
        await with_node.settle()
        assert counts(with_node) == (3, 2, 2, 0)
        await clock.advance(2.0)
        await with_node.settle()
        assert counts(with_node) == (3, 3, 2, 1)
        assert "disruptedPods" not in status(with_node)
    assert "NotDeleted" in {event["reason"] for event in with_node.store.items(EVENTS.key, "llm")}


async def test_a_replica_set_of_its_own_and_a_pod_that_is_not_ready(
    with_node: ControlPlane, chat: dict[str, Any]
) -> None:
    body = {"metadata": {"name": "r"}, "spec": {key: chat["spec"][key] for key in ("replicas", "selector", "template")}}
    async with with_node.running():
        with_node.registry.create(REPLICA_SETS, "llm", body, TESTER)
        budget(with_node, maxUnavailable=1)
        names = await ready(with_node)
        report(with_node, names[2], "False")
        await with_node.settle()
    assert counts(with_node) == (3, 2, 2, 0)
    assert dig(status(with_node), "disruptedPods") is None
