"""Lines 14 and 15 of the checklist: over HTTP strangers are refused, by name, origin, token, audience and scope."""

import asyncio
import contextlib
import json
import signal
import subprocess
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from midwatch_mcp.errors import SettingsError
from midwatch_mcp.http.app import build_app
from midwatch_mcp.http.listening import Listen, OAuth, address
from midwatch_mcp.http.oauth import OAuthTokens
from midwatch_mcp.http.tokens import TokenFile, parse_tokens
from midwatch_mcp.servers import build
from midwatch_mcp.settings import ServerSettings
from midwatch_mcp.testing.caller import Era, command_line
from midwatch_mcp.testing.world import World

pytestmark = pytest.mark.anyio

TOKEN, OTHER = "a" * 32, "b" * 32
ISSUER, RESOURCE = "https://id.example.org", "https://mcp.example.org/mcp"
HERE = "http://127.0.0.1:8765"
CLIENT = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
HELLO = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": CLIENT}
HEADERS = {"Accept": "application/json, text/event-stream", "Content-Type": "application/json"}


@asynccontextmanager
async def served(
    settings: ServerSettings, listen: Listen, verifier: OAuthTokens | None = None, base: str = HERE
) -> AsyncGenerator[httpx2.AsyncClient]:
    app = build_app(build(settings, allow_write=False, names=("kubernetes",))["kubernetes"], listen, verifier)
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url=base) as client,
    ):
        yield client


async def status(client: httpx2.AsyncClient, **headers: str) -> int:
    return (await client.post("/mcp", json=HELLO, headers={**HEADERS, **headers})).status_code


def token_file(folder: Path, text: str = f"ide {TOKEN}\n") -> Path:
    file = folder / "tokens"
    file.write_text(text, "utf-8")
    file.chmod(0o600)
    return file


class Issuer:
    """An authorization server: its metadata, its keys, and the tokens it signs."""

    def __init__(self) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.requests: list[str] = []
        self.named = ISSUER

    def answer(self, request: httpx2.Request) -> httpx2.Response:
        self.requests.append(request.url.path)
        if request.url.path == "/.well-known/openid-configuration":
            return httpx2.Response(200, json={"issuer": self.named, "jwks_uri": f"{ISSUER}/keys"})
        if request.url.path == "/keys":
            key = json.loads(ECAlgorithm.to_jwk(self.key.public_key()))
            return httpx2.Response(200, json={"keys": [{**key, "kid": "k1", "alg": "ES256", "use": "sig"}]})
        return httpx2.Response(404)

    def verifier(self, *scopes: str) -> OAuthTokens:
        return OAuthTokens(OAuth(ISSUER, RESOURCE, scopes), httpx2.MockTransport(self.answer))

    def token(self, key: Any = None, algorithm: str = "ES256", kid: str = "k1", **claims: Any) -> str:
        body = {"iss": ISSUER, "aud": RESOURCE, "sub": "ada", "client_id": "ide", "exp": int(time.time()) + 60}
        return jwt.encode({**body, **claims}, key or self.key, algorithm=algorithm, headers={"kid": kid})


@pytest.fixture
def issuer() -> Issuer:
    return Issuer()


async def test_tools_are_listed_and_called_over_http_in_both_eras(
    settings: ServerSettings, era: Era, tmp_path: Path
) -> None:
    listen = Listen("127.0.0.1", 0, token_file=token_file(tmp_path))
    async with served(settings, listen) as http:
        http.headers["Authorization"] = f"Bearer {TOKEN}"
        async with Client(streamable_http_client(f"{HERE}/mcp", http_client=http), mode=era) as client:
            names = {tool.name for tool in (await client.list_tools()).tools}
            answer = await client.call_tool("kube_list", {"kind": "Pod", "namespace": "llm"})
    assert "kube_list" in names
    assert not answer.is_error
    lines = (settings.state / "mcp-audit.jsonl").read_text("utf-8").splitlines()
    assert [json.loads(line)["principal"] for line in lines] == ["token:ide"]


