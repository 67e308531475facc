import re
import socket
from collections.abc import AsyncGenerator, Generator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from midwatch_contracts.command import Settings
from midwatch_mcp.errors import KubeError, RefusedError, SettingsError, UnreachableError
from midwatch_mcp.kubernetes.client import KubeClient
from midwatch_mcp.kubernetes.connection import Bounds, placed
from midwatch_mcp.kubernetes.discovery import checked_name
from midwatch_mcp.settings import ServerSettings
from midwatch_mcp.testing.world import World, served

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


async def test_what_a_user_may_not_do_is_said_with_the_mend_and_a_quota_is_not_taken_for_it(
    client: KubeClient, world: World
) -> None:
    world.cluster.broken = 403
    who = 'User "ann" cannot list resource "pods" in API group "" in the namespace "llm"'
    world.cluster.failure = f"pods is forbidden: {who}"
    with pytest.raises(KubeError, match="bind a role that allows it") as refused:
        await client.get("/api/v1/namespaces/llm/pods")
    assert who in str(refused.value)
    world.cluster.failure = "pods is forbidden: exceeded quota: compute"
    with pytest.raises(KubeError, match=r"exceeded quota: compute \(HTTP 403"):
        await client.get("/api/v1/namespaces/llm/pods")


async def test_a_method_that_the_server_refuses_is_an_error_and_not_a_crash(client: KubeClient, world: World) -> None:
    with pytest.raises(KubeError, match="read only"):
        await client.patch(
            "/apis/apps/v1/namespaces/llm/deployments/chat", {"spec": {"replicas": 1}}, query={"dryRun": "All"}
        )
    assert world.seen[-1].headers["content-type"] == "application/strategic-merge-patch+json"
    assert world.seen[-1].query == {"dryRun": "All"}


@pytest.mark.parametrize(
    ("headers", "body", "after_s"),
    [
        ({"Retry-After": "7"}, b"Too many requests, please try again later.\n", 7.0),
        ({}, b'{"kind": "Status", "reason": "TooManyRequests", "details": {"retryAfterSeconds": 3}}', 3.0),
        ({"Retry-After": "7"}, b'{"kind": "Status", "details": {"retryAfterSeconds": 3}}', 7.0),
        ({"Retry-After": "Fri, 27 Nov 2026 00:00:00 GMT"}, b"", None),
    ],
    ids=["priority and fairness", "an eviction", "both", "a date"],
)
async def test_when_to_come_back_is_read_from_the_header_or_the_status(
    tmp_path: Path, headers: dict[str, str], body: bytes, after_s: float | None
) -> None:
    with answering(Response(body, 429, headers), tmp_path) as kubeconfig:
        client = KubeClient(kubeconfig)
        with pytest.raises(KubeError) as caught:
            await client.get("/version")
        await client.aclose()
    assert (caught.value.status, caught.value.retry_after_s) == (429, after_s)


@pytest.mark.parametrize("body", [b"[]", b"null", b"<html>", b""])
async def test_an_answer_that_is_no_object_is_an_error_that_shows_it(tmp_path: Path, body: bytes) -> None:
    with answering(Response(body, 200), tmp_path) as kubeconfig:
        client = KubeClient(kubeconfig)
        with pytest.raises(KubeError, match=re.escape(body.decode() or "an empty body")) as caught:
            await client.get("/api/v1/namespaces/kube-system")
        await client.aclose()
    assert caught.value.status == 200


async def test_a_cluster_whose_first_namespace_is_no_object_has_no_name(tmp_path: Path) -> None:
    with answering(Response(b'{"kind": "Status"}', 200), tmp_path) as kubeconfig:
        client = KubeClient(kubeconfig)
        with pytest.raises(KubeError, match="kube-system is answered with a Status"):
            await client.cluster_uid()
        await client.aclose()


@contextmanager
def answering(response: Response, folder: Path) -> Generator[Path]:
    """Serve one answer to everything, and lend a kubeconfig that leads there."""
    with served(response) as port:
        world = World(url=f"http://127.0.0.1:{port}")
        yield world.kubeconfig(folder / "answering.kubeconfig")


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


