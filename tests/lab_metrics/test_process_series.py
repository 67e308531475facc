"""Series of processes, of the machine and of the API server: the originals' names and labels, and measured values."""

import json
import sys
from pathlib import Path
from typing import Any

import httpx2
import pytest

from midwatch_contracts.clock import VirtualClock
from midwatch_lab.access.attributes import Attributes
from midwatch_lab.access.user import User
from midwatch_lab.api.requests import Kind, RequestCounts
from midwatch_lab.api.server import ApiServer
from midwatch_lab.api.users import bind_users, fresh_users
from midwatch_lab.exporters.apiserver import ApiServerMetrics
from midwatch_lab.exporters.cadvisor import Cadvisor
from midwatch_lab.exporters.kubelet import KubeletMetrics
from midwatch_lab.exporters.machine.exporter import NODE_FAMILIES, Machine, read_machine
from midwatch_lab.kubelet.load import NodeLoad
from midwatch_lab.kubelet.logs import ContainerLog
from midwatch_lab.kubelet.usage import Reading, held
from midwatch_lab.metrics.gauges import Group
from midwatch_lab.plane import ControlPlane
from midwatch_lab.usage import Held, PodUsage, Usage, UsageBoard

pytestmark = pytest.mark.anyio
ORIGINAL = json.loads((Path(__file__).parent / "state" / "node_exporter.json").read_text("utf-8"))["families"]
HELD = Held(100.0, 3.0, 1.0, 1000, 700, 300, 50, 10, 20, 2, 5)
LIMITS = {"requests": {"cpu": "250m"}, "limits": {"cpu": "1500m", "memory": "2Gi"}}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def pod(uid: str, node: str = "one") -> dict[str, Any]:
    statuses = [{"name": "a", "containerID": "lab://abc"}, {"name": "b", "containerID": "lab://def"}]
    containers = [{"name": "a", "image": "chat:1", "resources": LIMITS}, {"name": "b", "image": "proxy:1"}]
    return {
        "metadata": {"name": f"pod-{uid}", "namespace": "llm", "uid": uid},
        "spec": {"nodeName": node, "containers": containers},
        "status": {"qosClass": "Burstable", "containerStatuses": statuses},
    }


def gauges(groups: list[Group], name: str) -> list[tuple[dict[str, str], float]]:
    return [(labels, value) for g in groups for found, labels, value in g.read(g.state) if found == name]


def node_with(usage: PodUsage) -> tuple[UsageBoard, Cadvisor]:
    board = UsageBoard()
    board.report("u", usage)
    return board, Cadvisor("one", "10.0.0.1", board, lambda: [pod("u"), pod("elsewhere", "two")])


def test_a_container_has_the_labels_and_units_of_cadvisor_and_its_pod_the_sum() -> None:
    used = {"a": Usage(0.5, 1000), "b": Usage(0.1, 500)}
    _, node = node_with(PodUsage(1000.0, 5.0, used, {"a": HELD, "b": HELD}))
    place = "/kubepods/burstable/podu"
    own = {"namespace": "llm", "pod": "pod-u"}
    assert gauges(node.groups(), "container_cpu_usage_seconds_total") == [
        ({**own, "container": "a", "image": "chat:1", "name": "abc", "id": f"{place}/abc", "cpu": "total"}, 4.0),
        ({**own, "container": "b", "image": "proxy:1", "name": "def", "id": f"{place}/def", "cpu": "total"}, 4.0),
        ({**own, "id": place, "cpu": "total"}, 8.0),
    ]
    values = {name: [v for _, v in gauges(node.groups(), f"container_{name}")] for name in EXPECTED}
    assert values == EXPECTED


EXPECTED = {
    "memory_working_set_bytes": [1000, 500, 1500],
    "memory_usage_bytes": [1000, 500, 1500],
    "memory_rss": [700, 700, 1400],
    "memory_mapped_file": [300, 300, 600],
    "memory_swap": [50, 50, 100],
    "cpu_user_seconds_total": [3, 3, 6],
    "cpu_system_seconds_total": [1, 1, 2],
    "fs_reads_bytes_total": [10, 10, 20],
    "fs_writes_bytes_total": [20, 20, 40],
    "processes": [2, 2, 4],
    "threads": [5, 5, 10],
    "start_time_seconds": [100, 100, 100],
    "last_seen": [1000, 1000, 1000],
    "spec_cpu_quota": [150_000],
    "spec_cpu_period": [100_000, 100_000],
    "spec_cpu_shares": [256, 2],
    "spec_memory_limit_bytes": [2**31, 0],
}