async def test_the_callers_token_is_never_sent_on(settings: ServerSettings, world: World, tmp_path: Path) -> None:
    async with served(settings, Listen("127.0.0.1", 0, token_file=token_file(tmp_path))) as http:
        http.headers["Authorization"] = f"Bearer {TOKEN}"
        async with Client(streamable_http_client(f"{HERE}/mcp", http_client=http)) as client:
            await client.call_tool("kube_list", {"kind": "Pod", "namespace": "llm"})
    assert world.seen
    assert not any(TOKEN in value for request in world.seen for value in request.headers.values())
    stored = [file for file in settings.state.rglob("*") if file.is_file()]
    assert stored
    assert not any(TOKEN.encode() in file.read_bytes() for file in stored)


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({}, 200),
        ({"Host": "evil.example.org"}, 421),
        ({"Host": "127.0.0.1.evil.example.org:8765"}, 421),
        ({"Origin": "https://evil.example.org"}, 403),
        ({"Origin": "http://127.0.0.1:3000"}, 200),
        ({"Host": "night.example.org:443"}, 200),
        ({"Origin": "https://ide.example.org"}, 200),
    ],
)
async def test_only_the_names_and_origins_that_were_allowed_are_answered(
    settings: ServerSettings, headers: dict[str, str], code: int
) -> None:
    listen = Listen(
        "127.0.0.1", 0, allowed_hosts=("night.example.org:443",), allowed_origins=("https://ide.example.org",)
    )
    async with served(settings, listen) as client:
        assert await status(client, **headers) == code


@pytest.mark.parametrize(
    ("listen", "told"),
    [
        (Listen("0.0.0.0", 8765), "--token-file FILE or --oauth-issuer URL"),  # noqa: S104 (that it is refused is the test)
        (Listen("10.0.0.7", 8765, oauth=OAuth(ISSUER, RESOURCE)), "--allowed-host NAME:8765"),
        (Listen("mcp.example.org", 0, oauth=OAuth(ISSUER, RESOURCE)), "--allowed-host NAME:PORT"),
        (Listen("127.0.0.1", 0, oauth=OAuth("http://id.example.org", RESOURCE)), "is not https"),
        (Listen("127.0.0.1", 0, oauth=OAuth(ISSUER, "mcp.example.org")), "--oauth-resource"),
        (Listen("127.0.0.1", 0, token_file=Path("/nowhere/tokens")), "cannot be read"),
        (Listen("127.0.0.1", 0, certificate=Path("/nowhere/cert")), "belong together"),
        (Listen("127.0.0.1", 0, certificate=Path("/nowhere/c"), key=Path("/nowhere/k")), "there is no file"),
        (Listen("127.0.0.1", 0, token_file=Path("t"), oauth=OAuth(ISSUER, RESOURCE)), "give one of them"),
    ],
)
async def test_a_server_that_strangers_could_use_does_not_start(
    settings: ServerSettings, listen: Listen, told: str
) -> None:
    server = build(settings, allow_write=False, names=("metrics",))["metrics"]
    with pytest.raises(SettingsError, match=told):
        build_app(server, listen)


async def test_a_token_file_that_others_can_read_is_refused_with_the_mend(tmp_path: Path) -> None:
    file = token_file(tmp_path)
    file.chmod(0o640)
    with pytest.raises(SettingsError, match=f"chmod 600 {file}"):
        Listen("127.0.0.1", 0, token_file=file).check()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "holds no token"),
        ("# nothing\n", "holds no token"),
        ("ide short\n", "line 1: the token of ide must be 32 to 512"),
        (f"{TOKEN}\n", "line 1: a line is NAME TOKEN"),
        (f"ide {TOKEN} more\n", "line 1: a line is NAME TOKEN"),
        (f"ide {TOKEN}\nci {TOKEN}\n", "line 2: ci has the token of ide"),
    ],
)
def test_a_token_file_of_the_wrong_form_names_the_line_and_never_the_token(text: str, told: str) -> None:
    with pytest.raises(SettingsError, match=told) as caught:
        parse_tokens(text, "tokens")
    assert TOKEN not in str(caught.value)


async def test_without_a_token_or_with_another_the_answer_is_401(settings: ServerSettings, tmp_path: Path) -> None:
    async with served(settings, Listen("127.0.0.1", 0, token_file=token_file(tmp_path))) as client:
        assert await status(client) == 401
        assert await status(client, Authorization=f"Bearer {OTHER}") == 401
        assert await status(client, Authorization=f"Basic {TOKEN}") == 401
        assert await status(client, Authorization=f"Bearer {TOKEN}") == 200
        assert (await client.get("/healthz")).text == "ok\n"


async def test_tokens_are_added_and_taken_back_without_a_restart(tmp_path: Path) -> None:
    file = token_file(tmp_path)
    tokens = TokenFile(file)
    file.write_text(f"ci {OTHER} # the nightly run\n\n", "utf-8")
    assert await tokens.verify_token(TOKEN) is None
    found = await tokens.verify_token(OTHER)
    assert found is not None
    assert found.client_id == "ci"
    file.write_text("broken\n", "utf-8")
    assert await tokens.verify_token(OTHER) is None


