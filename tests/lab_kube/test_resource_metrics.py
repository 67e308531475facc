"""`metrics.k8s.io`: what the kubelet measures, and how it is asked for."""

import asyncio
import sys
from collections.abc import AsyncGenerator, Iterator
from typing import Any

import httpx2
import pytest

from midwatch_contracts.clock import VirtualClock, WallClock
from midwatch_lab.api.server import ApiServer
from midwatch_lab.api.users import fresh_users
from midwatch_lab.kinds.resources import DEPLOYMENTS, PODS
from midwatch_lab.kubelet import usage as usage_of
from midwatch_lab.kubelet.container import Container
from midwatch_lab.kubelet.usage import Meter, Reading, read_groups
from midwatch_lab.objects import name_of, uid_of
from midwatch_lab.plane import ControlPlane
from midwatch_lab.store.audit import Origin
from midwatch_lab.usage import PodUsage, Usage, UsageBoard

from .conftest import NoLogs

TESTER = Origin("tester", "create", "/test", manager="tester")
ROOT = "/apis/metrics.k8s.io/v1beta1"
pytestmark = pytest.mark.anyio


@pytest.fixture
async def measured(with_node: ControlPlane, chat: dict[str, Any]) -> AsyncGenerator[httpx2.AsyncClient]:
    """A client of a plane on which three pods run, two of them measured: 250 m and 1.5 GiB, 500 m and 2 MiB."""
    users, tokens = fresh_users()
    board = with_node.usage
    transport = httpx2.ASGITransport(ApiServer(with_node.registry, with_node.clock, users, NoLogs(), usage=board))
    headers = {"Authorization": f"Bearer {tokens['admin']}"}
    async with with_node.running():
        with_node.registry.create(DEPLOYMENTS, "llm", chat, TESTER)
        await with_node.settle()
        pods = with_node.store.items(PODS.key, "llm")
        for pod, used in zip(pods, (Usage(0.25, 3 * 2**29), Usage(0.5, 2**21)), strict=False):
            origin = Origin("n", "patch", "/x", subresource="status")
            with_node.registry.modify(PODS, "llm", name_of(pod), run, origin)
            board.report(uid_of(pod), PodUsage(with_node.clock.now(), 5.0, {"engine": used}))
        async with httpx2.AsyncClient(transport=transport, base_url="http://lab", headers=headers) as http:
            yield http


def run(pod: dict[str, Any]) -> None:
    pod["status"]["phase"] = "Running"


async def test_pods_that_are_measured_are_listed_with_their_containers(
    measured: httpx2.AsyncClient, with_node: ControlPlane
) -> None:
    body = (await measured.get(f"{ROOT}/namespaces/llm/pods")).json()
    assert (body["kind"], body["apiVersion"]) == ("PodMetricsList", "metrics.k8s.io/v1beta1")
    first, second = body["items"]
    assert first["containers"] == [{"name": "engine", "usage": {"cpu": "250m", "memory": "1536Mi"}}]
    assert second["containers"][0]["usage"] == {"cpu": "500m", "memory": "2Mi"}
    assert (first["window"], first["timestamp"]) == ("5s", with_node.registry.now_text())
    assert first["metadata"]["labels"]["app.kubernetes.io/name"] == "chat"
    everywhere = (await measured.get(f"{ROOT}/pods")).json()
    assert everywhere["items"] == body["items"]


async def test_a_node_uses_what_its_pods_use(measured: httpx2.AsyncClient) -> None:
    (node,) = (await measured.get(f"{ROOT}/nodes")).json()["items"]
    assert node["usage"] == {"cpu": "750m", "memory": "1538Mi"}
    assert (await measured.get(f"{ROOT}/nodes/n1")).json()["usage"] == node["usage"]


async def test_metrics_are_selected_by_label_and_by_name(measured: httpx2.AsyncClient) -> None:
    async def names(**query: str) -> list[str]:
        body = (await measured.get(f"{ROOT}/namespaces/llm/pods", params=query)).json()
        return [item["metadata"]["name"] for item in body["items"]]

    both = await names()
    assert await names(labelSelector="app.kubernetes.io/name=chat") == both
    assert await names(labelSelector="app.kubernetes.io/name=other") == []
    assert await names(fieldSelector=f"metadata.name={both[0]}") == both[:1]
    refused = await measured.get(f"{ROOT}/namespaces/llm/pods", params={"labelSelector": "a=b=c"})
    assert refused.status_code == 400