def test_who_reports_memory_alone_gets_no_invented_cpu_time() -> None:
    _, node = node_with(PodUsage(1000.0, 5.0, {"a": Usage(0.5, 1000)}))
    assert [v for _, v in gauges(node.groups(), "container_memory_working_set_bytes")] == [1000, 1000]
    for name in ("container_cpu_usage_seconds_total", "container_memory_rss", "container_start_time_seconds"):
        assert gauges(node.groups(), name) == []


def test_a_pod_is_read_again_only_once_there_is_a_new_report_on_it() -> None:
    board, node = node_with(PodUsage(1000.0, 5.0, {"a": Usage(0.5, 1000)}, {"a": HELD}))

    def state() -> object:
        return next(group.state for group in node.groups() if group.measured)

    before = state()
    board.report("other", PodUsage(1001.0, 5.0, {}))
    assert state() is before
    board.report("u", PodUsage(1005.0, 5.0, {"a": Usage(0.5, 1000)}, {"a": HELD}))
    assert state() is not before
    board.forget("u")
    assert [group.place for group in node.groups()] == ["machine"]


def test_what_processes_hold_is_summed_from_their_pages(tmp_path: Path) -> None:
    for number in (7, 8):
        page = tmp_path / str(number)
        page.mkdir()
        (page / "status").write_text("Name:\tx\nVmSwap:\t 4 kB\nRssAnon:\t 10 kB\nRssFile:\t 20 kB\nRssShmem:\t 1 kB\n")
        (page / "io").write_text("rchar: 9\nread_bytes: 4096\nwrite_bytes: 8192\n")
    reading = Reading(5.0, 99, 30.0, 2.0, 6, (7, 8, 9))
    assert held(reading, 1000.0, tmp_path) == Held(
        started=970.0, user_s=3.0, system_s=2.0, resident=99, anonymous=20 * 1024, mapped=42 * 1024, swapped=8 * 1024,
        read=8192, written=16384, processes=3, threads=6,
    )  # fmt: skip


def test_a_kubelet_tells_its_node_what_runs_and_of_which_version_it_is() -> None:
    loads = [NodeLoad("one", 2, (("running", 3), ("exited", 1)))]
    kubelet = KubeletMetrics("one", "10.0.0.1", lambda _node: loads[-1])
    first = kubelet.groups()[0]
    assert gauges([first], "kubelet_running_pods") == [({}, 2.0)]
    assert gauges([first], "kubelet_running_containers") == [
        ({"container_state": "running"}, 3.0),
        ({"container_state": "exited"}, 1.0),
    ]
    assert gauges([first], "kubelet_node_name") == [({"node": "one"}, 1.0)]
    assert gauges([first], "kubernetes_build_info")[0][0]["git_version"].startswith("v1.")
    loads.append(NodeLoad("one", 2, (("running", 3), ("exited", 1))))
    assert kubelet.groups()[0].state is first.state
    loads.append(NodeLoad("one", 1, (("running", 1), ("exited", 1))))
    assert kubelet.groups()[0].state is not first.state


def test_the_machines_families_have_the_types_and_labels_of_node_exporter() -> None:
    ours = {family.name: (family.type, sorted(family.labels)) for family in NODE_FAMILIES}
    optional = {"node_filesystem_": ["device_error"]}
    for name, (kind, labels) in ours.items():
        expected, theirs = ORIGINAL[name]
        left = [label for prefix, more in optional.items() if name.startswith(prefix) for label in more]
        assert kind == {"untyped": "unknown"}.get(expected, expected), name
        assert set(theirs) - set(left) <= set(labels), name
    assert ours.keys() == ORIGINAL.keys()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the machine is read from Linux's /proc")
def test_the_machine_is_read_from_its_own_pages() -> None:
    found: dict[str, list[float]] = {}
    for name, _, value in read_machine(Path("/proc")):
        found.setdefault(name, []).append(value)
    assert 0 < found["node_memory_MemAvailable_bytes"][0] <= found["node_memory_MemTotal_bytes"][0]
    assert len(found["node_cpu_seconds_total"]) % 8 == 0
    assert found["node_uname_info"] == [1.0]


