"""`kube_access` and `kube_top` over a double of the API, and the reading of roles by itself."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midwatch_mcp.kubernetes.quantity import quantity
from midwatch_mcp.kubernetes.rbac import Deed, allows, granted, role_key
from midwatch_mcp.settings import ServerSettings
from midwatch_mcp.testing.caller import Caller, Era
from midwatch_mcp.testing.world import World

pytestmark = pytest.mark.anyio

RBAC = "rbac.authorization.k8s.io"


@pytest.fixture
def kube(settings: ServerSettings, era: Era) -> Caller:
    return Caller.of("kubernetes", settings, era)


def rule(verbs: str, groups: str, resources: str, names: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {"verbs": verbs.split(), "apiGroups": groups.split(","), "resources": resources.split()}
    return found | ({"resourceNames": names.split()} if names else {})


def role(kind: str, name: str, *rules: dict[str, Any], namespace: str = "") -> dict[str, Any]:
    metadata = {"name": name} | ({"namespace": namespace} if namespace else {})
    return {"apiVersion": f"{RBAC}/v1", "kind": kind, "metadata": metadata, "rules": list(rules)}


def binding(name: str, to: tuple[str, str], *subjects: tuple[str, str, str], namespace: str = "") -> dict[str, Any]:
    metadata = {"name": name} | ({"namespace": namespace} if namespace else {})
    return {
        "apiVersion": f"{RBAC}/v1",
        "kind": "RoleBinding" if namespace else "ClusterRoleBinding",
        "metadata": metadata,
        "roleRef": {"apiGroup": RBAC, "kind": to[0], "name": to[1]},
        "subjects": [{"kind": kind, "namespace": where, "name": who} for kind, where, who in subjects],
    }


@pytest.mark.parametrize(
    ("given_rule", "deed", "allowed"),
    [
        (rule("get list", "", "pods"), Deed("list", "", "pods"), True),
        (rule("get", "", "pods"), Deed("list", "", "pods"), False),
        (rule("*", "*", "*"), Deed("delete", "apps", "deployments"), True),
        (rule("get", "", "pods"), Deed("get", "", "pods/log"), False),
        (rule("get", "", "pods/log"), Deed("get", "", "pods/log"), True),
        (rule("get", "", "*/log"), Deed("get", "", "pods/log"), True),
        (rule("get", "", "*/log"), Deed("get", "", "pods"), False),
        (rule("get", "apps", "pods"), Deed("get", "", "pods"), False),
        (rule("get", "", "secrets", "one"), Deed("get", "", "secrets", name="one"), True),
        (rule("get", "", "secrets", "one"), Deed("get", "", "secrets", name="two"), False),
        (rule("list", "", "secrets", "one"), Deed("list", "", "secrets"), False),
        ({}, Deed("get", "", "pods"), False),
    ],
)
def test_a_rule_allows_what_the_documentation_says(given_rule: dict[str, Any], deed: Deed, *, allowed: bool) -> None:
    assert allows(given_rule, deed) is allowed


def test_a_binding_reaches_its_own_namespace_only_and_a_cluster_binding_all() -> None:
    reader = role("ClusterRole", "reader", rule("get", "", "pods"))
    roles = {role_key(reader): reader}
    bindings = [
        binding("here", ("ClusterRole", "reader"), ("User", "", "ada"), namespace="llm"),
        binding("there", ("ClusterRole", "reader"), ("User", "", "bob"), namespace="other"),
        binding("all", ("ClusterRole", "reader"), ("ServiceAccount", "ops", "watch")),
        binding("nothing", ("ClusterRole", "missing"), ("User", "", "eve")),
    ]
    assert {grant.name for grant in granted(roles, bindings, Deed("get", "", "pods", "llm"))} == {"ada", "watch"}
    assert {grant.name for grant in granted(roles, bindings, Deed("get", "", "pods"))} == {"watch"}


async def test_the_server_s_own_decision_is_told_and_nothing_but_a_review_is_sent(kube: Caller, world: World) -> None:
    world.cluster.allowed.add(("", "get", "pods"))
    found = await kube.result("kube_access", verb="get", kind="Pod", namespace="llm", subresource="log")
    assert found["summary"] == "you may get pods/log in llm."
    assert (found["data"]["allowed"], found["data"]["who"]) == (True, None)
    denied = await kube.result("kube_access", verb="delete", kind="deploy", namespace="llm", name="chat")
    assert denied["summary"] == "you may not delete deployments.apps/chat in llm."
    sent = [(seen.method, seen.path.rpartition("/")[2]) for seen in world.seen if seen.method != "GET"]
    assert sent == [("POST", "selfsubjectaccessreviews")] * 2


async def test_a_service_account_is_asked_about_under_its_full_name(kube: Caller, world: World) -> None:
    world.cluster.allowed.add(("system:serviceaccount:llm:chat", "list", "secrets"))
    found = await kube.data("kube_access", verb="list", kind="Secret", subject="serviceaccount:llm/chat")
    assert found["allowed"] is True
    assert "none of user:NAME" in await kube.error("kube_access", verb="list", kind="Secret", subject="ada")


async def test_who_can_names_subject_binding_and_role(kube: Caller, world: World) -> None:
    world.cluster.put(
        role("Role", "tuner", rule("patch", "apps", "deployments"), namespace="llm"),
        binding("tuners", ("Role", "tuner"), ("Group", "", "on-call"), namespace="llm"),
    )
    found = await kube.result("kube_access", verb="patch", kind="Deployment", namespace="llm", who_can=True)
    assert found["data"]["who"] == [
        {"subject": "Group/on-call", "binding": "RoleBinding/llm/tuners", "role": "Role/llm/tuner"}
    ]
    assert "RBAC allows it to 1 subjects" in found["summary"]


async def test_a_namespace_for_a_kind_without_one_is_refused(kube: Caller) -> None:
    assert "live in no namespace" in await kube.error("kube_access", verb="get", kind="Node", namespace="llm")


def usage(kind: str, name: str, *containers: tuple[str, str], namespace: str = "") -> dict[str, Any]:
    metadata = {"name": name} | ({"namespace": namespace} if namespace else {})
    amounts = [{"cpu": cpu, "memory": memory} for cpu, memory in containers]
    body = {"usage": amounts[0]} if kind == "NodeMetrics" else {"containers": [{"usage": one} for one in amounts]}
    return {"apiVersion": "metrics.k8s.io/v1beta1", "kind": kind, "metadata": metadata, **body}


async def test_pods_are_shown_beside_their_limits_the_greatest_first(kube: Caller, world: World) -> None:
    container = world.cluster.store["v1", "pods", "llm", "chat-new-b"]["spec"]["containers"][0]
    container["resources"] = {"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "500m"}}
    world.cluster.put(
        usage("PodMetrics", "chat-new-a", ("1500m", "200Mi"), namespace="llm"),
        usage("PodMetrics", "chat-new-b", ("250000000n", "983040Ki"), namespace="llm"),
    )
    found = await kube.result("kube_top", namespace="llm")
    first, second = found["data"]["rows"]
    assert (first["name"], first["cpu_cores"]["used"], first["node"]) == ("chat-new-a", 1.5, "n1")
    assert second["cpu_cores"] == {"used": 0.25, "request": 0.5, "limit": 1.0, "share": 0.25}
    assert second["memory_bytes"]["share"] == pytest.approx(0.9375)
    assert (found["data"]["total"], found["data"]["unmeasured"]) == (2, 1)
    assert found["summary"].endswith("1 have no measurement. 1 use 90 % of their memory or more.")
    by_memory = await kube.data("kube_top", namespace="llm", sort_by="memory")
    assert [row["name"] for row in by_memory["rows"]] == ["chat-new-b", "chat-new-a"]


async def test_nodes_are_measured_against_what_they_can_allocate(kube: Caller, world: World) -> None:
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"}}
    world.cluster.put(
        node | {"status": {"allocatable": {"cpu": "4", "memory": "8Gi"}}}, usage("NodeMetrics", "n1", ("1", "2Gi"))
    )
    (row,) = (await kube.data("kube_top", what="nodes"))["rows"]
    assert (row["cpu_cores"]["share"], row["memory_bytes"]["share"]) == (0.25, 0.25)


async def test_a_cluster_that_measures_nothing_says_what_to_ask_instead(world: World, tmp_path: Path, era: Era) -> None:
    world.cluster.kinds = tuple(kind for kind in world.cluster.kinds if not kind.group_version.startswith("metrics"))
    kube = Caller.of("kubernetes", world.settings(tmp_path), era)
    assert "metrics-server" in await kube.error("kube_top")


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("250m", 0.25),
        ("1", 1),
        ("1.5", 1.5),
        ("1Gi", 2**30),
        ("1G", 1e9),
        ("100k", 1e5),
        ("5n", 5e-9),
        ("1e3", 1000),
        (2, 2),
    ],
)
def test_a_quantity_is_read_in_base_units(text: Any, number: float) -> None:
    assert quantity(text) == pytest.approx(number)


@given(st.one_of(st.text(max_size=12), st.booleans(), st.none(), st.lists(st.integers(), max_size=2)))
def test_what_is_no_quantity_is_none_and_never_an_error(value: Any) -> None:
    found = quantity(value)
    assert found is None or isinstance(found, float)