@pytest.mark.parametrize("method", ["GET", "DELETE", "PATCH"])
async def test_no_redirect_is_followed_since_a_pod_behind_the_proxy_could_send_one(
    method: str, world: World, tmp_path: Path
) -> None:
    asked: list[str] = []

    async def leading_away(scope: Scope, receive: Receive, send: Send) -> None:
        del receive
        asked.append(str(scope["path"]))
        headers = [(b"location", b"../../../namespaces/llm/secrets/creds"), (b"content-length", b"0")]
        await send({"type": "http.response.start", "status": 307, "headers": headers})
        await send({"type": "http.response.body", "body": b""})

    path = "/api/v1/namespaces/llm/pods/chat:8000/proxy/admin/config"
    with served(leading_away) as port:
        world.url = f"http://127.0.0.1:{port}"
        client = KubeClient(world.kubeconfig(tmp_path / "leading"))
        with pytest.raises(KubeError, match="redirect, which is not followed") as caught:
            await client.request(method, path, {} if method == "PATCH" else None)
        await client.aclose()
    assert asked == [path]
    assert caught.value.status == 307


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


async def test_every_request_is_made_as_the_user_and_the_groups_that_are_impersonated(
    settings: ServerSettings, world: World
) -> None:
    bounds = Bounds(user="ada@example.org", groups=("on-call", "readers"))
    client = KubeClient(settings.kubeconfig, bounds=bounds)
    await client.get("/api")
    await client.aclose()
    seen = world.seen[-1]
    assert (seen.headers["impersonate-user"], seen.groups) == ("ada@example.org", ("on-call", "readers"))
    assert seen.headers["authorization"] == f"Bearer {world.cluster.token}"


@pytest.fixture
async def kept(settings: ServerSettings) -> AsyncGenerator[KubeClient]:
    opened = KubeClient(settings.kubeconfig, bounds=Bounds(namespaces=frozenset({"llm"})))
    yield opened
    await opened.aclose()


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/namespaces/kube-system/pods",
        "/api/v1/namespaces/kube-system/pods/a/log",
        "/api/v1/namespaces/other/pods/a:80/proxy/metrics",
        "/apis/apps/v1/namespaces/other/deployments/chat",
        "/api/v1/pods",
        "/apis/apps/v1/deployments",
        "/apis/never.heard.of/v1/things",
    ],
)
async def test_a_client_that_is_kept_to_a_namespace_sends_nothing_beyond_it(
    kept: KubeClient, world: World, path: str
) -> None:
    await kept.discover()
    asked = len(world.seen)
    for method in ("GET", "POST", "PATCH", "DELETE"):
        with pytest.raises(RefusedError, match="kept to the namespace llm"):
            await kept.request(method, path)
    with pytest.raises(RefusedError, match="kept to the namespace llm"):
        async with kept.stream("POST", path, {}, timeout_s=1):
            pass
    assert len(world.seen) == asked


async def test_a_client_that_is_kept_to_a_namespace_reads_it_and_kinds_that_live_in_none(kept: KubeClient) -> None:
    assert (await kept.list("/api/v1/namespaces/llm/pods"))["items"]
    assert (await kept.list("/api/v1/nodes"))["items"] == []
    assert (await kept.get("/api/v1/namespaces/kube-system"))["metadata"]["name"] == "kube-system"
    assert (await kept.get("/api"))["kind"]


def test_a_path_is_placed_in_its_namespace_whatever_lies_behind_it() -> None:
    assert placed("/api/v1/namespaces/llm") == (None, "namespaces")
    assert placed("/api/v1/namespaces/llm/pods/a/exec") == ("llm", "pods")
    assert placed("/apis/apps/v1/deployments") == (None, "deployments")
    assert placed("/readyz") is None
    assert placed("/apis/apps/v1") is None


async def test_a_kubeconfig_that_checks_no_certificate_is_refused_unless_that_was_asked_for(
    settings: ServerSettings, tmp_path: Path
) -> None:
    assert settings.kubeconfig is not None
    text = settings.kubeconfig.read_text("utf-8").replace(
        '"server": "http:', '"insecure-skip-tls-verify": true, "server": "https:'
    )
    file = tmp_path / "insecure"
    file.write_text(text, "utf-8")
    client = KubeClient(file)
    with pytest.raises(SettingsError, match="--insecure-skip-tls-verify"):
        await client.get("/api")
    await client.aclose()
    willing = KubeClient(file, bounds=Bounds(insecure_skip_tls_verify=True))
    with pytest.raises(UnreachableError):
        await willing.get("/api")
    await willing.aclose()


async def test_in_a_pod_without_a_kubeconfig_the_service_account_is_used(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.96.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    client = KubeClient()
    with pytest.raises(SettingsError, match="the service account of this pod does not work"):
        await client.get("/api")
    await client.aclose()
