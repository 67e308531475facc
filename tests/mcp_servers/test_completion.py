"""Completion: names from the cluster, the metrics API and the state folder; never an error."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace

import pytest
from mcp.types import Completion, PromptReference, ResourceTemplateReference

from midwatch_mcp import completion as completion_module
from midwatch_mcp.completion import MOST, Found, completed
from midwatch_mcp.kubernetes.connection import Bounds
from midwatch_mcp.servers import build_all
from midwatch_mcp.settings import ServerSettings
from midwatch_mcp.testing.caller import Caller, Era
from midwatch_mcp.testing.world import World

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A loaded machine may take its time; the limit has a test of its own."""
    monkeypatch.setattr(completion_module, "WAIT_S", 60.0)


OBJECT, TRIAGE, METRIC = (
    PromptReference(type="ref/prompt", name=name) for name in ("explain_object", "triage_incident", "explain_metric")
)


async def ask(
    settings: ServerSettings,
    ref: PromptReference | ResourceTemplateReference,
    argument: str,
    value: str = "",
    era: Era = "auto",
    **others: str,
) -> Completion:
    async with Caller(build_all(settings, allow_write=False), era).connect() as client:
        answer = await client.complete(ref, {"name": argument, "value": value}, context_arguments=others)
    return answer.completion


async def test_namespaces_kinds_names_services_and_metrics_are_completed(
    settings: ServerSettings, world: World, era: Era
) -> None:
    world.cluster.put({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "web"}})
    world.metrics.metadata |= {"vllm:num_requests_waiting": {}, "up": {}}
    assert (await ask(settings, OBJECT, "namespace", era=era)).values == ["kube-system", "web"]
    assert (await ask(settings, OBJECT, "kind", "depl", era)).values == ["Deployment"]
    pods = await ask(settings, OBJECT, "name", "chat-new-", era, kind="Pod", namespace="llm")
    assert (pods.values, pods.total, pods.has_more) == (["chat-new-a", "chat-new-b", "chat-new-c"], 3, False)
    assert (await ask(settings, TRIAGE, "service", era=era, namespace="llm")).values == ["chat"]
    assert (await ask(settings, METRIC, "metric", "waiting", era)).values == ["vllm:num_requests_waiting"]


async def test_of_a_secret_nothing_but_its_name_is_asked_for_or_told(settings: ServerSettings, world: World) -> None:
    world.cluster.put(
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "creds", "namespace": "llm"}, "data": {"a": "Yg=="}}
    )
    found = await ask(settings, OBJECT, "name", kind="Secret", namespace="llm")
    assert found.values == ["creds"]
    (seen,) = [request for request in world.seen if request.path.endswith("/secrets")]
    assert seen.query["includeObject"] == "None"


async def test_the_bounds_of_the_server_bind_its_completion(settings: ServerSettings, world: World) -> None:
    bound = replace(settings, bounds=Bounds(namespaces=frozenset({"llm"}), user="ada"))
    assert (await ask(bound, OBJECT, "namespace")).values == ["llm"]
    assert (await ask(bound, OBJECT, "name", kind="Pod", namespace="kube-system")).values == []
    assert (await ask(bound, OBJECT, "name", kind="Pod", namespace="llm")).values
    assert all(request.headers.get("impersonate-user") == "ada" for request in world.seen)


async def test_ids_of_guides_runs_and_evidence_are_completed(settings: ServerSettings, era: Era) -> None:
    (settings.state / "runs" / "run-20260101-000000000-abcd").mkdir(parents=True)
    evidence = (await Caller(build_all(settings, allow_write=False), era).result("kube_resources"))["evidence"]["id"]
    found = {
        what: (
            await ask(
                settings, ResourceTemplateReference(type="ref/resource", uri=f"midwatch://{what}/{{id}}"), "id", era=era
            )
        ).values
        for what in ("guides", "runs", "evidence", "nothing")
    }
    assert "ttft-slo-burn" in found["guides"]
    assert found["runs"] == ["run-20260101-000000000-abcd"]
    assert found["evidence"] == [evidence]
    assert found["nothing"] == []


@pytest.mark.parametrize(
    ("argument", "others"),
    [("name", {}), ("name", {"kind": "Nonsense"}), ("name", {"kind": "Pod", "namespace": "../x"}), ("else", {})],
)
async def test_what_cannot_be_completed_is_empty(
    argument: str, others: dict[str, str], settings: ServerSettings, era: Era
) -> None:
    async with Caller(build_all(settings, allow_write=False), era).connect() as client:
        answer = await client.complete(OBJECT, {"name": argument, "value": ""}, context_arguments=others)
    assert answer.completion.values == []


async def test_a_cluster_that_does_not_answer_completes_nothing(settings: ServerSettings, world: World) -> None:
    world.cluster.broken = 500
    assert (await ask(settings, OBJECT, "namespace")).values == []
    gone = replace(settings, kubeconfig=settings.state / "none", prometheus="http://127.0.0.1:1")
    assert (await ask(gone, OBJECT, "kind")).values == []
    assert (await ask(gone, METRIC, "metric")).values == []


async def test_a_slow_answer_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(completion_module, "WAIT_S", 0.01)
    ended = asyncio.Event()

    async def slow(_others: Mapping[str, str]) -> Found:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return Found(["a"])

    assert (await completed(slow, "", {})).values == []
    assert ended.is_set()


async def test_no_more_than_a_hundred_are_told_with_how_many_there_are() -> None:
    async def many(_others: Mapping[str, str]) -> Found:
        return Found([f"a-b{number:03}" for number in range(120)] + ["b-first"])

    found = await completed(many, "b", {})
    assert (len(found.values), found.total, found.has_more) == (MOST, 121, True)
    assert found.values[0] == "b-first"
    assert (await completed(many, "x" * 10_000, {})).values == []


async def test_of_several_clusters_the_one_that_is_named_is_asked(settings: ServerSettings) -> None:
    several = replace(settings, context="double", contexts=("double", "nowhere"))
    assert (await ask(several, OBJECT, "context")).values == ["double", "nowhere"]
    assert (await ask(several, OBJECT, "namespace")).values == ["kube-system"]
    assert (await ask(several, OBJECT, "namespace", context="nowhere")).values == []
