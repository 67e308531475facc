"""The client and the cluster tools against the original kube-apiserver: no controllers, so what is written stays."""

import asyncio
import secrets
from collections.abc import AsyncGenerator, Generator
from pathlib import Path
from typing import Any

import pytest

from midwatch_lab.original import running
from midwatch_mcp.errors import KubeError
from midwatch_mcp.kubernetes.client import APPLY, JSON_PATCH, MERGE, KubeClient
from midwatch_mcp.settings import ServerSettings
from midwatch_mcp.testing.caller import Caller, Era, answer_text

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.original]
MANY = 1_000
PODS = "/api/v1/namespaces/many/pods"


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def kubeconfig(original_binaries: Path, tmp_path_factory: pytest.TempPathFactory) -> Generator[Path]:
    """A kubeconfig of an API server that runs while the module's tests do."""
    home = tmp_path_factory.mktemp("original")
    with running(original_binaries, home) as found:
        yield found.kubeconfig(home / "kubeconfig")


@pytest.fixture(scope="module")
async def client(kubeconfig: Path) -> AsyncGenerator[KubeClient]:
    opened = KubeClient(kubeconfig)
    for name in ("many", "llm"):
        await opened.create("/api/v1/namespaces", {"metadata": {"name": name}})
    yield opened
    await opened.aclose()


@pytest.fixture(scope="module")
async def thousand(client: KubeClient) -> KubeClient:
    """A thousand pods, of which five failed."""

    async def make(number: int) -> None:
        name = f"pod-{number:04}"
        spec = {"containers": [{"name": "c", "image": "i"}]}
        await client.create(PODS, {"metadata": {"name": name, "labels": {"app": "many"}}, "spec": spec})
        phase = "Failed" if number % 200 == 7 else "Running"
        container = {"name": "c", "image": "i", "imageID": "", "restartCount": 0, "ready": phase == "Running"}
        status: dict[str, Any] = {"phase": phase, "containerStatuses": [container | {"state": {"running": {}}}]}
        await client.patch(f"{PODS}/{name}/status", {"status": status}, content_type=MERGE)

    for start in range(0, MANY, 50):
        await asyncio.gather(*(make(number) for number in range(start, start + 50)))
    return client


@pytest.fixture
def kube(client: KubeClient, kubeconfig: Path, tmp_path: Path, era: Era) -> Caller:
    assert client
    return Caller.of("kubernetes", ServerSettings(state=tmp_path, kubeconfig=kubeconfig), era)


def deployment(**spec: Any) -> dict[str, Any]:
    labels = {"app": "chat"}
    container = {"name": "engine", "image": "i:1", "args": ["--max-num-seqs=4"]}
    pod = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "chat", "namespace": "llm"},
        "spec": {"selector": {"matchLabels": labels}, "template": pod, **spec},
    }


async def test_a_thousand_pods_are_counted_whole_and_the_sick_ones_come_first(
    kube: Caller, thousand: KubeClient
) -> None:
    assert thousand
    answer = await kube.call("kube_list", {"kind": "pods", "namespace": "many"})
    assert answer.structured_content is not None
    data = answer.structured_content["data"]
    assert data["total"] == MANY
    assert data["states"] == {"Failed": 5, "Running": MANY - 5}
    assert {row[0] for row in data["rows"][:5]} == {f"pod-{number:04}" for number in range(7, MANY, 200)}
    assert len(answer_text(answer)) < 6_000


