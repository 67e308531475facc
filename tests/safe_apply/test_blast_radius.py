"""Whom a change reaches: pods, shares of Services, budgets, autoscalers and quotas, read off the namespace."""

import copy
from typing import Any

import pytest

from midwatch_mcp.safe_apply.errors import RejectedError
from midwatch_mcp.safe_apply.fake_world import World, deployment, scale, set_blocks

pytestmark = pytest.mark.anyio

Json = dict[str, Any]
CHAT = {"kind": "Deployment", "namespace": "llm", "name": "chat"}


def put_pods(world: World, ready: int, *, name: str = "chat", unready: int = 0) -> None:
    if name == "chat":
        world.cluster.objects_by_entity.pop("Pod/llm/chat-1", None)
    for number in range(ready + unready):
        condition = {"type": "Ready", "status": str(number < ready)}
        world.cluster.put(
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": f"{name}-{number}", "namespace": "llm", "labels": {"app": name, "tier": "front"}},
                "spec": {"nodeName": "n1", "containers": []},
                "status": {"phase": "Running", "conditions": [condition]},
            }
        )


def put(world: World, kind: str, version: str, name: str, spec: Json, **status: Any) -> None:
    metadata = {"name": name, "namespace": "llm"}
    world.cluster.put({"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec, "status": status})


def service(world: World, name: str = "chat", **selector: str) -> None:
    put(world, "Service", "v1", name, {"selector": selector or {"app": "chat"}})


def strategy(**fields: Any) -> Json:
    value = deployment()
    value["spec"] |= fields
    return value


@pytest.mark.parametrize(
    ("fields", "at_once", "risk"),
    [
        ({"replicas": 8}, 2, "change"),
        ({"replicas": 8, "strategy": {"type": "Recreate"}}, 8, "dangerous"),
        ({"replicas": 8, "strategy": {"rollingUpdate": {"maxUnavailable": 3}}}, 3, "change"),
        ({"replicas": 8, "strategy": {"rollingUpdate": {"maxUnavailable": "90%"}}}, 7, "dangerous"),
        ({"replicas": 8, "strategy": {"rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}}, 0, "change"),
        ({"replicas": 8, "paused": True}, 0, "change"),
    ],
)
async def test_a_rollout_takes_as_many_pods_away_at_once_as_its_strategy_says(
    world: World, fields: Json, at_once: int, risk: str
) -> None:
    world.cluster.put(strategy(**fields))
    put_pods(world, 8)
    service(world)
    proposal = await world.propose(set_blocks())
    (reach,) = proposal.preview.blast.reach
    assert (reach.pods, reach.ready, reach.at_once) == (8, 8, at_once)
    assert reach.restarted == (0 if fields.get("paused") else 8)
    (share,) = reach.services
    assert (share.service, share.ready, share.away, share.share) == ("Service/llm/chat", 8, at_once, at_once / 8)
    assert proposal.preview.risk == risk
    assert f"Service/llm/chat: {at_once} of 8 ready pods away at once" in proposal.text


async def test_the_share_is_that_of_a_service_which_selects_other_pods_too(world: World) -> None:
    world.cluster.put(deployment(replicas=2))
    put_pods(world, 2)
    put_pods(world, 6, name="router")
    service(world, "front", tier="front")
    service(world, "elsewhere", app="nobody")
    proposal = await world.propose(scale("chat", 1))
    (reach,) = proposal.preview.blast.reach
    assert [(one.service, one.ready, one.away) for one in reach.services] == [("Service/llm/front", 8, 1)]
    assert proposal.preview.blast.note == (
        "1 of 2 pods restart or go, at most 1 at once; Service/llm/front loses 1 of 8 ready pods meanwhile"
    )


async def test_pods_that_are_not_ready_carry_no_traffic(world: World) -> None:
    world.cluster.put(strategy(replicas=4, strategy={"rollingUpdate": {"maxUnavailable": 2}}))
    put_pods(world, 1, unready=3)
    service(world)
    proposal = await world.propose(set_blocks())
    (share,) = proposal.preview.blast.reach[0].services
    assert (share.ready, share.away, share.share) == (1, 1, 1.0)
    assert proposal.preview.risk == "dangerous"
    assert "takes 1 of 1 ready pods of Service/llm/chat away at once, more than 75%" in proposal.text


async def test_labels_that_a_service_no_longer_finds_take_all_its_traffic(world: World) -> None:
    value = strategy(replicas=8)
    value["spec"]["template"]["metadata"]["labels"]["tier"] = "front"
    world.cluster.put(value)
    put_pods(world, 8)
    service(world, "front", tier="front")
    body = {"spec": {"template": {"metadata": {"labels": {"tier": "back"}}}}}
    proposal = await world.propose({"op": "patch", "target": CHAT, "args": {"type": "merge", "patch": body}})
    assert [one.share for one in proposal.preview.blast.reach[0].services] == [1.0]
    assert proposal.preview.risk == "dangerous"


async def test_a_budget_that_allows_less_is_named(world: World) -> None:
    world.cluster.put(strategy(replicas=8))
    put_pods(world, 8)
    spec = {"selector": {"matchLabels": {"app": "chat"}}, "minAvailable": 7}
    put(world, "PodDisruptionBudget", "policy/v1", "chat", spec, disruptionsAllowed=1)
    proposal = await world.propose(set_blocks())
    assert proposal.preview.risk == "dangerous"
    assert "takes 2 pods away at once, and the disruption budget chat allows 1 now" in proposal.text


async def test_an_autoscaler_that_will_set_it_back_is_named(world: World) -> None:
    spec = {"scaleTargetRef": {"kind": "Deployment", "name": "router"}, "minReplicas": 2, "maxReplicas": 3}
    put(world, "HorizontalPodAutoscaler", "autoscaling/v2", "router", spec)
    proposal = await world.propose(scale())
    assert "the autoscaler router also sets the replicas of Deployment/llm/router, between 2 and 3" in proposal.text


async def test_a_quota_that_will_refuse_the_pods_is_named(world: World) -> None:
    value = deployment("router")
    for container in value["spec"]["template"]["spec"]["containers"]:
        container["resources"] = {"requests": {"cpu": "500m"}, "limits": {"memory": "1Gi"}}
    world.cluster.put(value)
    hard, used = {"requests.cpu": "4", "pods": "10", "memory": "64Gi"}, {"requests.cpu": "3", "pods": "3"}
    put(world, "ResourceQuota", "v1", "team", {"hard": hard}, hard=hard, used=used)
    assert "quota" not in (await world.propose(scale())).text
    proposal = await world.propose(scale(replicas=5))
    assert "the quota team has 4 of requests.cpu, 3 are used, and this needs 2 more" in proposal.text
    assert "of pods" not in proposal.text


async def test_more_pods_than_the_limit_make_a_plan_dangerous(world: World) -> None:
    (world.state / "policy.toml").write_text("[limits]\nmax_pods_restarted = 5\n")
    assert (await world.propose(set_blocks())).preview.risk == "change"
    proposal = await world.propose(set_blocks(), set_blocks(name="router"))
    assert proposal.preview.risk == "dangerous"
    assert "6 pods restart or go, more than 5" in proposal.text


async def test_pods_that_cannot_be_listed_make_a_restart_dangerous(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    objects = world.cluster.objects

    async def forbidden(kind: str, namespace: str) -> Any:
        if kind == "Pod":
            raise RejectedError("pods is forbidden")
        return await objects(kind, namespace)

    monkeypatch.setattr(world.cluster, "objects", forbidden)
    proposal = await world.propose(set_blocks())
    assert proposal.preview.risk == "dangerous"
    assert "the Pods of llm cannot be listed (pods is forbidden)" in proposal.text
    assert (await world.propose(scale(replicas=4))).preview.risk == "change"


async def test_a_budget_that_would_allow_everything_is_dangerous_to_write(world: World) -> None:
    spec = {"selector": {"matchLabels": {"app": "chat"}}, "minAvailable": 2}
    put(world, "PodDisruptionBudget", "policy/v1", "chat", spec)
    target = {"kind": "PodDisruptionBudget", "namespace": "llm", "name": "chat"}

    async def risk(least: Any) -> str:
        args = {"type": "merge", "patch": {"spec": {"minAvailable": least}}}
        return (await world.propose({"op": "patch", "target": target, "args": args})).preview.risk

    assert [await risk(least) for least in (1, 3, 0, "0%", 9)] == [
        "change",
        "change",
        "dangerous",
        "dangerous",
        "dangerous",
    ]


async def test_an_object_that_another_controls_is_dangerous_to_change(world: World) -> None:
    owner = {"apiVersion": "serving.kserve.io/v1", "kind": "InferenceService", "name": "chat", "controller": True}
    world.cluster.put(copy.deepcopy(deployment(ownerReferences=[{**owner, "uid": "u"}])))
    proposal = await world.propose(set_blocks())
    assert proposal.preview.risk == "dangerous"
    assert "the InferenceService chat controls it" in proposal.text


def workload(name: str, **labels: str) -> Json:
    value = deployment(name, replicas=10)
    value["spec"]["strategy"] = {"rollingUpdate": {"maxUnavailable": 3}}
    value["spec"]["template"]["metadata"]["labels"] |= labels
    return value


async def test_what_several_operations_take_of_one_service_is_taken_together(world: World) -> None:
    (world.state / "policy.toml").write_text("[limits]\nmax_traffic_share = 0.4\n")
    for name in ("chat", "router", "third"):
        world.cluster.put(workload(name))
        put_pods(world, 6, name=name)
    service(world, "front", tier="front")
    service(world, "chat", app="chat")
    proposal = await world.propose(set_blocks(name="router"), set_blocks(name="third"))
    assert proposal.preview.risk == "change"
    proposal = await world.propose(set_blocks(name="router"), set_blocks(name="third"), set_blocks())
    assert [one.services[0].share for one in proposal.preview.blast.reach] == [0.1667] * 3
    said = "op1, op2 and op3 together take 9 of 18 ready pods of Service/llm/front away at once, more than 40%"
    assert said in proposal.text
    assert "op3 takes 3 of 6 ready pods of Service/llm/chat away at once, more than 40%" in proposal.text
    assert proposal.preview.risk == "dangerous"


async def test_a_pod_that_two_operations_take_is_one_pod(world: World) -> None:
    world.cluster.put(workload("chat"))
    put_pods(world, 10)
    service(world)
    evictions = [
        {"op": "evict", "target": {"kind": "Pod", "namespace": "llm", "name": f"chat-{number}"}, "args": {}}
        for number in range(3)
    ]
    proposal = await world.propose(set_blocks(), *evictions)
    assert (proposal.preview.blast.pods_restarted, proposal.preview.blast.pods_total) == (10, 10)
    assert "at most 6 at once; Service/llm/chat loses 6 of 10 ready pods meanwhile" in proposal.preview.blast.note


async def test_a_budget_is_held_against_all_operations_together(world: World) -> None:
    for name in ("chat", "router"):
        world.cluster.put(strategy(replicas=4) | {"metadata": {"name": name, "namespace": "llm"}})
        put_pods(world, 4, name=name)
    world.cluster.put(workload("router"))
    spec = {"selector": {"matchLabels": {"tier": "front"}}}
    put(world, "PodDisruptionBudget", "policy/v1", "front", spec, disruptionsAllowed=3)
    assert "disruption budget" not in (await world.propose(set_blocks())).text
    proposal = await world.propose(set_blocks(), set_blocks(name="router"))
    assert "op1 and op2 together take 4 pods away at once, and the disruption budget front allows 3" in proposal.text


async def test_a_lower_bound_of_an_autoscaler_takes_pods_of_the_services_of_its_target(world: World) -> None:
    put_pods(world, 8)
    service(world)
    spec = {"scaleTargetRef": {"kind": "Deployment", "name": "chat"}, "minReplicas": 1, "maxReplicas": 8}
    put(world, "HorizontalPodAutoscaler", "autoscaling/v2", "chat", spec, currentReplicas=8)
    target = {"kind": "HorizontalPodAutoscaler", "namespace": "llm", "name": "chat"}
    bounds = {"op": "hpa_bounds", "target": target, "args": {"max": 2}}
    (world.state / "policy.toml").write_text("[limits]\nmax_scale_factor = 9\nmax_traffic_share = 0.5\n")
    proposal = await world.propose(bounds)
    assert "op1 takes 6 of 8 ready pods of Service/llm/chat away at once, more than 50%" in proposal.text
    assert proposal.preview.risk == "dangerous"
