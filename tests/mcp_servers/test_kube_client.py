import socket
from collections.abc import AsyncGenerator
from dataclasses import replace
from pathlib import Path

import pytest

from midwatch_contracts.command import Settings
from midwatch_mcp.errors import KubeError, RefusedError, SettingsError, UnreachableError
from midwatch_mcp.kubernetes.client import KubeClient
from midwatch_mcp.kubernetes.discovery import checked_name
from midwatch_mcp.settings import ServerSettings
from midwatch_mcp.testing.world import World

pytestmark = pytest.mark.anyio


@pytest.fixture
async def client(settings: ServerSettings) -> AsyncGenerator[KubeClient]:
    opened = KubeClient(settings.kubeconfig)
    yield opened
    await opened.aclose()


async def test_the_token_of_the_kubeconfig_is_sent_and_the_answer_is_json(client: KubeClient, world: World) -> None:
    found = await client.get("/api/v1/namespaces/llm/services/chat")
    assert found["metadata"]["name"] == "chat"
    assert world.seen[-1].headers["authorization"] == f"Bearer {world.cluster.token}"


async def test_an_error_status_carries_reason_and_message(client: KubeClient) -> None:
    with pytest.raises(KubeError) as caught:
        await client.get("/api/v1/namespaces/llm/pods/none")
    assert (caught.value.status, caught.value.reason, caught.value.not_found) == (404, "NotFound", True)
    assert 'pods "none" not found' in str(caught.value)


async def test_a_method_that_the_server_refuses_is_an_error_and_not_a_crash(client: KubeClient, world: World) -> None:
    with pytest.raises(KubeError, match="read only"):
        await client.patch(
            "/apis/apps/v1/namespaces/llm/deployments/chat", {"spec": {"replicas": 1}}, query={"dryRun": "All"}
        )
    assert world.seen[-1].headers["content-type"] == "application/strategic-merge-patch+json"
    assert world.seen[-1].query == {"dryRun": "All"}


async def test_a_list_goes_on_by_its_token(client: KubeClient) -> None:
    first = await client.list("/api/v1/namespaces/llm/pods", {"limit": 2})
    rest = await client.list("/api/v1/namespaces/llm/pods", {"limit": 2, "continue": first["metadata"]["continue"]})
    assert [len(page["items"]) for page in (first, rest)] == [2, 1]


async def test_the_cluster_is_named_by_the_uid_of_kube_system_and_asked_once(client: KubeClient, world: World) -> None:
    assert await client.cluster_uid() == "uid-namespaces-kube-system"
    assert await client.cluster_uid() == "uid-namespaces-kube-system"
    assert len(world.seen) == 1


async def test_discovery_is_kept_until_it_is_asked_for_fresh(client: KubeClient, world: World) -> None:
    await client.discover()
    await client.discover()
    assert len(world.seen) == 2
    await client.discover(fresh=True)
    assert len(world.seen) == 4


async def test_a_connection_that_was_never_made_cannot_have_changed_anything(settings: ServerSettings) -> None:
    client = KubeClient(settings.kubeconfig, "nowhere")
    with pytest.raises(UnreachableError) as caught:
        await client.create("/api/v1/namespaces", {"metadata": {"name": "x"}})
    assert caught.value.may_have_arrived is False
    assert "127.0.0.1:1" in str(caught.value)
    await client.aclose()


async def test_an_answer_that_never_comes_may_have_been_carried_out(world: World, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        world.url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        client = KubeClient(world.kubeconfig(tmp_path / "silent"), timeout_s=0.2)
        with pytest.raises(UnreachableError, match=r"did not answer PATCH /api within 0.2 s") as caught:
            await client.patch("/api", {"a": 1})
        await client.aclose()
    assert caught.value.may_have_arrived is True


async def test_a_context_or_file_that_is_not_there_says_what_to_give(settings: ServerSettings, tmp_path: Path) -> None:
    for client in (KubeClient(settings.kubeconfig, "other"), KubeClient(tmp_path / "none")):
        with pytest.raises(SettingsError, match="--kubeconfig and --context"):
            await client.get("/api")
        await client.aclose()


async def test_a_context_switch_in_the_file_has_no_effect_on_a_running_client(
    client: KubeClient, settings: ServerSettings, world: World
) -> None:
    await client.get("/api")
    assert settings.kubeconfig is not None
    other = settings.kubeconfig.read_text("utf-8").replace(
        '"current-context": "double"', '"current-context": "nowhere"'
    )
    settings.kubeconfig.write_text(other, "utf-8")
    await client.get("/api")
    assert len(world.seen) == 2


async def test_a_closed_client_opens_again(client: KubeClient) -> None:
    await client.get("/api")
    await client.aclose()
    assert (await client.get("/api"))["kind"]


async def test_no_proxy_of_the_environment_sees_what_goes_to_this_machine(
    settings: ServerSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    client = KubeClient(settings.kubeconfig)
    assert (await client.get("/api"))["kind"]
    await client.aclose()


@pytest.mark.parametrize("name", ["../secrets", "a/b", "a%2fb", ".hidden", "a\n", "", "a b", "a?x=1", "x" * 300])
def test_a_name_that_could_leave_its_place_in_the_path_is_refused(name: str) -> None:
    with pytest.raises(RefusedError, match="is no name"):
        checked_name(name)


def test_a_lab_fills_in_what_is_not_given(tmp_path: Path) -> None:
    from_lab = ServerSettings.from_settings
    settings = Settings(state=tmp_path, lab=tmp_path)
    with pytest.raises(SettingsError, match="midwatch lab up"):
        from_lab(settings)
    (tmp_path / "lab.json").write_text('{"midwatch_kubeconfig": "/k", "prometheus": "http://p"}', "utf-8")
    found = from_lab(settings)
    assert (found.kubeconfig, found.prometheus) == (Path("/k"), "http://p")
    kept = from_lab(replace(settings, prometheus="http://other"))
    assert (kept.kubeconfig, kept.prometheus) == (Path("/k"), "http://other")
