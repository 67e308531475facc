import pytest
from mcp.types import TextResourceContents

from midwatch_mcp.settings import ServerSettings
from midwatch_mcp.testing.caller import Caller, Era
from midwatch_mcp.testing.world import World

pytestmark = pytest.mark.anyio


@pytest.fixture
def kube(settings: ServerSettings, era: Era) -> Caller:
    return Caller.of("kubernetes", settings, era)


async def test_a_list_is_a_table_with_the_sick_pod_first_and_counts_over_all(kube: Caller) -> None:
    found = await kube.result("kube_list", kind="pod", namespace="llm", limit=2)
    data = found["data"]
    assert data["columns"] == ["Name", "Ready", "Status", "Restarts", "Age"]
    assert data["rows"][0] == ["chat-new-c", "0/1", "CrashLoopBackOff", 7, "5m"]
    assert data["total"] == 3
    assert data["states"] == {"CrashLoopBackOff": 1, "Running": 2}
    assert found["evidence"]["truncated"] is True
    assert "1 need attention" in found["summary"]


async def test_a_page_goes_on_where_the_last_one_ended(kube: Caller) -> None:
    first = await kube.result("kube_list", kind="Pod", namespace="llm", limit=2)
    second = await kube.result("kube_list", kind="Pod", namespace="llm", limit=2, cursor=first["evidence"]["cursor"])
    names = [row[0] for page in (first, second) for row in page["data"]["rows"]]
    assert sorted(names) == ["chat-new-a", "chat-new-b", "chat-new-c"]
    assert second["evidence"]["cursor"] is None


async def test_a_list_asks_for_no_objects_and_over_all_namespaces_for_their_names_alone(
    kube: Caller, world: World
) -> None:
    await kube.result("kube_list", kind="deploy", namespace="llm")
    spread = await kube.result("kube_list", kind="deploy")
    asked = [seen.query["includeObject"] for seen in world.seen if seen.path.endswith("/deployments")]
    assert asked == ["None", "Metadata"]
    assert spread["data"]["columns"][0] == "Namespace"
    assert spread["data"]["rows"][0][:2] == ["llm", "chat"]
    assert spread["data"]["states"] == {"not ready": 1}


async def test_a_list_of_a_thousand_pods_answers_in_a_page_and_counts_them_all(kube: Caller, world: World) -> None:
    for number in range(1000):
        item = world.cluster.store["v1", "pods", "llm", "chat-new-a"]
        world.cluster.put(item | {"metadata": {"name": f"p{number:04}", "namespace": "many", "labels": {}}})
    found = await kube.result("kube_list", kind="pods", namespace="many")
    assert found["data"]["total"] == 1000
    assert found["data"]["states"] == {"Running": 1000}
    assert len(found["data"]["rows"]) == 50


async def test_a_selector_reaches_the_server(kube: Caller) -> None:
    found = await kube.result("kube_list", kind="rs", namespace="llm", label_selector="app=other")
    assert found["data"]["total"] == 0


async def test_an_unknown_kind_is_refused_with_kinds_that_look_alike(kube: Caller) -> None:
    assert "Deployment" in await kube.error("kube_list", kind="Deploymint")


async def test_get_returns_the_object_without_field_owners(kube: Caller) -> None:
    found = await kube.result("kube_get", kind="Deployment", name="chat", namespace="llm")
    assert found["data"]["object"]["spec"]["replicas"] == 3
    assert "managedFields" not in found["data"]["object"]["metadata"]


async def test_an_object_that_is_not_there_is_an_error_that_says_so(kube: Caller) -> None:
    assert 'deployments "chaat" not found' in await kube.error(
        "kube_get", kind="Deployment", name="chaat", namespace="llm"
    )


async def test_an_object_in_a_namespace_needs_one(kube: Caller) -> None:
    assert "needs a namespace" in await kube.error("kube_get", kind="Pod", name="chat-new-a")


async def test_describe_gathers_conditions_children_and_events(kube: Caller) -> None:
    data = await kube.data("kube_describe", kind="Deployment", name="chat", namespace="llm")
    assert data["entity"] == "Deployment/llm/chat"
    assert data["facts"]["spec.replicas"] == 3
    assert [condition["type"] for condition in data["conditions"]] == ["Available"]
    assert {child["entity"] for child in data["children"]} == {"ReplicaSet/llm/chat-new", "ReplicaSet/llm/chat-old"}
    assert [event["reason"] for event in data["events"]] == ["ScalingReplicaSet"] * 3


async def test_describe_of_a_pod_tells_its_containers_and_owner(kube: Caller) -> None:
    data = await kube.data("kube_describe", kind="Pod", name="chat-new-c", namespace="llm")
    assert data["owners"] == ["ReplicaSet/llm/chat-new"]
    assert data["containers"] == [
        {
            "name": "engine",
            "image": "midwatch/serve:1",
            "ready": False,
            "restarts": 7,
            "state": "waiting: CrashLoopBackOff",
            "last_exit": None,
            "last_reason": None,
            "probes": [],
        }
    ]


