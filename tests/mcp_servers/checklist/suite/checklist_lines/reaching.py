"""Lines 9, 14, 15, 16, 18, 19: who reaches the servers, and what they reach."""

import asyncio
import contextlib
import inspect
import json
import time
from collections.abc import Awaitable
from dataclasses import replace
from typing import Any

import httpx2
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.server.auth.middleware.auth_context import get_access_token
from mcp.server.transport_security import TransportSecuritySettings
from starlette.requests import Request
from starlette.responses import Response

from checklist_lines.line import Scene, line
from midwatch_mcp.errors import RefusedError, ServersError, SettingsError
from midwatch_mcp.http.app import build_app
from midwatch_mcp.http.listening import Listen, OAuth
from midwatch_mcp.http.oauth import OAuthTokens
from midwatch_mcp.http.tokens import TokenFile
from midwatch_mcp.kubernetes import client as client_module
from midwatch_mcp.kubernetes.client import KubeClient
from midwatch_mcp.kubernetes.connection import Bounds, connect
from midwatch_mcp.servers import build

HERE = "http://127.0.0.1:8765"
ISSUER, RESOURCE = "https://id.example.org", "https://mcp.example.org/mcp"
CLIENT = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
HELLO = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": CLIENT}
HEADERS = {"Accept": "application/json, text/event-stream", "Content-Type": "application/json"}
TOKEN = "caller-token-0123456789abcdef0123456789"


async def statuses(scene: Scene, listen: Listen, verifier: OAuthTokens | None, *asked: dict[str, str]) -> list[int]:
    """Return how a server over HTTP answers a first message with these headers."""
    app = build_app(build(scene.settings, allow_write=False, names=("metrics",))["metrics"], listen, verifier)
    transport = httpx2.ASGITransport(app)
    async with app.router.lifespan_context(app), httpx2.AsyncClient(transport=transport, base_url=HERE) as client:
        return [(await client.post("/mcp", json=HELLO, headers=HEADERS | more)).status_code for more in asked]


async def refusal(request: Awaitable[Any]) -> type[Exception] | None:
    """Return which of our errors a request ends with, None for an answer."""
    try:
        await request
    except ServersError as error:
        return type(error)
    return None


def refuses(scene: Scene, listen: Listen) -> bool:
    """Say whether a server is not even built for an address."""
    try:
        build_app(build(scene.settings, allow_write=False, names=("metrics",))["metrics"], listen)
    except SettingsError:
        return True
    return False


def keep_on_after_a_cancel(patch: pytest.MonkeyPatch) -> None:
    honest = KubeClient.request

    async def told(request: Awaitable[Any]) -> Any:
        try:
            return await request
        except ServersError as error:
            return error

    async def shielded(client: KubeClient, *arguments: Any, **options: Any) -> Any:
        found = await asyncio.shield(asyncio.ensure_future(told(honest(client, *arguments, **options))))
        if isinstance(found, ServersError):
            raise found
        return found

    patch.setattr(KubeClient, "request", shielded)


@line(
    9,
    "upstream times out before the caller, and a cancelled call stops its work upstream",
    without=keep_on_after_a_cancel,
)
async def cancelling_stops_upstream(scene: Scene) -> None:
    limit = inspect.signature(KubeClient).parameters["timeout_s"].default
    servers = build(scene.settings, allow_write=True).values()
    assert all(limit < offer.declaration.timeout_s for server in servers for offer in server.offers)
    asked, gone = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    async def hang(request: Request, _path: str) -> Response:
        loop.call_soon_threadsafe(asked.set)
        await request.body()
        while (await request.receive())["type"] != "http.disconnect":
            continue
        loop.call_soon_threadsafe(gone.set)
        return Response()

    for name in ("chat-new-a", "chat-new-b"):
        scene.world.cluster.backends[name] = hang
    async with scene.caller("serving").connect() as client:
        call = asyncio.create_task(client.call_tool("serving_models", {"namespace": "llm", "service": "chat"}))
        await asked.wait()
        call.cancel()
        await asyncio.wait({call})
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(gone.wait(), 1.0)
        stopped = gone.is_set()
    assert stopped, "the request went on upstream after the call was cancelled"


def answer_any_name(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Listen, "security", TransportSecuritySettings(enable_dns_rebinding_protection=False))


@line(
    14,
    "HTTP without allowed hosts does not start beyond loopback; an evil Host is 421, an evil Origin 403",
    without=answer_any_name,
)
async def names_over_http(scene: Scene) -> None:
    assert refuses(scene, Listen("0.0.0.0", 1, oauth=OAuth(ISSUER, RESOURCE)))  # noqa: S104 (that it is refused is the check)
    asked: tuple[dict[str, str], ...] = ({}, {"Host": "evil.example.org"}, {"Origin": "https://evil.example.org"})
    assert await statuses(scene, Listen("127.0.0.1", 0), None, *asked) == [200, 421, 403]


def take_any_audience(patch: pytest.MonkeyPatch) -> None:
    honest = jwt.decode

    def careless(token: str, key: Any, **options: Any) -> Any:
        options["audience"] = None
        options["options"] = {"verify_aud": False}
        return honest(token, key, **options)

    patch.setattr(jwt, "decode", careless)


