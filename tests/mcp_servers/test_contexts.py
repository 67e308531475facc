"""Several clusters: one more argument of every tool that asks a cluster, and none where there is but one."""

import json
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from midwatch_mcp.errors import SettingsError
from midwatch_mcp.kubernetes.client import KubeClient
from midwatch_mcp.kubernetes.contexts import pinned, read_kubeconfig
from midwatch_mcp.servers import build, build_all
from midwatch_mcp.settings import ServerSettings
from midwatch_mcp.testing.caller import Caller, Era
from midwatch_mcp.testing.world import World, stage

pytestmark = pytest.mark.anyio


@pytest.fixture
def other() -> Generator[World]:
    with stage() as running:
        world = running.enter(World())
        world.cluster.put({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "elsewhere"}})
        yield world


@pytest.fixture
def both(settings: ServerSettings, other: World) -> ServerSettings:
    """The settings over the furnished world as context `double`, and over another as `west`."""
    file = settings.kubeconfig
    assert file is not None
    config = json.loads(file.read_text("utf-8"))
    config["clusters"].append({"name": "west", "cluster": {"server": other.url}})
    config["users"].append({"name": "west", "user": {"token": other.cluster.token}})
    config["contexts"].append({"name": "west", "context": {"cluster": "west", "user": "west"}})
    file.write_text(json.dumps(config), "utf-8")
    return pinned(settings, ["double", "west"], {})


def schemas(settings: ServerSettings, name: str) -> dict[str, dict[str, Any]]:
    offers = build(settings, allow_write=True, names=(name,))[name].offers
    return {offer.declaration.name: offer.tool.parameters for offer in offers}


async def test_a_call_chooses_a_cluster_and_the_first_is_meant_where_it_does_not(
    both: ServerSettings, era: Era
) -> None:
    kube = Caller.of("kubernetes", both, era)
    first = await kube.result("kube_list", kind="Namespace")
    second = await kube.result("kube_list", kind="Namespace", context="west")
    assert [row[0] for row in first["data"]["rows"]] == ["kube-system"]
    assert [row[0] for row in second["data"]["rows"]] == ["elsewhere", "kube-system"]
    assert first["summary"].startswith("double: ")
    assert second["summary"].startswith("west: ")


async def test_evidence_says_which_cluster_it_is_of(both: ServerSettings) -> None:
    kube = Caller.of("kubernetes", both)
    found = {
        name: (await kube.result("kube_get", kind="Namespace", name="kube-system", context=name))["evidence"]["id"]
        for name in ("double", "west")
    }
    assert len(set(found.values())) == 2
    for name, evidence in found.items():
        assert (await kube.data("evidence_read", id=evidence))["arguments"]["context"] == name


async def test_a_cluster_that_was_not_given_is_refused_and_an_error_names_the_one_that_was_asked(
    both: ServerSettings, other: World
) -> None:
    kube = Caller.of("kubernetes", both)
    assert "'double' or 'west'" in await kube.error("kube_list", kind="Pod", context="nowhere")
    other.cluster.broken = 500
    assert "west: the double was told to fail" in await kube.error("kube_list", kind="Pod", context="west")


async def test_every_tool_that_asks_the_cluster_takes_a_context_but_those_that_change_it(
    both: ServerSettings,
) -> None:
    expected = {"type": "string", "enum": ["double", "west"], "default": "double", "description": "cluster"}
    for name in ("kubernetes", "serving"):
        assert all(schema["properties"]["context"] == expected for schema in schemas(both, name).values())
    for name in ("metrics", "changes"):
        assert not any("context" in schema["properties"] for schema in schemas(both, name).values())
    told = build(both, allow_write=False)
    assert "double (where none is given), west" in (told["kubernetes"].instructions or "")
    assert "alone: double" in (told["changes"].instructions or "")
    assert len(build_all(both, allow_write=True).instructions or "") <= 2_000


async def test_with_one_context_or_none_the_tools_are_those_without_the_argument(both: ServerSettings) -> None:
    alone = replace(both, contexts=())
    for name in ("kubernetes", "serving"):
        assert not any("context" in schema.get("properties", {}) for schema in schemas(alone, name).values())
    assert pinned(alone, ["west"], {}).contexts == ()
    assert pinned(alone, ["west"], {}).context == "west"


async def test_a_switch_of_the_current_context_changes_nothing_though_the_connection_is_opened_anew(
    settings: ServerSettings, world: World
) -> None:
    file = settings.kubeconfig
    assert file is not None
    client = KubeClient(file, pinned(settings, [], {}).context)
    await client.get("/api")
    await client.aclose()
    file.write_text(file.read_text("utf-8").replace('"current-context": "double"', '"current-context": "nowhere"'))
    before = len(world.seen)
    await client.get("/api")
    await client.aclose()
    assert len(world.seen) > before


def test_contexts_come_from_every_file_that_kubectl_would_merge_and_the_first_current_one_counts(
    tmp_path: Path,
) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_text("contexts: [{name: a, context: {}}]\n", "utf-8")
    two.write_text("current-context: b\ncontexts: [{name: b, context: {}}, {name: a, context: {}}, 7]\n", "utf-8")
    broken = tmp_path / "broken"
    broken.write_text("{", "utf-8")
    found = read_kubeconfig(None, {"KUBECONFIG": f"{one}:{tmp_path / 'missing'}:{broken}:{two}"})
    assert (found.contexts, found.current) == (("a", "b"), "b")
    assert read_kubeconfig(one, {"KUBECONFIG": str(two)}).contexts == ("a",)


@pytest.mark.parametrize(
    ("contexts", "said"),
    [
        (["double", "double"], "double is given twice"),
        (["double", "east"], "no context east: it has double, nowhere"),
    ],
)
def test_contexts_that_cannot_be_told_apart_or_are_not_there_stop_the_start(
    contexts: list[str], said: str, settings: ServerSettings
) -> None:
    with pytest.raises(SettingsError, match=said):
        pinned(settings, contexts, {})
