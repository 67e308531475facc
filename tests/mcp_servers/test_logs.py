"""`kube_logs` over the double of a cluster."""

from typing import Any

import pytest

from midwatch_mcp.kubernetes import log_reading
from midwatch_mcp.settings import ServerSettings
from midwatch_mcp.testing.caller import Caller, Era
from midwatch_mcp.testing.world import World

pytestmark = pytest.mark.anyio


@pytest.fixture
def kube(settings: ServerSettings, era: Era) -> Caller:
    return Caller.of("kubernetes", settings, era)


def said(data: dict[str, Any]) -> list[str]:
    return [line["text"] for line in data["lines"]]


async def test_logs_are_the_last_lines_in_their_order_each_with_time_pod_and_container(
    kube: Caller, world: World
) -> None:
    world.cluster.logs["chat-new-a"] = "".join(f"line {number}\n" for number in range(50))
    data = await kube.data("kube_logs", pod="chat-new-a", namespace="llm", tail=2)
    assert data["lines"] == [
        {"at": "2026-01-01T00:00:48.000Z", "pod": "chat-new-a", "container": "engine", "text": "line 48"},
        {"at": "2026-01-01T00:00:49.000Z", "pod": "chat-new-a", "container": "engine", "text": "line 49"},
    ]
    assert (data["of"], data["pods"], data["read"]) == ("Pod/llm/chat-new-a", ["chat-new-a"], 50)


async def test_grep_is_a_text_and_no_pattern(kube: Caller, world: World) -> None:
    world.cluster.logs["chat-new-a"] = "a.c one\nabc two\nA.C three\n"
    data = await kube.data("kube_logs", pod="chat-new-a", namespace="llm", grep="a.c")
    assert said(data) == ["a.c one", "A.C three"]
    assert (data["matched"], data["read"]) == (2, 3)


@pytest.mark.parametrize("of", ["Deployment/chat", "Service/chat", "svc/chat", "app=chat"])
async def test_logs_of_a_workload_a_service_or_a_selector_are_those_of_its_pods_merged_by_time(
    of: str, kube: Caller, world: World
) -> None:
    world.cluster.logs["chat-new-a"] = "@1.5 a1\n@3 a2\n"
    world.cluster.logs["chat-new-b"] = "@1 b1\n@2 b2\n@4 b3\n"
    world.cluster.logs["chat-new-c"] = "@2.5 c1\n"
    found = await kube.result("kube_logs", of=of, namespace="llm")
    assert said(found["data"]) == ["b1", "a1", "b2", "c1", "a2", "b3"]
    assert [line["pod"][-1] for line in found["data"]["lines"]] == ["b", "a", "b", "c", "a", "b"]
    assert "6 lines in the log of 3 pods of " in found["summary"]


async def test_a_pod_that_cannot_be_read_stops_no_other_and_says_why(kube: Caller, world: World) -> None:
    world.cluster.logs["chat-new-a"] = "fine\n"
    world.cluster.logs.refused["chat-new-c"] = 'container "engine" in pod "chat-new-c" is waiting to start: Creating'
    found = await kube.result("kube_logs", of="Deployment/chat", namespace="llm")
    assert said(found["data"]) == ["fine"]
    assert found["data"]["pods"] == ["chat-new-a", "chat-new-b"]
    assert [(one["pod"], "waiting to start" in one["why"]) for one in found["data"]["unread"]] == [("chat-new-c", True)]
    assert "1 containers could not be read" in found["summary"]
    assert "waiting to start" in await kube.error("kube_logs", pod="chat-new-c", namespace="llm")


async def test_errors_are_grouped_with_count_times_pods_and_an_example(kube: Caller, world: World) -> None:
    world.cluster.logs["chat-new-a"] = "INFO fine\nERROR block 17 lost\nERROR block 18 lost\n"
    raised = "@10 Traceback (most recent call last):\n@10   f()\n@10 KeyError: 1\n"
    world.cluster.logs["chat-new-b"] = f"@9 ERROR block 3 lost\n@10 INFO tries again\n{raised}"
    found = await kube.result("kube_logs", of="Service/chat", namespace="llm")
    assert found["data"]["errors"] == [
        {
            "template": "ERROR block <num> lost",
            "count": 3,
            "first": "2026-01-01T00:00:01.000Z",
            "last": "2026-01-01T00:00:09.000Z",
            "pods": ["chat-new-a", "chat-new-b"],
            "example": "ERROR block 17 lost",
        },
        {
            "template": "KeyError: <num>",
            "count": 1,
            "first": "2026-01-01T00:00:10.000Z",
            "last": "2026-01-01T00:00:10.000Z",
            "pods": ["chat-new-b"],
            "example": "Traceback (most recent call last):\n  f()\nKeyError: 1",
        },
    ]
    assert "4 tell of errors, in 2 groups; the largest 3 times in 2 pods" in found["summary"]
    narrow = await kube.data("kube_logs", of="Service/chat", namespace="llm", grep="block 3")
    assert [group["count"] for group in narrow["errors"]] == [1]


async def test_older_lines_follow_by_the_cursor_without_loss_though_many_share_one_moment(
    kube: Caller, world: World
) -> None:
    world.cluster.logs["chat-new-a"] = "".join(f"@{number // 4} a{number}\n" for number in range(10))
    world.cluster.logs["chat-new-b"] = "".join(f"@{number // 3} b{number}\n" for number in range(7))
    whole = said(await kube.data("kube_logs", of="app=chat", namespace="llm"))
    pages: list[list[str]] = []
    cursor: str | None = None
    while not pages or cursor is not None:
        page = await kube.result("kube_logs", of="app=chat", namespace="llm", tail=3, cursor=cursor)
        pages.insert(0, said(page["data"]))
        cursor = page["evidence"]["cursor"]
    assert [line for page in pages for line in page] == whole
    assert len(whole) == 17
    assert len(pages) == 6


