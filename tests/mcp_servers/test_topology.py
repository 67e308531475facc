"""`kube_topology`: every joint between Ingress and container, broken one at a time."""

from typing import Any

import pytest

from midwatch_mcp.settings import ServerSettings
from midwatch_mcp.testing.caller import Caller
from midwatch_mcp.testing.world import World

pytestmark = pytest.mark.anyio


@pytest.fixture
def kube(settings: ServerSettings, world: World) -> Caller:
    """A path that holds: two ready pods on one ready node, both published."""
    world.cluster.remove("Pod", "llm", "chat-new-c")
    for name, address in (("chat-new-a", "127.1.0.2"), ("chat-new-b", "127.1.0.3")):
        world.cluster.store["v1", "pods", "llm", name]["status"]["podIP"] = address
    endpoints = [{"addresses": ["127.1.0.2"]}, {"addresses": ["127.1.0.3"]}]
    world.cluster.put(
        placed("discovery.k8s.io/v1", "EndpointSlice", "chat-1", {"kubernetes.io/service-name": "chat"})
        | {"endpoints": endpoints, "ports": [{"name": "http", "port": 8000}]},
        {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": "n1"},
            "spec": {},
            "status": {"conditions": [{"type": "Ready", "status": "True"}]},
        },
    )
    return Caller.of("kubernetes", settings)


def placed(version: str, kind: str, name: str, labels: dict[str, str] | None = None, **rest: Any) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "llm", "labels": labels or {}}
    return {"apiVersion": version, "kind": kind, "metadata": metadata, **rest}


async def topology(kube: Caller) -> dict[str, Any]:
    return await kube.data("kube_topology", namespace="llm", service="chat")


async def test_a_path_that_holds_names_its_pods_nodes_and_workload_and_nothing_broken(kube: Caller) -> None:
    data = await topology(kube)
    assert (data["broken"], data["said"], data["mentioned"], data["ready"]) == ([], [], [], 2)
    assert data["nodes"] == [{"node": "n1", "ready": True, "pods": 2}]
    assert data["workloads"] == ["Deployment/llm/chat"]


async def test_a_named_target_port_that_no_container_has_is_broken(kube: Caller, world: World) -> None:
    ports = world.cluster.store["v1", "services", "llm", "chat"]["spec"]["ports"]
    ports[0]["targetPort"] = "grpc"
    assert "pod chat-new-a has no port grpc, which the Service's target port names" in (await topology(kube))["broken"]


async def test_every_port_of_the_service_is_judged_not_the_first_alone(kube: Caller, world: World) -> None:
    world.cluster.store["v1", "services", "llm", "chat"]["spec"]["ports"].append(
        {"name": "metrics", "port": 9000, "targetPort": "metrics"}
    )
    broken = (await topology(kube))["broken"]
    assert "pod chat-new-b has no port metrics, which the Service's target port names" in broken
    assert "no endpoint has the Service's port metrics" in broken


async def test_a_ready_pod_that_is_not_published_is_broken(kube: Caller, world: World) -> None:
    world.cluster.store["discovery.k8s.io/v1", "endpointslices", "llm", "chat-1"]["endpoints"].pop()
    assert (await topology(kube))["broken"] == ["the Service has 1 ready endpoints for 2 ready pods"]


async def test_an_endpoint_of_no_pod_is_broken(kube: Caller, world: World) -> None:
    slices = world.cluster.store["discovery.k8s.io/v1", "endpointslices", "llm", "chat-1"]
    slices["endpoints"].append({"addresses": ["10.9.9.9"]})
    assert (await topology(kube))["broken"] == ["1 ready endpoints belong to no pod of the selector: 10.9.9.9"]


async def test_a_node_that_is_not_ready_is_broken_and_pressure_and_a_cordon_are_mentioned(
    kube: Caller, world: World
) -> None:
    node = world.cluster.store["v1", "nodes", "", "n1"]
    node["spec"]["unschedulable"] = True
    node["status"]["conditions"] = [
        {"type": "Ready", "status": "Unknown"},
        {"type": "MemoryPressure", "status": "True"},
    ]
    data = await topology(kube)
    assert data["broken"] == ["node n1 is not ready"]
    assert data["mentioned"] == ["node n1 has MemoryPressure", "node n1 is cordoned"]


async def test_ingresses_that_lead_here_are_named_and_a_port_that_is_not_there_is_broken(
    kube: Caller, world: World
) -> None:
    def rule(host: str, service: str, port: dict[str, Any]) -> dict[str, Any]:
        backend = {"service": {"name": service, "port": port}}
        return {"host": host, "http": {"paths": [{"path": "/v1", "backend": backend}]}}

    rules = [rule("a.example", "chat", {"name": "http"}), rule("b.example", "other", {"number": 1})]
    rules.append(rule("c.example", "chat", {"number": 81}))
    world.cluster.put(placed("networking.k8s.io/v1", "Ingress", "front", spec={"rules": rules}))
    data = await topology(kube)
    assert data["ingresses"] == ["Ingress/llm/front a.example/v1", "Ingress/llm/front c.example/v1"]
    assert data["broken"] == ["Ingress/llm/front leads to port 81, which the Service does not have"]


async def test_policies_autoscalers_and_budgets_that_bound_the_path_are_mentioned(kube: Caller, world: World) -> None:
    scaler = {
        "scaleTargetRef": {"kind": "Deployment", "name": "chat"},
        "maxReplicas": 3,
    }
    at_limit = {"currentReplicas": 3, "conditions": [{"type": "ScalingLimited", "status": "True"}]}
    healthy = {"disruptionsAllowed": 0, "currentHealthy": 2, "desiredHealthy": 2, "expectedPods": 2}
    among = {"matchExpressions": [{"key": "app", "operator": "In", "values": ["chat", "x"]}]}
    world.cluster.put(
        placed("networking.k8s.io/v1", "NetworkPolicy", "deny", spec={"podSelector": {}, "policyTypes": ["Ingress"]}),
        placed("networking.k8s.io/v1", "NetworkPolicy", "else", spec={"podSelector": {"matchLabels": {"app": "x"}}}),
        placed("autoscaling/v2", "HorizontalPodAutoscaler", "chat", spec=scaler, status=at_limit),
        placed("policy/v1", "PodDisruptionBudget", "chat", spec={"selector": among}, status=healthy),
    )
    data = await topology(kube)
    assert data["broken"] == []
    assert data["mentioned"] == [
        "NetworkPolicy/llm/deny selects its pods (Ingress) and lets no ingress through",
        "HorizontalPodAutoscaler/llm/chat: at its maximum of 3 replicas, and would scale further",
        "PodDisruptionBudget/llm/chat: allows no disruption: 2 pods healthy, 2 needed; drains wait",
    ]


async def test_a_selector_that_matches_nothing_is_the_first_thing_said(kube: Caller, world: World) -> None:
    world.cluster.store["v1", "services", "llm", "chat"]["spec"]["selector"] = {"app": "chatt"}
    found = await kube.result("kube_topology", namespace="llm", service="chat")
    assert found["data"]["broken"][0] == "no pod carries the labels of the selector"
    assert "the first: no pod carries the labels of the selector." in found["summary"]
