"""The tools against a real lab: a Kubernetes API, pods that are serving processes, and metrics scraped from them."""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from midwatch_contracts.command import Settings
from midwatch_mcp.kubernetes.client import KubeClient
from midwatch_mcp.settings import ServerSettings
from midwatch_mcp.testing.caller import ERAS, Caller
from safe_apply_lab import running_lab

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
NAMESPACE, NAME, REPLICAS = "tools", "parrot", 2
WHO = {"namespace": NAMESPACE, "service": NAME}
LABELS = {"app": NAME}
STARTED_S = 60.0

Lab = dict[str, Any]


def container(blocks: int) -> dict[str, Any]:
    return {
        "name": "engine",
        "image": "midwatch/serving:0.1",
        "args": [f"--served-model-name={NAME}", "--max-num-seqs", "4", f"--num-gpu-blocks-override={blocks}"],
        "ports": [{"name": "http", "containerPort": 8000}],
        "readinessProbe": {"httpGet": {"path": "/health", "port": "http"}, "periodSeconds": 1},
    }


def manifests() -> list[tuple[str, dict[str, Any]]]:
    metadata = {"name": NAME, "namespace": NAMESPACE}
    pod = {"metadata": {"labels": LABELS}, "spec": {"containers": [container(128)], "terminationGracePeriodSeconds": 2}}
    spec = {"replicas": REPLICAS, "selector": {"matchLabels": LABELS}, "template": pod}
    ports = [{"name": "http", "port": 8000, "targetPort": "http"}]
    return [
        ("/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}),
        (
            f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments",
            {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec},
        ),
        (
            f"/api/v1/namespaces/{NAMESPACE}/services",
            {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": {"selector": LABELS, "ports": ports}},
        ),
    ]


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Generator[Lab]:
    with running_lab(tmp_path_factory.mktemp("lab")) as facts:
        yield facts


@pytest.fixture(scope="module")
async def platform(lab: Lab) -> AsyncGenerator[Lab]:
    """The lab with two replicas that are ready and scraped."""
    admin = KubeClient(Path(lab["kubeconfig"]))
    for path, manifest in manifests():
        await admin.create(path, manifest)

    async def ready() -> bool:
        found = await admin.get(f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/{NAME}")
        return found.get("status", {}).get("readyReplicas") == REPLICAS

    await until(ready)
    yield lab
    await admin.aclose()


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    deadline = time.monotonic() + STARTED_S
    while not await holds():
        assert time.monotonic() < deadline, f"{holds} did not come true"
        await asyncio.sleep(0.2)


@pytest.fixture
def settings(platform: Lab, tmp_path: Path) -> ServerSettings:
    return ServerSettings.from_settings(Settings(state=tmp_path, lab=Path(platform["dir"])))


async def writes_by_midwatch(lab: Lab) -> list[dict[str, Any]]:
    headers = {"Authorization": f"Bearer {lab['tokens']['admin']}"}
    async with httpx2.AsyncClient(base_url=lab["url"], headers=headers, trust_env=False) as http:
        audit = (await http.get("/lab/audit")).json()
    return [entry for entry in audit if entry["principal"] == "midwatch" and not entry["dry_run"]]


@pytest.mark.parametrize("era", ERAS)
async def test_what_the_cluster_tools_say_of_a_healthy_platform(settings: ServerSettings, era: Any) -> None:
    kube = Caller.of("kubernetes", settings, era)
    pods = await kube.data("kube_list", kind="pods", namespace=NAMESPACE)
    assert (pods["total"], pods["states"]) == (REPLICAS, {"Running": REPLICAS})
    described = await kube.data("kube_describe", kind="Deployment", name=NAME, namespace=NAMESPACE)
    assert [child["state"] for child in described["children"]] == [f"{REPLICAS}/{REPLICAS} ready"]
    topology = await kube.data("kube_topology", **WHO)
    assert topology["workloads"] == [f"Deployment/{NAMESPACE}/{NAME}"]
    assert (topology["ready"], topology["total"], topology["broken"]) == (REPLICAS, REPLICAS, [])
    events = await kube.data("kube_events", namespace=NAMESPACE, kind="Deployment", name=NAME)
    assert "ScalingReplicaSet" in {event["reason"] for event in events["events"]}
    logs = await kube.data("kube_logs", pod=topology["pods"][0]["pod"], namespace=NAMESPACE, tail=5)
    assert logs["read"] > 0
    kinds = {entry["kind"] for entry in (await kube.data("kube_resources"))["resources"]}
    assert {"Pod", "Deployment", "Service", "Event"} <= kinds
    access = await kube.data("kube_access", verb="patch", kind="Deployment", namespace=NAMESPACE, who_can=True)
    assert "Group/system:masters" in {entry["subject"] for entry in access["who"]}

    async def measured() -> bool:
        return (await kube.data("kube_top", namespace=NAMESPACE))["unmeasured"] == 0

    await until(measured)
    top = await kube.data("kube_top", namespace=NAMESPACE, sort_by="memory")
    assert {row["name"] for row in top["rows"]} == {pod["pod"] for pod in topology["pods"]}
    assert all(row["memory_bytes"]["used"] > 2**20 for row in top["rows"])
    (node, *_) = (await kube.data("kube_top", what="nodes"))["rows"]
    assert 0 < node["memory_bytes"]["share"] < 1


@pytest.mark.parametrize("era", ERAS)
async def test_what_the_serving_tools_say_of_replicas_behind_the_service(settings: ServerSettings, era: Any) -> None:
    serving = Caller.of("serving", settings, era)
    status = await serving.data("serving_status", **WHO)
    assert (status["reachable"], status["total"]) == (REPLICAS, REPLICAS)
    for replica in status["replicas"]:
        assert (replica["model"], replica["num_gpu_blocks"], replica["max_num_seqs"]) == (NAME, 128, 4)
        assert replica["missing"] == []
    config = await serving.data("serving_config", **WHO)
    assert config["differs"] == []
    assert config["drift"] == []
    assert config["replicas"][0]["etag"] == '"1"'
    assert (await serving.data("serving_models", **WHO))["everywhere"] == [NAME]
    probe = await serving.data("serving_probe", **WHO)
    assert (probe["ok"], probe["error"]) == (True, None)
    assert 0 < probe["ttft_s"] <= probe["total_s"]
    requests = await serving.data("serving_requests", **WHO)
    assert (requests["total"], requests["silent"]) == (0, [])
    predicted = await serving.data(
        "serving_what_if", **WHO, load={"rate": 2, "prompt_tokens": 32, "output_tokens": 8}, config={"max_num_seqs": 2}
    )
    assert predicted["asked"] in {replica["pod"] for replica in status["replicas"]}
    assert predicted["current"]["config"]["max_num_seqs"] == 4


@pytest.mark.parametrize("era", ERAS)
async def test_what_the_metrics_tools_say_of_what_is_scraped(settings: ServerSettings, era: Any) -> None:
    metrics = Caller.of("metrics", settings, era)

    async def scraped() -> bool:
        found = await metrics.data("metrics_targets", **WHO)
        return found["up"] == REPLICAS

    await until(scraped)
    up = await metrics.data("metrics_query", query=f'sum(up{{service="{NAME}"}})')
    assert [entry["value"] for entry in up["series"]] == [REPLICAS]
    course = await metrics.data("metrics_range", query=f'vllm:num_requests_running{{service="{NAME}"}}', duration="5s")
    assert len(course["series"]) == REPLICAS
    assert all(entry["last"] is not None for entry in course["series"])
    names = {entry["name"] for entry in (await metrics.data("metrics_search", text="requests waiting"))["metrics"]}
    assert "vllm:num_requests_waiting" in names
    assert isinstance((await metrics.data("metrics_alerts"))["alerts"], list)


async def test_a_rollout_shows_the_flag_that_was_changed_and_a_scaling_its_numbers(
    settings: ServerSettings, platform: Lab
) -> None:
    kube = Caller.of("kubernetes", settings)
    admin = KubeClient(Path(platform["kubeconfig"]))
    path = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/{NAME}"
    await admin.patch(path, {"spec": {"template": {"spec": {"containers": [container(32)]}}}})

    async def complete() -> bool:
        return (await kube.data("kube_rollout", name=NAME, namespace=NAMESPACE))["complete"]

    await until(complete)
    found = await kube.data("kube_rollout", name=NAME, namespace=NAMESPACE)
    assert found["changed"] == [
        {"container": "engine", "flag": "--num-gpu-blocks-override", "before": "128", "after": "32"}
    ]
    assert 0 <= found["changed_age_s"] < STARTED_S
    assert found["revisions"][0]["flags"]["engine"]["--max-num-seqs"] == "4"
    await admin.patch(path, {"spec": {"replicas": 1}})
    await until(complete)
    scaled = (await kube.data("kube_rollout", name=NAME, namespace=NAMESPACE))["scaled"]
    assert (scaled[0]["from"], scaled[0]["to"]) == (REPLICAS, 1)
    await admin.aclose()


async def test_the_lab_s_audit_shows_no_write_but_probes_and_what_ifs(settings: ServerSettings, platform: Lab) -> None:
    await Caller.of("serving", settings).result("serving_probe", **WHO)
    paths = [entry["path"] for entry in await writes_by_midwatch(platform)]
    assert paths
    assert all(path.endswith(("/proxy/v1/chat/completions", "/proxy/admin/what-if")) for path in paths), paths