async def test_all_four_ways_to_write_and_the_dry_run_reach_the_original(client: KubeClient) -> None:
    collection = "/apis/apps/v1/namespaces/llm/deployments"
    path = f"{collection}/chat"
    dry = await client.create(collection, deployment(replicas=1), query={"dryRun": "All"})
    assert dry["metadata"]["uid"]
    with pytest.raises(KubeError) as caught:
        await client.get(path)
    assert caught.value.not_found
    await client.create(collection, deployment(replicas=1))
    container = {"name": "engine", "args": ["--max-num-seqs=8"]}
    strategic = await client.patch(path, {"spec": {"template": {"spec": {"containers": [container]}}}})
    assert strategic["spec"]["template"]["spec"]["containers"][0]["image"] == "i:1"
    merged = await client.patch(path, {"spec": {"replicas": 2}}, content_type=MERGE)
    assert merged["spec"]["replicas"] == 2
    steps = [
        {"op": "test", "path": "/spec/replicas", "value": 2},
        {"op": "replace", "path": "/spec/replicas", "value": 3},
    ]
    assert (await client.patch(path, steps, content_type=JSON_PATCH))["spec"]["replicas"] == 3
    applied = deployment(replicas=4)
    query = {"fieldManager": "midwatch", "force": True}
    assert (await client.patch(path, applied, content_type=APPLY, query=query))["spec"]["replicas"] == 4
    await client.delete(path, body={"preconditions": {"uid": merged["metadata"]["uid"]}})
    with pytest.raises(KubeError):
        await client.get(path)


async def test_a_write_over_a_version_that_has_passed_is_a_conflict_with_its_reason(client: KubeClient) -> None:
    path = "/api/v1/namespaces/llm"
    with pytest.raises(KubeError) as caught:
        await client.patch(path, {"metadata": {"resourceVersion": "1", "labels": {"a": "b"}}}, content_type=MERGE)
    assert (caught.value.status, caught.value.reason) == (409, "Conflict")


async def test_what_the_original_finds_invalid_is_told_by_field(client: KubeClient) -> None:
    with pytest.raises(KubeError) as caught:
        await client.create("/apis/apps/v1/namespaces/llm/deployments", deployment(replicas=-1))
    assert caught.value.reason == "Invalid"
    assert any(cause.startswith("spec.replicas: ") for cause in caught.value.causes)


async def test_describe_and_rollout_answer_for_a_deployment_that_nothing_reconciles(
    kube: Caller, client: KubeClient
) -> None:
    collection = "/apis/apps/v1/namespaces/llm/deployments"
    await client.create(collection, deployment(replicas=2))
    try:
        described = await kube.data("kube_describe", kind="deploy", name="chat", namespace="llm")
        rollout = await kube.data("kube_rollout", name="chat", namespace="llm")
    finally:
        await client.delete(f"{collection}/chat")
    assert described["facts"]["spec.replicas"] == 2
    assert (rollout["desired"], rollout["complete"], rollout["revisions"]) == (2, False, [])
    assert rollout["changed_age_s"] is None


async def test_whom_rbac_allows_is_whom_the_original_allows(kube: Caller, client: KubeClient) -> None:
    root = "/apis/rbac.authorization.k8s.io/v1"
    name = secrets.token_hex(4)
    rule = {"verbs": ["get"], "apiGroups": [""], "resources": ["*/log", "configmaps"], "resourceNames": ["one"]}
    role = {"metadata": {"name": name}, "rules": [rule]}
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name}
    people = [{"kind": "User", "name": f"ada-{name}"}, {"kind": "ServiceAccount", "name": "watch", "namespace": "llm"}]
    await client.create(f"{root}/namespaces/llm/roles", role)
    bound = {"metadata": {"name": name}, "roleRef": reference, "subjects": people}
    await client.create(f"{root}/namespaces/llm/rolebindings", bound)
    asked: list[dict[str, Any]] = [
        {"verb": verb, "kind": kind, "namespace": namespace, "name": which, "subresource": sub}
        for verb in ("get", "list")
        for kind, sub in (("Pod", "log"), ("Pod", None), ("ConfigMap", None))
        for namespace in ("llm", "many")
        for which in ("one", "two")
    ]
    compared = 0
    for arguments in asked:
        given = {key: value for key, value in arguments.items() if value is not None}
        everyone = await kube.data("kube_access", **given, who_can=True)
        may = {entry["subject"] for entry in everyone["who"]}
        for subject, shown in (
            (f"user:ada-{name}", f"User/ada-{name}"),
            ("serviceaccount:llm/watch", "ServiceAccount/llm/watch"),
            ("group:system:masters", "Group/system:masters"),
        ):
            decided = await kube.data("kube_access", **given, subject=subject)
            assert decided["allowed"] == (shown in may), (given, subject, decided["reason"])
            compared += decided["allowed"]
    assert 0 < compared < 3 * len(asked)
