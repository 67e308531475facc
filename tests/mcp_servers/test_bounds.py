"""Line 6 of the checklist: what is large is shown in part, says so, and can be read on."""

import pytest

from midwatch_mcp.settings import ServerSettings
from midwatch_mcp.testing.caller import Caller, Era, answer_text
from midwatch_mcp.testing.world import World

pytestmark = pytest.mark.anyio


@pytest.fixture
def kube(settings: ServerSettings, era: Era) -> Caller:
    return Caller.of("kubernetes", settings, era)


async def test_a_long_log_is_shown_from_its_end_and_stored_as_read(kube: Caller, world: World) -> None:
    world.cluster.logs["chat-new-a"] = "".join(f"{number} {'x' * 500}\n" for number in range(900))
    found = await kube.result("kube_logs", pod="chat-new-a", namespace="llm", tail=900)
    assert found["evidence"]["truncated"] is True
    assert found["data"]["lines"][-1]["text"].startswith("899 ")
    assert 50 < len(found["data"]["lines"]) < 900
    assert found["data"]["matched"] == 900
    first = await kube.data("evidence_read", id=found["evidence"]["id"], path="/lines/0")
    assert first["value"]["text"].startswith("0 ")


async def test_a_line_without_end_is_cut(kube: Caller, world: World) -> None:
    world.cluster.logs["chat-new-a"] = "y" * 900_000
    (line,) = (await kube.data("kube_logs", pod="chat-new-a", namespace="llm"))["lines"]
    assert len(line["text"]) == 2_000


async def test_an_object_too_large_to_show_is_read_by_its_evidence(kube: Caller, world: World) -> None:
    world.cluster.put(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "big", "namespace": "llm"},
            "data": {"small": "seen", "large": "z" * 200_000},
        }
    )
    text = await kube.error("kube_get", kind="ConfigMap", name="big", namespace="llm")
    assert "over its limit" in text
    evidence = text.partition("id='")[2].partition("'")[0]
    page = await kube.result("evidence_read", id=evidence, path="/object/data")
    assert page["data"]["value"] == {"small": "seen", "large": "[string of 200002 bytes: read its own path]"}
    large = await kube.result("evidence_read", id=evidence, path="/object/data/large")
    assert large["evidence"]["truncated"] is True
    assert len(large["data"]["value"]) == 8_000


async def test_pages_of_evidence_join_to_the_whole(kube: Caller, world: World) -> None:
    world.cluster.logs["chat-new-a"] = "".join(f"{number} {'x' * 100}\n" for number in range(400))
    found = await kube.result("kube_logs", pod="chat-new-a", namespace="llm", tail=400)
    lines: list[dict[str, str]] = []
    cursor: str | None = None
    pages = 0
    while pages == 0 or cursor is not None:
        page = await kube.result("evidence_read", id=found["evidence"]["id"], path="/lines", cursor=cursor)
        lines += page["data"]["value"]
        cursor = page["evidence"]["cursor"]
        pages += 1
    assert pages > 1
    assert [int(line["text"].split()[0]) for line in lines] == list(range(400))


async def test_every_answer_about_a_large_cluster_stays_small(kube: Caller, world: World) -> None:
    item = world.cluster.store["v1", "pods", "llm", "chat-new-a"]
    for number in range(1_000):
        world.cluster.put(item | {"metadata": {"name": f"p{number:04}", "namespace": "many", "labels": {"app": "x"}}})
    answer = await kube.call("kube_list", {"kind": "Pod", "namespace": "many"})
    assert len(answer_text(answer)) < 6_000