async def test_the_machine_is_read_every_five_seconds_and_not_at_all_without_proc(tmp_path: Path) -> None:
    clock = VirtualClock(1000.0)
    machine = Machine(clock, tmp_path)
    first = machine.groups()[0].state
    await clock.advance(4.0)
    assert machine.groups()[0].state is first
    await clock.advance(1.0)
    assert machine.groups()[0].state is not first
    assert list(read_machine(tmp_path)) == [], "pages that are not there"
    assert Machine(clock, tmp_path / "nowhere").groups() == []


@pytest.mark.parametrize(
    ("wanted", "media", "kind"),
    [
        ({"verb": "list"}, "", ("LIST", "cluster")),
        ({"verb": "list", "namespace": "llm"}, "", ("LIST", "namespace")),
        ({"verb": "get", "namespace": "llm", "name": "a"}, "", ("GET", "resource")),
        ({"verb": "create", "namespace": "llm"}, "application/json", ("POST", "resource")),
        ({"verb": "update", "name": "a"}, "application/json", ("PUT", "resource")),
        ({"verb": "patch", "name": "a"}, "application/merge-patch+json", ("PATCH", "resource")),
        ({"verb": "patch", "name": "a"}, "application/apply-patch+yaml", ("APPLY", "resource")),
        ({"verb": "deletecollection", "namespace": "llm"}, "", ("DELETECOLLECTION", "namespace")),
        ({"verb": "watch"}, "", ("WATCH", "cluster")),
        ({"verb": "get", "name": "a", "subresource": "exec"}, "", ("CONNECT", "resource")),
    ],
)
def test_requests_are_counted_by_the_originals_verbs_and_scopes(
    wanted: dict[str, Any], media: str, kind: tuple[str, str]
) -> None:
    found = Kind.of(Attributes(User("u"), resource="pods", version="v1", **wanted), media)
    assert (found.verb, found.scope) == kind


def test_durations_are_counted_in_the_originals_buckets_but_not_those_of_watches() -> None:
    counts = RequestCounts()
    kind = Kind("GET", "", "v1", "pods", "", "resource")
    for seconds in (0.01, 0.05, 0.3, 70.0):
        counts.count(kind, 200, "", seconds)
    counts.count(kind._replace(verb="WATCH"), 200, "", 3600.0)
    groups = ApiServerMetrics(counts).groups()
    name = "apiserver_request_sli_duration_seconds"
    buckets = {labels["le"]: value for labels, value in gauges(groups, f"{name}_bucket")}
    assert (buckets["0.05"], buckets["0.2"], buckets["0.4"], buckets["60.0"], buckets["+Inf"]) == (2, 2, 3, 3, 4)
    assert [value for _, value in gauges(groups, f"{name}_count")] == [4]
    assert sum(value for _, value in gauges(groups, "apiserver_request_total")) == 5


class NoLogs:
    def log_of(self, uid: str, container: str, *, previous: bool) -> ContainerLog | None:  # noqa: ARG002 (a protocol)
        return None


async def test_the_api_server_counts_what_it_answers_about_resources_that_there_are() -> None:
    plane = ControlPlane(VirtualClock(1000.0))
    users, tokens = fresh_users()
    bind_users(plane.registry)
    api = ApiServer(plane.registry, plane.clock, users, NoLogs())
    async with httpx2.AsyncClient(
        transport=httpx2.ASGITransport(app=api),
        base_url="http://lab",
        headers={"Authorization": f"Bearer {tokens['admin']}"},
    ) as client:
        await client.get("/api/v1/pods")
        await client.get("/api/v1/namespaces/default/pods/none")
        body = {"metadata": {"name": "a"}}
        await client.post("/api/v1/namespaces/default/configmaps", json=body, params={"dryRun": "All"})
        await client.get("/apis/example.com/v1/nothings")
        await client.get("/version")
    groups = ApiServerMetrics(api.requests).groups()
    found = {
        (labels["verb"], labels["resource"], labels["scope"], labels["code"], labels["dry_run"], value)
        for labels, value in gauges(groups, "apiserver_request_total")
    }
    assert found == {
        ("LIST", "pods", "cluster", "200", "", 1),
        ("GET", "pods", "resource", "404", "", 1),
        ("POST", "configmaps", "resource", "201", "All", 1),
    }
    assert [group.place for group in ApiServerMetrics(api.requests).groups()] == ["build"], "no request since"
