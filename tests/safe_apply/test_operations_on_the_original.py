"""The operations against the original API server; its own audit log is the witness of what was written."""

from collections.abc import AsyncGenerator, Generator
from pathlib import Path
from typing import Any

import pytest

from midwatch_mcp.errors import KubeError, ServersError
from midwatch_mcp.kubernetes.client import KubeClient
from midwatch_mcp.safe_apply.operations.presence import MARK
from safe_apply_applier import Applier
from safe_apply_original import Original, running

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.original]

Json = dict[str, Any]
NAMESPACE = "ops"
DEPLOYMENTS = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments"
PLACES = {
    "deployment": f"{DEPLOYMENTS}/chat",
    "budget": f"/apis/policy/v1/namespaces/{NAMESPACE}/poddisruptionbudgets/chat",
    "scaler": f"/apis/autoscaling/v2/namespaces/{NAMESPACE}/horizontalpodautoscalers/chat",
    "config": f"/api/v1/namespaces/{NAMESPACE}/configmaps/limits",
    "node": "/api/v1/nodes/n1",
    "made": f"/api/v1/namespaces/{NAMESPACE}/services/made",
}
GOOD = {"object": f"Deployment/{NAMESPACE}/chat", "cel": 'object.metadata.name != ""', "within_s": 5, "hold_s": 0}
BAD = GOOD | {"cel": "object.spec.replicas == 99.0", "within_s": 0.3}
DRAWN = ("uid", "resourceVersion", "generation", "creationTimestamp", "managedFields")


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def server(original_binaries: Path, tmp_path_factory: pytest.TempPathFactory) -> Generator[Original]:
    with running(original_binaries, tmp_path_factory.mktemp("original")) as started:
        yield started


def writes(server: Original) -> list[tuple[str, str]]:
    """Return (verb, path) of what was carried out for Midwatch, in order."""
    carried = [entry for entry in server.written() if entry["responseStatus"]["code"] < 300]
    return [(entry["verb"], entry["requestURI"].partition("?")[0]) for entry in carried]


def named(kind: str, name: str = "chat") -> Json:
    return {"kind": kind, "namespace": NAMESPACE, "name": name}


def op(name: str, target: Json, **args: Any) -> Json:
    return {"op": name, "target": target, "args": args}


@pytest.fixture(scope="module")
async def client(server: Original) -> AsyncGenerator[KubeClient]:
    opened = server.client()
    await opened.create("/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
    labels = {"app": "chat"}
    container = {"name": "engine", "image": "engine:1", "args": ["--seqs", "4"], "env": [{"name": "A", "value": "1"}]}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    spec: Json = {"replicas": 2, "selector": {"matchLabels": labels}, "template": template}
    bodies: dict[str, Json] = {
        "deployment": {"metadata": {"name": "chat"}, "spec": spec},
        "budget": {"metadata": {"name": "chat"}, "spec": {"minAvailable": 1, "selector": {"matchLabels": labels}}},
        "scaler": {
            "metadata": {"name": "chat"},
            "spec": {
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "chat"},
                "maxReplicas": 4,
            },
        },
        "config": {"metadata": {"name": "limits", "labels": labels}, "data": {"a": "1"}},
        "node": {"metadata": {"name": "n1"}},
    }
    for what, body in bodies.items():
        await opened.create(PLACES[what].rpartition("/")[0], body)
    yield opened
    await opened.aclose()


@pytest.fixture
async def applier(client: KubeClient, server: Original, tmp_path: Path) -> AsyncGenerator[Applier]:
    assert client is not None
    own = server.client("midwatch")
    made = Applier(own, tmp_path)
    yield made
    await made.envelope.aclose()
    await own.aclose()


async def everything(client: KubeClient) -> Json:
    """Return every object as it is, without what the server draws anew; None where there is none."""
    found: Json = {}
    for what, path in PLACES.items():
        try:
            value = await client.get(path)
        except KubeError as error:
            if not error.not_found:
                raise
            found[what] = None
            continue
        metadata = {key: part for key, part in value["metadata"].items() if key not in DRAWN}
        # What a plan created carries its mark, one that was deleted and that a later plan creates again too.
        if metadata.get("annotations", {}).pop(MARK, None) and not metadata["annotations"]:
            del metadata["annotations"]
        found[what] = {key: part for key, part in value.items() if key != "status"} | {"metadata": metadata}
    return found


PLAN = [
    op("set_env", named("Deployment"), container="engine", env={"A": None, "B": "2"}),
    op("create", named("Service", "made"), manifest={"spec": {"selector": {"app": "chat"}, "ports": [{"port": 80}]}}),
    op("delete", named("ConfigMap", "limits")),
    op("pdb", named("PodDisruptionBudget"), maxUnavailable="50%"),
    op("hpa_bounds", named("HorizontalPodAutoscaler"), min=2, max=8),
    op("cordon", {"kind": "Node", "name": "n1"}),
]
WRITES = ["patch", "create", "delete", "patch", "patch", "patch"]


