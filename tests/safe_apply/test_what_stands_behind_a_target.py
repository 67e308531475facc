"""What protects a pod, by its own marks, its workload's or its namespace's, does so from every operation on it."""

from typing import Any

import pytest

from midwatch_mcp.safe_apply.errors import RefusedChangeError, RejectedError
from midwatch_mcp.safe_apply.fake_world import World, deployment, scale

pytestmark = pytest.mark.anyio

Json = dict[str, Any]
MARK = {"midwatch.io/protected": "yes"}
BACKEND = {"serving": "Pod/llm/chat-1"}
OPERATIONS: dict[str, Json] = {
    "serving.config": {"target": BACKEND, "args": {"values": {"max_num_seqs": 8}}},
    "serving.adapter": {"target": BACKEND, "args": {"load": "legal", "path": "/adapters/legal"}},
    "serving.drain": {"target": BACKEND, "args": {}},
    "serving.reset_cache": {"target": BACKEND, "args": {}},
    "serving.cancel": {"target": BACKEND, "args": {"all": True}},
    "evict": {"target": {"kind": "Pod", "namespace": "llm", "name": "chat-1"}, "args": {}},
    "drain": {"target": {"kind": "Node", "name": "n1"}, "args": {}},
}


def owned_by(kind: str, name: str, version: str = "apps/v1") -> list[Json]:
    return [{"apiVersion": version, "kind": kind, "name": name, "uid": f"uid-{name}", "controller": True}]


def populated(
    world: World, *, pod: Json | None = None, workload: Json | None = None, space: Json | None = None
) -> None:
    """Put a pod of a Deployment on a node; each argument is the annotations of one of them."""
    world.cluster.put(deployment(annotations=workload or {}))
    history = {"name": "chat-7d9f", "namespace": "llm", "ownerReferences": owned_by("Deployment", "chat")}
    world.cluster.put({"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": history, "spec": {}})
    metadata = {
        "name": "chat-1",
        "namespace": "llm",
        "labels": {"app": "chat"},
        "annotations": pod or {},
        "ownerReferences": owned_by("ReplicaSet", "chat-7d9f"),
    }
    world.cluster.put({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"nodeName": "n1"}})
    world.cluster.put({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"}, "spec": {}})
    world.cluster.put(
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "llm", "annotations": space or {}}}
    )
    world.cluster.put_backend("Pod/llm/chat-1", requests={"cmpl-1": "running"})


def asked(name: str) -> Json:
    return {"op": name, **OPERATIONS[name]}


@pytest.mark.parametrize("where", ["pod", "workload", "space"])
@pytest.mark.parametrize("name", OPERATIONS)
async def test_a_protected_pod_workload_or_namespace_is_not_touched(world: World, name: str, where: str) -> None:
    populated(world)
    await world.propose(asked(name))
    populated(world, **{where: MARK})
    with pytest.raises(RefusedChangeError, match="the protected annotation midwatch") as caught:
        await world.propose(asked(name))
    assert caught.value.reason == "forbidden"
    assert world.cluster.writes == []


@pytest.mark.parametrize("where", ["pod", "workload", "space"])
@pytest.mark.parametrize("name", ["serving.drain", "drain"])
async def test_one_that_is_protected_after_the_approval_is_not_touched(world: World, name: str, where: str) -> None:
    populated(world)
    world.approve(proposal := await world.propose(asked(name)))
    populated(world, **{where: MARK})
    with pytest.raises(RefusedChangeError, match="the protected annotation"):
        await world.envelope.apply(proposal.plan.id)
    assert world.cluster.writes == []


async def test_a_namespace_that_the_policy_denies_after_the_approval_keeps_its_pods(world: World) -> None:
    populated(world)
    world.approve(proposal := await world.propose(asked("drain")))
    (world.state / "policy.toml").write_text('[namespaces]\ndeny = ["llm"]\n')
    with pytest.raises(RefusedChangeError, match="the namespace llm"):
        await world.envelope.apply(proposal.plan.id)
    assert world.cluster.writes == []


@pytest.mark.parametrize("how", ["frozen", "protected", "denied"])
async def test_a_drain_stops_before_the_next_pod(world: World, how: str) -> None:
    populated(world)
    second = {"name": "chat-2", "namespace": "llm", "ownerReferences": owned_by("ReplicaSet", "chat-7d9f")}
    world.cluster.put({"apiVersion": "v1", "kind": "Pod", "metadata": second, "spec": {"nodeName": "n1"}})
    world.approve(proposal := await world.propose(asked("drain")))

    def meanwhile(phase: str, verb: str, entity: str) -> None:
        if (phase, verb, entity) == ("after", "write", "Pod/llm/chat-1"):
            match how:
                case "frozen":
                    (world.state / "policy.toml").write_text('frozen = "now"\n')
                case "denied":
                    (world.state / "policy.toml").write_text('[namespaces]\ndeny = ["llm"]\n')
                case _:
                    found = world.cluster.objects_by_entity["Pod/llm/chat-2"]
                    found["metadata"]["annotations"] = MARK

    world.cluster.hook = meanwhile
    change = await world.envelope.apply(proposal.plan.id)
    assert change.state == "stuck"
    assert {"frozen": "frozen: now", "denied": "namespace llm"}.get(how, "protected annotation") in change.note
    assert [one.entity for one in world.cluster.writes] == ["Node//n1", "Pod/llm/chat-1"]


async def test_what_cannot_be_read_may_be_protected(world: World) -> None:
    populated(world)
    assert (await world.propose(scale("chat", 4))).preview.risk == "change"

    def refuse(_phase: str, verb: str, entity: str) -> None:
        if (verb, entity) == ("read", "Namespace//llm"):
            raise RejectedError("namespaces is forbidden")

    world.cluster.hook = refuse
    proposal = await world.propose(scale("chat", 4))
    assert proposal.preview.risk == "dangerous"
    assert "whether Namespace//llm is protected is not known: namespaces is forbidden" in proposal.text


async def test_a_rollout_that_would_restart_a_protected_pod_is_refused(world: World) -> None:
    populated(world, pod=MARK)
    with pytest.raises(RefusedChangeError, match="Pod/llm/chat-1 carries the protected annotation"):
        await world.propose()
    assert (await world.propose(scale("chat", 4))).preview.risk == "change"
