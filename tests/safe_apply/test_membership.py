"""Labels by which others select pods: who gains and who loses them is said, and makes a change dangerous."""

from typing import Any

import pytest

from midwatch_mcp.safe_apply.errors import RejectedError
from midwatch_mcp.safe_apply.fake_world import World, deployment

pytestmark = pytest.mark.anyio

Json = dict[str, Any]
CHAT = {"kind": "Deployment", "namespace": "llm", "name": "chat"}
BACK = {"matchLabels": {"tier": "back"}}


def put(world: World, kind: str, version: str, spec: Json, name: str = "x", *, namespace: str = "llm") -> None:
    metadata = {"name": name, "namespace": namespace}
    world.cluster.put({"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec})


def tiered(world: World, tier: str = "front") -> None:
    value = deployment()
    value["spec"]["template"]["metadata"]["labels"]["tier"] = tier
    world.cluster.put(value)


def retiered(tier: str | None = "back") -> Json:
    body = {"spec": {"template": {"metadata": {"labels": {"tier": tier}}}}}
    return {"op": "patch", "target": CHAT, "args": {"type": "merge", "patch": body}}


def policy(**spec: Any) -> tuple[str, str, Json]:
    return "NetworkPolicy", "networking.k8s.io/v1", {"podSelector": {}, **spec}


WHO: dict[str, tuple[tuple[str, str, Json], str]] = {
    "a Service": (("Service", "v1", {"selector": {"tier": "back"}}), "Service/llm/x"),
    "a budget": (("PodDisruptionBudget", "policy/v1", {"selector": BACK}), "PodDisruptionBudget/llm/x"),
    "a network policy": (policy(podSelector=BACK), "NetworkPolicy/llm/x"),
    "a network policy's callers": (
        policy(ingress=[{"from": [{"podSelector": BACK}]}]),
        "those that NetworkPolicy/llm/x lets in or out",
    ),
    "a network policy's goals": (
        policy(egress=[{"to": [{"podSelector": BACK, "namespaceSelector": {}}]}]),
        "those that NetworkPolicy/llm/x lets in or out",
    ),
}


@pytest.mark.parametrize("who", WHO)
async def test_pods_that_join_or_leave_by_their_labels_are_seen(world: World, who: str) -> None:
    tiered(world)
    assert (await world.propose(retiered())).preview.risk == "change"
    thing, name = WHO[who]
    put(world, *thing)
    proposal = await world.propose(retiered())
    assert proposal.preview.risk == "dangerous"
    assert f"dangerous: op1 gives pods to {name}, by their labels" in proposal.text
    tiered(world, "back")
    proposal = await world.propose(retiered("front"))
    assert proposal.preview.risk == "dangerous"
    assert f"dangerous: op1 takes pods from {name}, by their labels" in proposal.text


async def test_a_policy_of_another_namespace_counts_where_it_goes_by_namespaces(world: World) -> None:
    tiered(world)
    here = policy(ingress=[{"from": [{"podSelector": BACK}]}])
    put(world, *here, namespace="db")
    assert (await world.propose(retiered())).preview.risk == "change"
    there = policy(ingress=[{"from": [{"podSelector": BACK, "namespaceSelector": {"matchLabels": {"a": "b"}}}]}])
    put(world, *there, namespace="db")
    proposal = await world.propose(retiered())
    assert "op1 gives pods to those that NetworkPolicy/db/x lets in or out" in proposal.text


async def test_who_selects_and_keeps_selecting_is_no_reason(world: World) -> None:
    tiered(world)
    put(world, "Service", "v1", {"selector": {"app": "chat"}})
    put(world, *policy())
    assert (await world.propose(retiered())).preview.risk == "change"


async def test_policies_that_cannot_be_listed_make_other_labels_dangerous(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiered(world)
    objects = world.cluster.objects

    async def forbidden(kind: str, namespace: str) -> Any:
        if kind == "NetworkPolicy":
            raise RejectedError("networkpolicies is forbidden")
        return await objects(kind, namespace)

    monkeypatch.setattr(world.cluster, "objects", forbidden)
    assert (await world.propose()).preview.risk == "change"
    proposal = await world.propose(retiered())
    assert proposal.preview.risk == "dangerous"
    assert "cannot be listed (networkpolicies is forbidden)" in proposal.text


async def test_a_second_budget_over_the_same_pods_stops_every_eviction_and_is_dangerous(world: World) -> None:
    tiered(world)
    metadata = {"name": "chat-1", "namespace": "llm", "labels": {"app": "chat"}}
    world.cluster.put({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {}})
    target = {"kind": "PodDisruptionBudget", "namespace": "llm", "name": "second"}
    spec = {"minAvailable": 1, "selector": {"matchLabels": {"app": "chat"}}}
    made = {"op": "create", "target": target, "args": {"manifest": {"spec": spec}}}
    assert (await world.propose(made)).preview.risk == "change"
    put(world, "PodDisruptionBudget", "policy/v1", {"selector": {"matchLabels": {"app": "chat"}}}, "first")
    proposal = await world.propose(made)
    assert proposal.preview.risk == "dangerous"
    assert "it and PodDisruptionBudget/llm/first hold the same pods" in proposal.text