async def test_six_operations_over_six_objects_are_undone_to_the_last_field(
    applier: Applier, client: KubeClient, server: Original
) -> None:
    before, seen = await everything(client), len(writes(server))
    proposal = await applier.propose(PLAN, BAD)
    assert len(writes(server)) == seen, "a proposal wrote something"
    assert (await applier.envelope.preview(proposal.plan.id)).preview_sha256 == proposal.preview_sha256
    change = await applier.carry(proposal)
    assert change.state == "undone", change.note
    assert await everything(client) == before
    back = ["patch", "patch", "patch", "create", "delete", "patch"]
    assert [verb for verb, _ in writes(server)[seen:]] == WRITES + back


async def test_they_are_verified_and_led_back_by_a_new_plan(
    applier: Applier, client: KubeClient, server: Original
) -> None:
    before, seen = await everything(client), len(writes(server))
    change = await applier.applied(PLAN, GOOD)
    assert change.state == "verified", change.note
    assert [verb for verb, _ in writes(server)[seen:]] == WRITES
    after = await everything(client)
    assert after["made"]["spec"]["clusterIP"].startswith("10.96.")
    assert after["config"] is None
    assert after["node"]["spec"]["unschedulable"] is True
    undo = await applier.envelope.draft_undo(change.change_id)
    assert [one.op for one in undo.plan.operations] == ["uncordon", "hpa_bounds", "pdb", "create", "delete", "set_env"]
    # Nothing reconciles here, so that the workload would never settle: what is looked at is what was applied.
    await applier.begin(undo)
    assert await everything(client) == before


@pytest.mark.parametrize(
    "draft",
    [
        op("set_image", named("Deployment"), images={"engine": "engine:2"}),
        op("set_args", named("Deployment"), container="engine", args={"--seqs": "8"}),
        op("set_resources", named("Deployment"), container="engine", limits={"memory": "1Gi"}),
        op("apply", named("Deployment"), manifest={"spec": {"minReadySeconds": 3}}),
        op("label", named("Deployment"), labels={"tier": "gold"}),
        op("annotate", named("Deployment"), annotations={"example.com/note": "x"}),
        op("rollout_restart", named("Deployment")),
        op("rollout_pause", named("Deployment")),
        op("scale", named("Deployment"), replicas=3),
        op(
            "patch",
            named("Deployment"),
            type="json",
            patch=[{"op": "add", "path": "/spec/minReadySeconds", "value": 2}],
        ),
    ],
    ids=lambda draft: draft["op"],
)
async def test_one_operation_is_one_write_there_and_one_back(
    applier: Applier, client: KubeClient, server: Original, draft: Json
) -> None:
    before, seen = await everything(client), len(writes(server))
    change = await applier.applied([draft], BAD)
    assert change.state == "undone", change.note
    assert await everything(client) == before
    assert writes(server)[seen:] == [("patch", PLACES["deployment"])] * 2


async def test_a_field_of_another_manager_is_a_refusal_that_names_it(applier: Applier, client: KubeClient) -> None:
    body = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "chat"},
        "spec": {"revisionHistoryLimit": 4},
    }
    await client.patch(
        PLACES["deployment"],
        body,
        content_type="application/apply-patch+yaml",
        query={"fieldManager": "gardener", "force": True},
    )
    draft = op("apply", named("Deployment"), manifest={"spec": {"revisionHistoryLimit": 2}})
    with pytest.raises(ServersError, match='conflict with "gardener"'):
        await applier.propose([draft], GOOD)


async def test_pods_of_a_node_are_evicted_once_each(applier: Applier, client: KubeClient, server: Original) -> None:
    owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "x", "uid": "x", "controller": True}
    for name in ("one", "two"):
        spec: Json = {"nodeName": "n1", "containers": [{"name": "c", "image": "i"}], "terminationGracePeriodSeconds": 0}
        metadata = {"name": name, "ownerReferences": [owner]}
        await client.create(f"/api/v1/namespaces/{NAMESPACE}/pods", {"metadata": metadata, "spec": spec})
    seen = len(writes(server))
    change = await applier.applied([op("drain", {"kind": "Node", "name": "n1"})], GOOD)
    assert change.state == "verified", change.note
    pods = f"/api/v1/namespaces/{NAMESPACE}/pods"
    evicted = [path for _, path in writes(server)[seen:] if path.endswith("/eviction")]
    assert evicted == [f"{pods}/one/eviction", f"{pods}/two/eviction"]
