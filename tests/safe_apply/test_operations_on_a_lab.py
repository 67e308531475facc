"""The operations that need a running pod, against a real lab; its own audit is the witness."""

from collections.abc import AsyncGenerator, Generator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from midwatch_contracts.clock import WallClock
from midwatch_mcp.kubernetes.client import KubeClient
from safe_apply_applier import Applier
from safe_apply_lab import running_lab

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

Json = dict[str, Any]
NAMESPACE = "ops"
LIMIT_S = 90.0
DEPLOYMENTS = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments"
PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"
THERE = {"object": f"Deployment/{NAMESPACE}/chat", "cel": 'object.metadata.name != ""', "within_s": 20, "hold_s": 0}
NEVER = THERE | {"cel": "object.spec.replicas == 99.0", "within_s": 0.5}


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Generator[Json]:
    with running_lab(tmp_path_factory.mktemp("lab")) as facts:
        yield facts


def manifest() -> Json:
    labels = {"app": "chat"}
    container = {
        "name": "engine",
        "image": "midwatch/serving:0.1",
        "args": ["--served-model-name=chat", "--num-gpu-blocks-override=128"],
        "ports": [{"name": "http", "containerPort": 8000}],
        "readinessProbe": {"httpGet": {"path": "/health", "port": "http"}, "periodSeconds": 1},
    }
    pod = {"metadata": {"labels": labels}, "spec": {"containers": [container], "terminationGracePeriodSeconds": 1}}
    return {
        "metadata": {"name": "chat", "namespace": NAMESPACE},
        "spec": {"replicas": 2, "selector": {"matchLabels": labels}, "template": pod},
    }


@pytest.fixture(scope="module")
async def admin(lab: Json) -> AsyncGenerator[KubeClient]:
    opened = KubeClient(Path(lab["kubeconfig"]))
    await opened.create("/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
    await opened.create(DEPLOYMENTS, manifest())
    budget = {"maxUnavailable": 1, "selector": {"matchLabels": {"app": "chat"}}}
    path = f"/apis/policy/v1/namespaces/{NAMESPACE}/poddisruptionbudgets"
    await opened.create(path, {"metadata": {"name": "chat"}, "spec": budget})
    await settled(opened)
    yield opened
    await opened.aclose()


async def settled(client: KubeClient) -> None:
    """Wait until both replicas are ready and the budget allows one to go."""
    clock = WallClock()
    deadline = clock.now() + LIMIT_S
    while True:
        status = (await client.get(f"{DEPLOYMENTS}/chat")).get("status", {})
        budget = await client.get(f"/apis/policy/v1/namespaces/{NAMESPACE}/poddisruptionbudgets/chat")
        ready = status.get("readyReplicas") == 2 == status.get("replicas")
        if ready and budget.get("status", {}).get("disruptionsAllowed") == 1:
            return
        assert clock.now() < deadline, "the lab did not settle"
        await clock.sleep(0.2)


@pytest.fixture
async def applier(lab: Json, admin: KubeClient, tmp_path: Path) -> AsyncGenerator[Applier]:
    await settled(admin)
    client = KubeClient(Path(lab["midwatch_kubeconfig"]))
    made = Applier(client, tmp_path)
    yield made
    await made.envelope.aclose()
    await client.aclose()


async def writes(lab: Json) -> list[tuple[str, str]]:
    """Return (verb, path) of what Midwatch wrote, dry runs aside."""
    headers = {"Authorization": f"Bearer {lab['tokens']['admin']}"}
    async with httpx2.AsyncClient(base_url=lab["url"], headers=headers, trust_env=False) as http:
        found = (await http.get("/lab/audit")).json()
    return [(one["verb"], one["path"]) for one in found if one["principal"] == "midwatch" and not one["dry_run"]]


async def pods(client: KubeClient) -> list[Json]:
    found = (await client.list(PODS))["items"]
    return [pod for pod in found if not pod["metadata"].get("deletionTimestamp")]


def op(name: str, target: Json, **args: Any) -> Json:
    return {"op": name, "target": target, "args": args}


async def test_calls_of_a_replica_are_made_once_and_a_drain_is_taken_back(
    lab: Json, admin: KubeClient, applier: Applier
) -> None:
    name = (await pods(admin))[0]["metadata"]["name"]
    replica = {"serving": f"Pod/{NAMESPACE}/{name}"}
    drain = f"{PODS}/{name}:8000/proxy/admin/drain"
    seen = len(await writes(lab))
    change = await applier.applied([op("serving.drain", replica)], NEVER)
    assert change.state == "undone", change.note
    assert (await admin.get(drain))["draining"] is False
    assert len((await writes(lab))[seen:]) == 2
    change = await applier.applied([op("serving.reset_cache", replica)], THERE)
    assert change.state == "verified", change.note
    assert applier.envelope.answers(change.change_id)["op1"] == {"success": True}


async def test_a_command_runs_once_and_its_output_is_kept_without_secrets(
    lab: Json, admin: KubeClient, applier: Applier
) -> None:
    target = {"kind": "Pod", "namespace": NAMESPACE, "name": (await pods(admin))[0]["metadata"]["name"]}
    line = "echo one; echo two >&2; printf pass; echo word=hunter2hunter2"
    seen = len(await writes(lab))
    change = await applier.applied([op("exec", target, argv=["sh", "-c", line])], THERE)
    assert change.state == "verified", change.note
    answer = applier.envelope.answers(change.change_id)["op1"]
    assert answer == {"exit_code": 0, "stdout": "one\npassword=[redacted]\n", "stderr": "two\n", "truncated": False}
    assert len((await writes(lab))[seen:]) == 1
    change = await applier.applied([op("exec", target, argv=["sh", "-c", "exit 3"])], THERE)
    assert change.state == "stuck"
    assert "exit code 3" in change.note
    change = await applier.applied([op("exec", target, argv=["no-such-program"])], THERE)
    assert change.state == "stuck"
    assert "no-such-program" in change.note


async def test_a_restart_is_undone_by_the_template_before_it(admin: KubeClient, applier: Applier) -> None:
    before = (await admin.get(f"{DEPLOYMENTS}/chat"))["spec"]
    deployment = {"kind": "Deployment", "namespace": NAMESPACE, "name": "chat"}
    change = await applier.applied([op("rollout_restart", deployment)], NEVER)
    assert change.state == "undone", change.note
    assert (await admin.get(f"{DEPLOYMENTS}/chat"))["spec"] == before


async def test_a_drain_evicts_as_the_budget_allows_and_leaves_the_node_cordoned(
    lab: Json, admin: KubeClient, applier: Applier
) -> None:
    standing = await pods(admin)
    node = standing[0]["spec"]["nodeName"]
    going = {pod["metadata"]["name"] for pod in standing if pod["spec"]["nodeName"] == node}
    seen = len(await writes(lab))
    change = await applier.applied([op("drain", {"kind": "Node", "name": node})], THERE)
    assert change.state == "verified", change.note
    wrote = (await writes(lab))[seen:]
    assert {path.split("/")[-2] for _, path in wrote if path.endswith("/eviction")} == going
    # The lab stores an eviction in two writes: the condition that says why, and the deletion.
    assert len(wrote) == 1 + 2 * len(going)
    assert not going & {pod["metadata"]["name"] for pod in await pods(admin)}
    change = await applier.applied([op("uncordon", {"kind": "Node", "name": node})], THERE)
    assert change.state == "verified", change.note