async def test_a_token_of_the_issuer_for_this_server_is_taken(settings: ServerSettings, issuer: Issuer) -> None:
    listen = Listen("127.0.0.1", 0, oauth=OAuth(ISSUER, RESOURCE, ("night.read",)))
    async with served(settings, listen, issuer.verifier("night.read")) as client:
        good = issuer.token(scope="openid night.read")
        assert await status(client, Authorization=f"Bearer {good}") == 200
        assert await status(client, Authorization=f"Bearer {issuer.token(scp=['night.read'])}") == 200
        assert await status(client, Authorization=f"Bearer {issuer.token(scope='openid')}") == 403
        assert await status(client) == 401
        described = (await client.get("/.well-known/oauth-protected-resource/mcp")).json()
    assert described["resource"] == RESOURCE
    assert described["authorization_servers"] == [ISSUER]
    assert described["scopes_supported"] == ["night.read"]


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": "https://other.example.org/mcp"},
        {"aud": ["https://other.example.org/mcp"]},
        {"aud": None},
        {"iss": "https://evil.example.org"},
        {"exp": 1},
        {"exp": None},
        {"nbf": 9_999_999_999},
    ],
    ids=str,
)
async def test_a_token_for_somebody_else_or_another_time_is_refused(issuer: Issuer, claims: dict[str, Any]) -> None:
    kept = {name: value for name, value in claims.items() if value is not None}
    token = issuer.token(**kept)
    for name in claims.keys() - kept.keys():
        body = jwt.decode(token, options={"verify_signature": False})
        token = jwt.encode({k: v for k, v in body.items() if k != name}, issuer.key, "ES256", {"kid": "k1"})
    assert await issuer.verifier().verify_token(token) is None
    assert await issuer.verifier().verify_token(issuer.token()) is not None


async def test_a_token_of_another_key_or_of_none_is_refused(issuer: Issuer) -> None:
    verifier = issuer.verifier()
    strangers = ec.generate_private_key(ec.SECP256R1())
    unsigned = jwt.encode({"iss": ISSUER, "aud": RESOURCE, "exp": 9_999_999_999}, "", "none", {"kid": "k1"})
    for token in (issuer.token(strangers), issuer.token("x" * 32, "HS256"), unsigned, "a.b.c", "", "x" * 20_000):
        assert await verifier.verify_token(token) is None
    assert await verifier.verify_token(issuer.token()) is not None


async def test_unknown_keys_do_not_make_a_flood_of_requests(issuer: Issuer) -> None:
    verifier = issuer.verifier()
    for number in range(20):
        assert await verifier.verify_token(issuer.token(kid=f"unknown-{number}")) is None
    assert issuer.requests.count("/keys") == 1


async def test_keys_of_an_issuer_that_calls_itself_otherwise_are_not_used(issuer: Issuer) -> None:
    issuer.named = "https://evil.example.org"
    assert await issuer.verifier().verify_token(issuer.token()) is None
    assert "/keys" not in issuer.requests


@pytest.mark.parametrize(
    ("text", "found"), [("127.0.0.1:8765", ("127.0.0.1", 8765)), ("[::1]:0", ("::1", 0)), ("a.b:1", ("a.b", 1))]
)
def test_an_address_is_read(text: str, found: tuple[str, int]) -> None:
    assert address(text) == found


@pytest.mark.parametrize("text", ["8765", ":8765", "::1:8765", "a:b", "a:70000", "", "a:"])
def test_what_is_no_address_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(SettingsError, match=r"such as 127\.0\.0\.1:8765"):
        address(text)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_the_command_serves_until_a_signal_and_says_where(
    settings: ServerSettings, tmp_path: Path, number: signal.Signals
) -> None:
    words = command_line(settings, "metrics", "--http", "127.0.0.1:0", "--token-file", str(token_file(tmp_path)))
    process = await asyncio.create_subprocess_exec(*words, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        assert process.stderr is not None
        url = (await process.stderr.readline()).decode().removeprefix("serving MCP on ").strip()
        async with (
            httpx2.AsyncClient(headers={"Authorization": f"Bearer {TOKEN}"}) as http,
            Client(streamable_http_client(url, http_client=http)) as client,
        ):
            assert "metrics_query" in {tool.name for tool in (await client.list_tools()).tools}
        process.send_signal(number)
        output, errors = await asyncio.wait_for(process.communicate(), 20)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
    assert process.returncode == 0
    assert (output, errors) == (b"", b"")