async def test_events_come_newest_first_and_of_one_object_alone(kube: Caller) -> None:
    every = await kube.data("kube_events", namespace="llm")
    assert every["events"][0]["reason"] == "BackOff"
    assert (every["total"], every["warnings"]) == (4, 1)
    one = await kube.data("kube_events", namespace="llm", kind="pod", name="chat-new-c")
    assert [entry["object"] for entry in one["events"]] == ["Pod/llm/chat-new-c"]
    assert one["events"][0]["count"] == 2


async def test_rollout_says_what_the_newest_revision_changed_and_when(kube: Caller) -> None:
    data = await kube.data("kube_rollout", name="chat", namespace="llm")
    assert data["workload"] == "Deployment/llm/chat"
    assert (data["desired"], data["updated"], data["ready"], data["available"]) == (3, 3, 2, 2)
    assert data["complete"] is False
    assert data["changed"] == [
        {"container": "engine", "flag": "--num-gpu-blocks-override", "before": "256", "after": "14"}
    ]
    assert data["changed_age_s"] > 0
    assert [(entry["revision"], entry["current"]) for entry in data["revisions"]] == [(2, True), (1, False)]
    assert data["revisions"][0]["flags"]["engine"]["--max-num-seqs"] == "4"


async def test_rollout_lists_how_the_current_revision_was_scaled(kube: Caller) -> None:
    data = await kube.data("kube_rollout", name="chat", namespace="llm")
    assert [(entry["from"], entry["to"]) for entry in data["scaled"]] == [(1, 3), (0, 1)]


async def test_a_revision_that_a_rollback_brought_back_is_as_old_as_its_return(kube: Caller, world: World) -> None:
    old = world.cluster.store["apps/v1", "replicasets", "llm", "chat-old"]
    old["metadata"]["annotations"] |= {
        "deployment.kubernetes.io/revision": "3",
        "deployment.kubernetes.io/revision-history": "1",
    }
    returned = world.cluster.store["v1", "events", "llm", "e2"]
    returned["message"] = "Scaled up replica set chat-old from 0 to 3"
    data = await kube.data("kube_rollout", name="chat", namespace="llm")
    assert data["changed"][0]["after"] == "256"
    raised = next(entry for entry in data["scaled"] if entry["from"] == 0)
    assert data["changed_age_s"] == pytest.approx(raised["age_s"], abs=1)


async def test_topology_follows_the_service_and_names_what_is_broken(kube: Caller) -> None:
    data = await kube.data("kube_topology", namespace="llm", service="chat")
    assert data["service"] == "Service/llm/chat"
    assert data["workloads"] == ["Deployment/llm/chat"]
    assert (data["ready"], data["total"]) == (2, 3)
    assert "pod chat-new-c: container engine waits: CrashLoopBackOff, 7 restarts" in data["broken"]
    assert "the Service has 0 ready endpoints for 2 ready pods" in data["broken"]


async def test_a_service_whose_path_holds_has_nothing_broken(kube: Caller, world: World) -> None:
    world.cluster.remove("Pod", "llm", "chat-new-c")
    world.cluster.put(
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {"name": "chat-1", "namespace": "llm", "labels": {"kubernetes.io/service-name": "chat"}},
            "endpoints": [{"addresses": ["127.1.0.2"]}],
            "ports": [{"name": "http", "port": 8000}],
        }
    )
    assert (await kube.data("kube_topology", namespace="llm", service="chat"))["broken"] == []


@pytest.mark.parametrize("aggregated", [True, False])
async def test_kinds_are_found_by_either_form_of_discovery(kube: Caller, world: World, aggregated: bool) -> None:  # noqa: FBT001 (parametrized)
    world.cluster.aggregated = aggregated
    found = await kube.data("kube_resources", text="apps")
    assert {"Deployment", "ReplicaSet"} <= {entry["kind"] for entry in found["resources"]}
    listed = await kube.result("kube_list", kind="deploy", namespace="llm")
    assert listed["data"]["kind"] == "Deployment"


async def test_an_answer_can_be_read_back_whole_by_its_evidence_id(kube: Caller) -> None:
    async with kube.connect() as client:
        first = await client.call_tool("kube_list", {"kind": "pod", "namespace": "llm", "limit": 1})
        assert first.structured_content is not None
        evidence = first.structured_content["evidence"]["id"]
        rows = await client.call_tool("evidence_read", {"id": evidence, "path": "/rows"})
        resource = await client.read_resource(f"midwatch://evidence/{evidence}")
    assert rows.structured_content is not None
    assert len(rows.structured_content["data"]["value"]) == 3
    content = resource.contents[0]
    assert isinstance(content, TextResourceContents)
    assert "chat-new-a" in content.text


async def test_a_cluster_that_does_not_answer_is_an_error_that_names_it(kube: Caller, world: World) -> None:
    world.cluster.broken = 500
    assert "the double was told to fail (HTTP 500 InternalError)" in await kube.error("kube_list", kind="pod")


async def test_read_tools_send_nothing_but_get(kube: Caller, world: World) -> None:
    await kube.result("kube_describe", kind="Deployment", name="chat", namespace="llm")
    await kube.result("kube_rollout", name="chat", namespace="llm")
    await kube.result("kube_topology", namespace="llm", service="chat")
    assert {seen.method for seen in world.seen} == {"GET"}