@line(
    15,
    "HTTP beyond loopback does not start without tokens; a wrong audience is 401, a missing scope 403",
    without=take_any_audience,
)
async def tokens_over_http(scene: Scene) -> None:
    assert refuses(scene, Listen("10.0.0.7", 1, allowed_hosts=("mcp.example.org:1",)))
    key = ec.generate_private_key(ec.SECP256R1())

    def issuer(request: httpx2.Request) -> httpx2.Response:
        if request.url.path == "/keys":
            public = json.loads(ECAlgorithm.to_jwk(key.public_key()))
            return httpx2.Response(200, json={"keys": [{**public, "kid": "k", "alg": "ES256", "use": "sig"}]})
        return httpx2.Response(200, json={"issuer": ISSUER, "jwks_uri": f"{ISSUER}/keys"})

    def bearer(audience: str, scope: str) -> dict[str, str]:
        claims = {"iss": ISSUER, "aud": audience, "sub": "ada", "scope": scope, "exp": int(time.time()) + 60}
        return {"Authorization": f"Bearer {jwt.encode(claims, key, 'ES256', {'kid': 'k'})}"}

    oauth = OAuth(ISSUER, RESOURCE, ("night.read",))
    asked: tuple[dict[str, str], ...] = (
        bearer(RESOURCE, "night.read"),
        bearer("https://other.example.org", "night.read"),
        bearer(RESOURCE, "other"),
        {},
    )
    verifier = OAuthTokens(oauth, httpx2.MockTransport(issuer))
    assert await statuses(scene, Listen("127.0.0.1", 0, oauth=oauth), verifier, *asked) == [200, 401, 403, 401]


def pass_the_token_on(patch: pytest.MonkeyPatch) -> None:
    def careless(_bounds: Bounds) -> list[tuple[str, str]]:
        token = get_access_token()
        return [] if token is None else [("X-Forwarded-Authorization", token.token)]

    patch.setattr(Bounds, "headers", careless)


@line(16, "the caller's token is sent nowhere and written nowhere", without=pass_the_token_on)
async def the_callers_token_stays(scene: Scene) -> None:
    file = scene.folder / "tokens"
    file.write_text(f"ide {TOKEN}\n", "utf-8")
    file.chmod(0o600)
    listen = Listen("127.0.0.1", 0, token_file=file)
    app = build_app(
        build(scene.settings, allow_write=False, names=("kubernetes",))["kubernetes"], listen, TokenFile(file)
    )
    headers = {"Authorization": f"Bearer {TOKEN}"}
    transport = httpx2.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=transport, headers=headers) as http,
        Client(streamable_http_client(f"{HERE}/mcp", http_client=http)) as client,
    ):
        assert not (await client.call_tool("kube_list", {"kind": "Pod", "namespace": "llm"})).is_error
    assert scene.world.seen
    assert not any(TOKEN in value for seen in scene.world.seen for value in seen.headers.values())
    stored = [found for found in scene.settings.state.rglob("*") if found.is_file()]
    assert not any(TOKEN.encode() in found.read_bytes() for found in stored)


def check_no_certificate(patch: pytest.MonkeyPatch) -> None:
    async def careless(kubeconfig: Any, context: Any, bounds: Bounds) -> Any:
        return await connect(kubeconfig, context, replace(bounds, insecure_skip_tls_verify=True))

    patch.setattr(client_module, "connect", careless)


@line(18, "certificates are checked unless a flag says otherwise", without=check_no_certificate)
async def certificates_are_checked(scene: Scene) -> None:
    assert scene.settings.kubeconfig is not None
    text = scene.settings.kubeconfig.read_text("utf-8")
    file = scene.folder / "insecure"
    file.write_text(text.replace('"server": "http:', '"insecure-skip-tls-verify": true, "server": "https:'), "utf-8")
    client = KubeClient(file)
    refused = await refusal(client.get("/api"))
    await client.aclose()
    assert refused is SettingsError, "a server whose certificate nobody checks was asked"


def check_no_namespace(patch: pytest.MonkeyPatch) -> None:
    async def careless(_client: KubeClient, _path: str) -> None:
        return None

    patch.setattr(KubeClient, "_check_bounds", careless)


@line(19, "context and namespaces are pinned; a switch in the kubeconfig changes nothing", without=check_no_namespace)
async def context_and_namespaces_are_pinned(scene: Scene) -> None:
    file = scene.settings.kubeconfig
    assert file is not None
    client = KubeClient(file, bounds=Bounds(namespaces=frozenset({"llm"})))
    await client.get("/api")
    switched = file.read_text("utf-8").replace('"current-context": "double"', '"current-context": "nowhere"')
    file.write_text(switched, "utf-8")
    items = (await client.list("/api/v1/namespaces/llm/pods"))["items"]
    refused = [await refusal(client.list(f"/api/v1/{path}")) for path in ("namespaces/kube-system/pods", "pods")]
    await client.aclose()
    assert items
    assert refused == [RefusedError, RefusedError]