async def test_what_is_not_there_and_what_is_not_measured_yet_is_not_found(
    measured: httpx2.AsyncClient, with_node: ControlPlane
) -> None:
    third = name_of(with_node.store.items(PODS.key, "llm")[2])
    unmeasured = await measured.get(f"{ROOT}/namespaces/llm/pods/{third}")
    assert unmeasured.status_code == 404
    assert unmeasured.json()["message"] == f'podmetrics.metrics.k8s.io "llm/{third}" not found'
    assert (await measured.get(f"{ROOT}/namespaces/llm/pods/x")).json()["message"] == 'pods "x" not found'
    assert (await measured.get(f"{ROOT}/nodes/x")).json()["message"] == 'nodes "x" not found'
    for method in ("POST", "DELETE"):
        assert (await measured.request(method, f"{ROOT}/namespaces/llm/pods")).status_code == 405
    assert (await measured.get(f"{ROOT}/nodes", params={"watch": "1"})).status_code == 405


async def test_metrics_come_as_a_table_and_as_protobuf(measured: httpx2.AsyncClient) -> None:
    table = "application/json;as=Table;v=v1;g=meta.k8s.io"
    body = (await measured.get(f"{ROOT}/namespaces/llm/pods", headers={"accept": table})).json()
    assert [column["name"] for column in body["columnDefinitions"]] == ["Name", "cpu", "memory", "Window"]
    assert [row["cells"][1:] for row in body["rows"]] == [["250m", "1536Mi", "5s"], ["500m", "2Mi", "5s"]]
    answer = await measured.get(f"{ROOT}/nodes", headers={"accept": "application/vnd.kubernetes.protobuf"})
    assert answer.content.startswith(b"k8s\0")
    assert b"750m" in answer.content


async def test_discovery_and_openapi_know_metrics_only_where_something_is_measured(
    measured: httpx2.AsyncClient, clock: VirtualClock
) -> None:
    groups = (await measured.get("/apis")).json()["groups"]
    assert groups[-1]["name"] == "metrics.k8s.io"
    listed = (await measured.get(ROOT)).json()["resources"]
    assert [(item["name"], item["kind"], item["verbs"]) for item in listed] == [
        ("nodes", "NodeMetrics", ["get", "list"]),
        ("pods", "PodMetrics", ["get", "list"]),
    ]
    accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    aggregated = (await measured.get("/apis", headers={"accept": accept})).json()["items"]
    assert aggregated[-1]["metadata"]["name"] == "metrics.k8s.io"
    schemas = (await measured.get(f"/openapi/v3{ROOT}")).json()["components"]["schemas"]
    assert "containers" in schemas["io.k8s.metrics.pkg.apis.metrics.v1beta1.PodMetrics"]["properties"]
    users, tokens = fresh_users()
    bare = httpx2.ASGITransport(ApiServer(ControlPlane(clock).registry, clock, users, NoLogs()))
    headers = {"Authorization": f"Bearer {tokens['admin']}"}
    async with httpx2.AsyncClient(transport=bare, base_url="http://lab", headers=headers) as http:
        assert (await http.get(f"{ROOT}/nodes")).status_code == 404


class Contained(Container):
    """A container of a known process."""

    def __init__(self, name: str, process: int | None) -> None:
        self.name, self.process = name, process

    @property
    def process_id(self) -> int | None:
        return self.process


@pytest.fixture
def readings(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[int, Reading]]:
    found: dict[int, Reading] = {}
    monkeypatch.setattr(usage_of, "read_groups", lambda: found)
    return iter([found])


async def test_the_meter_takes_the_time_between_two_readings_and_begins_anew_with_each_process(
    readings: Iterator[dict[int, Reading]], clock: VirtualClock
) -> None:
    found = next(readings)
    board = UsageBoard()
    meter = Meter(board, clock)
    pod = {"metadata": {"uid": "u"}}

    def measure(process: int) -> Usage:
        meter.measure([("u", [Contained("engine", process), Contained("ended", None)])])
        report = board.of(pod)
        assert report is not None
        assert list(report.containers) == ["engine"]
        return report.containers["engine"]

    found[7] = Reading(2.0, 4096, 10.0)
    assert measure(7) == Usage(0.2, 4096), "over its whole life until now"
    await clock.advance(5.0)
    found[7] = Reading(4.5, 8192, 15.0)
    assert measure(7) == Usage(0.5, 8192)
    await clock.advance(5.0)
    found[8] = Reading(1.0, 1024, 4.0)
    assert measure(8) == Usage(0.25, 1024)
    board.forget("u")
    found[9] = Reading(0.5, 1024, 0.5)
    meter.measure([("u", [Contained("engine", 9)])])
    assert board.of(pod) is None, "half a second says nothing"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the meter reads Linux's /proc")
async def test_the_readings_of_a_process_group_hold_what_its_processes_did() -> None:
    work = "import os\nfor _ in range(30_000_000): pass\nprint(flush=True)\nos.read(0, 1)"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", work, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, process_group=0
    )
    try:
        assert process.stdout is not None
        await process.stdout.readline()
        reading = read_groups()[process.pid]
        began = WallClock().now() - reading.age_s
        assert 0.05 < reading.cpu_s <= reading.age_s * 1.5 + 0.1
        assert 2**20 < reading.memory < 2**30
        assert began < WallClock().now()
    finally:
        process.kill()
        await process.communicate()