async def test_previous_reads_the_run_before_of_those_that_restarted_alone(kube: Caller, world: World) -> None:
    world.cluster.logs.previous["chat-new-c"] = "last words\n"
    data = await kube.data("kube_logs", of="Deployment/chat", namespace="llm", previous=True)
    assert said(data) == ["last words"]
    assert data["pods"] == ["chat-new-c"]
    refused = await kube.error("kube_logs", pod="chat-new-a", namespace="llm", previous=True)
    assert "no container has restarted" in refused


async def test_containers_are_all_that_serve_an_init_container_that_did_not_end_well_or_the_one_named(
    kube: Caller, world: World
) -> None:
    pod = world.cluster.store["v1", "pods", "llm", "chat-new-a"]
    pod["spec"]["containers"].append({"name": "proxy", "image": "envoy"})
    pod["spec"]["initContainers"] = [{"name": "fetch", "image": "git"}, {"name": "check", "image": "sh"}]
    pod["status"]["initContainerStatuses"] = [
        {"name": "fetch", "state": {"terminated": {"exitCode": 0}}},
        {"name": "check", "state": {"terminated": {"exitCode": 3}}},
    ]
    for name in ("engine", "proxy", "fetch", "check"):
        world.cluster.logs[f"chat-new-a/{name}"] = f"{name} says\n"
    read = await kube.data("kube_logs", pod="chat-new-a", namespace="llm")
    assert {line["container"] for line in read["lines"]} == {"engine", "proxy", "check"}
    one = await kube.data("kube_logs", pod="chat-new-a", namespace="llm", container="fetch")
    assert said(one) == ["fetch says"]
    wrong = await kube.error("kube_logs", pod="chat-new-a", namespace="llm", container="fetsch")
    assert "there are fetch, check, engine, proxy" in wrong


async def test_a_log_that_reaches_the_limit_of_bytes_keeps_its_newest_lines(
    kube: Caller, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_reading, "_BYTES", 20_000)
    world.cluster.logs["chat-new-a"] = "".join(f"{number} {'x' * 200}\n" for number in range(400))
    data = await kube.data("kube_logs", pod="chat-new-a", namespace="llm", tail=5)
    assert [line.partition(" ")[0] for line in said(data)] == ["395", "396", "397", "398", "399"]


async def test_many_pods_are_read_up_to_a_bound_the_sick_ones_first(kube: Caller, world: World) -> None:
    item = world.cluster.store["v1", "pods", "llm", "chat-new-a"]
    sick = world.cluster.store["v1", "pods", "llm", "chat-new-c"]["status"]
    for number in range(30):
        status = sick if number == 29 else item["status"]
        meta = {"name": f"p{number:02}", "namespace": "llm", "labels": {"app": "many"}}
        world.cluster.put(item | {"metadata": meta, "status": status})
    found = await kube.result("kube_logs", of="app=many", namespace="llm")
    assert len(found["data"]["pods"]) == 20
    assert "p29" in found["data"]["pods"]
    assert found["data"]["pods_left_out"] == 10
    assert "10 further pods were not asked" in found["summary"]
    asked = [seen.query for seen in world.seen if seen.path.endswith("/log")]
    assert {query["timestamps"] for query in asked} == {"true"}
    assert sum(int(query["tailLines"]) for query in asked) <= 20_000
    assert sum(int(query["limitBytes"]) for query in asked) <= 8_000_000


@pytest.mark.parametrize(
    ("arguments", "mend"),
    [
        ({}, "give pod, or of"),
        ({"pod": "chat-new-a", "of": "app=chat"}, "give pod, or of"),
        ({"of": "Pod/chat-new-a"}, "give pod=chat-new-a"),
        ({"of": "app=nobody"}, "carries the labels app=nobody"),
        ({"of": "ConfigMap/settings"}, "selects no pods"),
        ({"of": "Deployment/nope"}, 'deployments "nope" not found'),
    ],
)
async def test_what_names_no_pods_is_refused_with_the_mend(
    arguments: dict[str, Any], mend: str, settings: ServerSettings, world: World
) -> None:
    world.cluster.put({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings", "namespace": "llm"}})
    assert mend in await Caller.of("kubernetes", settings).error("kube_logs", namespace="llm", **arguments)


async def test_the_logs_of_a_cron_job_are_those_of_the_pods_of_its_jobs(settings: ServerSettings, world: World) -> None:
    job = {"name": "nightly-1", "namespace": "llm", "ownerReferences": [{"uid": "uid-cronjobs-nightly"}]}
    world.cluster.put(
        {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "nightly", "namespace": "llm"}, "spec": {}},
        {"apiVersion": "batch/v1", "kind": "Job", "metadata": job, "spec": {}},
    )
    pod = world.cluster.store["v1", "pods", "llm", "chat-new-a"]
    pod["metadata"]["labels"] = {"batch.kubernetes.io/job-name": "nightly-1"}
    world.cluster.logs["chat-new-a"] = "backed up\n"
    found = await Caller.of("kubernetes", settings).data("kube_logs", of="CronJob/nightly", namespace="llm")
    assert (found["of"], said(found)) == ("CronJob/llm/nightly", ["backed up"])
