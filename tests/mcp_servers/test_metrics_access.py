"""Credentials and certificates of the metrics API: over a real TLS server, with what must never leak looked for."""

import asyncio
import base64
import datetime as dt
import ipaddress
import socket
import ssl
import subprocess
import time
from collections.abc import Generator
from dataclasses import dataclass, field, replace
from pathlib import Path

import orjson
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from midwatch_mcp.errors import SettingsError
from midwatch_mcp.metrics.access import Access
from midwatch_mcp.metrics.client import PrometheusClient
from midwatch_mcp.metrics.http_config import read_access
from midwatch_mcp.settings import ServerSettings
from midwatch_mcp.testing.caller import Caller
from midwatch_mcp.testing.world import served

pytestmark = pytest.mark.anyio
TOKEN = "tok-4f9a77c1e0"
PASSWORD = "correct horse battery"


@dataclass
class Api:
    """Answers every query with no series, or as a test says; remembers the headers that came."""

    headers: list[dict[str, str]] = field(default_factory=list[dict[str, str]])
    paths: list[str] = field(default_factory=list[str])
    answers: list[tuple[int, str, dict[str, str]]] = field(default_factory=list[tuple[int, str, dict[str, str]]])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        self.headers.append(dict(request.headers))
        self.paths.append(str(request.url.path) + "?" + str(request.url.query))
        status, body, more = self.answers.pop(0) if self.answers else (200, "", {})
        text = body or orjson.dumps({"status": "success", "data": {"resultType": "vector", "result": []}}).decode()
        await Response(text, status_code=status, headers=more)(scope, receive, send)


@dataclass(frozen=True)
class Authority:
    """A certificate authority of the test and what it signs, as files."""

    folder: Path
    key: ec.EllipticCurvePrivateKey
    name: x509.Name

    @classmethod
    def new(cls, folder: Path) -> "Authority":
        made = cls(folder, ec.generate_private_key(ec.SECP256R1()), x509.Name([_common("test authority")]))
        made._write("ca", made._signed(made.name, made.key, authority=True), made.key)
        return made

    def issue(self, name: str) -> tuple[Path, Path]:
        """Return certificate and key of somebody at loopback."""
        key = ec.generate_private_key(ec.SECP256R1())
        return self._write(name, self._signed(x509.Name([_common(name)]), key, authority=False), key)

    def _signed(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, *, authority: bool) -> x509.Certificate:
        start = dt.datetime.now(dt.UTC) - dt.timedelta(hours=1)
        names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        builder = x509.CertificateBuilder(
            issuer_name=self.name,
            subject_name=subject,
            public_key=key.public_key(),
            serial_number=x509.random_serial_number(),
            not_valid_before=start,
            not_valid_after=start + dt.timedelta(days=1),
        )
        extensions: list[x509.ExtensionType] = [
            x509.BasicConstraints(ca=authority, path_length=None),
            x509.SubjectAlternativeName(names),
        ]
        usage = dict.fromkeys(
            ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "encipher_only"), False
        )
        extensions.append(
            x509.KeyUsage(
                digital_signature=True, key_cert_sign=authority, crl_sign=authority, decipher_only=False, **usage
            )
        )
        own = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
        for extension in (*extensions, own, issuer):
            builder = builder.add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
        return builder.sign(self.key, hashes.SHA256())

    def _write(self, name: str, made: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> tuple[Path, Path]:
        pem = serialization.Encoding.PEM
        certificate, secret = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        certificate.write_bytes(made.public_bytes(pem))
        private(
            secret, key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()).decode()
        )
        return certificate, secret


def _common(name: str) -> x509.NameAttribute[str]:
    return x509.NameAttribute(NameOID.COMMON_NAME, name)


def private(file: Path, text: str) -> Path:
    file.write_text(text, "utf-8")
    file.chmod(0o600)
    return file


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.new(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def api() -> Api:
    return Api()


@pytest.fixture
def secure(api: Api, authority: Authority) -> Generator[str]:
    certificate, key = authority.issue("server")
    with served(api, ssl_certfile=certificate, ssl_keyfile=key) as port:
        yield f"https://127.0.0.1:{port}"


@pytest.fixture
def strict(api: Api, authority: Authority) -> Generator[str]:
    """A server that asks for a client certificate of the authority."""
    certificate, key = authority.issue("strict")
    options = {"ssl_cert_reqs": ssl.CERT_REQUIRED, "ssl_ca_certs": str(authority.folder / "ca.pem")}
    with served(api, ssl_certfile=certificate, ssl_keyfile=key, **options) as port:
        yield f"https://127.0.0.1:{port}"


@pytest.fixture
def plain(api: Api) -> Generator[str]:
    with served(api) as port:
        yield f"http://127.0.0.1:{port}"


def config(folder: Path, text: str) -> Path:
    return private(folder / "http.yml", text)


async def ask(url: str, file: Path | None) -> None:
    client = PrometheusClient(url, Access() if file is None else read_access(file))
    try:
        await client.query("query", {"query": "up"})
    finally:
        await client.aclose()


async def test_basic_credentials_and_extra_headers_are_sent_below_a_prefix(
    api: Api, secure: str, authority: Authority, tmp_path: Path
) -> None:
    private(tmp_path / "password", PASSWORD + "\n")
    text = f"""
basic_auth: {{username: ann, password_file: password}}
http_headers: {{X-Scope-OrgID: {{values: [team-a]}}}}
tls_config: {{ca_file: {authority.folder / "ca.pem"}}}
"""
    await ask(f"{secure}/api/prom/", config(tmp_path, text))
    (headers,) = api.headers
    assert headers["authorization"] == "Basic " + base64.b64encode(f"ann:{PASSWORD}".encode()).decode()
    assert headers["x-scope-orgid"] == "team-a"
    assert api.paths[0] == "/api/prom/api/v1/query?query=up&timeout=13s"


async def test_a_bearer_token_is_read_again_when_its_file_changes(
    api: Api, secure: str, authority: Authority, tmp_path: Path
) -> None:
    file = private(tmp_path / "token", "first-token")
    text = f"authorization: {{credentials_file: token}}\ntls_config: {{ca_file: {authority.folder / 'ca.pem'}}}"
    client = PrometheusClient(secure, read_access(config(tmp_path, text)))
    await client.get("labels")
    private(file, "second-token-is-longer")
    await client.get("labels")
    await client.aclose()
    assert [headers["authorization"] for headers in api.headers] == [
        "Bearer first-token",
        "Bearer second-token-is-longer",
    ]


async def test_a_client_certificate_opens_a_server_that_asks_for_one(
    api: Api, strict: str, authority: Authority, tmp_path: Path
) -> None:
    certificate, key = authority.issue("client")
    text = f"tls_config: {{ca_file: {authority.folder / 'ca.pem'}, cert_file: {certificate}, key_file: {key}}}"
    await ask(strict, config(tmp_path, text))
    assert len(api.headers) == 1
    with pytest.raises(Exception, match="cannot be reached"):
        await ask(strict, config(tmp_path, f"tls_config: {{ca_file: {authority.folder / 'ca.pem'}}}"))
    assert len(api.headers) == 1


async def test_a_certificate_that_is_renewed_on_disk_is_shown_to_the_next_connection(
    api: Api, strict: str, authority: Authority, tmp_path: Path
) -> None:
    stranger = Authority.new(tmp_path).issue("client")
    certificate, key = authority.issue("renewed")
    good = certificate.read_bytes(), key.read_bytes()
    certificate.write_bytes(stranger[0].read_bytes())
    key.write_bytes(stranger[1].read_bytes())
    text = f"tls_config: {{ca_file: {authority.folder / 'ca.pem'}, cert_file: {certificate}, key_file: {key}}}"
    client = PrometheusClient(strict, read_access(config(tmp_path, text)))
    with pytest.raises(Exception, match="cannot be reached"):
        await client.get("labels")
    certificate.write_bytes(good[0])
    key.write_bytes(good[1])
    await client.get("labels")
    await client.aclose()
    assert len(api.headers) == 1


async def test_a_server_whose_authority_is_not_named_is_not_asked(api: Api, secure: str) -> None:
    with pytest.raises(Exception, match=r"cannot be reached.*CERTIFICATE_VERIFY_FAILED"):
        await ask(secure, None)
    assert api.headers == []


async def test_a_redirect_is_named_and_not_followed_with_the_credentials(
    api: Api, plain: str, tmp_path: Path, settings: ServerSettings
) -> None:
    api.answers = [(302, "gone", {"Location": "http://ann:hunter2@127.0.0.1:1/elsewhere?token=x"})]
    private(tmp_path / "token", TOKEN)
    file = config(tmp_path, "bearer_token_file: token")
    caller = Caller.of("metrics", replace(settings, prometheus=plain, prometheus_http_config=file))
    text = await caller.error("metrics_query", query="up")
    assert "redirects to http://127.0.0.1:1/elsewhere, which is not followed" in text
    assert "hunter2" not in text
    assert len(api.headers) == 1


async def test_a_server_that_repeats_the_credentials_does_not_get_them_shown_or_written_down(
    api: Api, plain: str, tmp_path: Path, settings: ServerSettings
) -> None:
    pair = base64.b64encode(f"ann:{PASSWORD}".encode()).decode()
    error = {"status": "error", "errorType": "bad_data", "error": f"you sent {PASSWORD} as {pair}"}
    api.answers = [(401, f"who is {pair}, {PASSWORD}?", {}), (400, orjson.dumps(error).decode(), {})]
    file = config(tmp_path, f"basic_auth: {{username: ann, password: {PASSWORD}}}")
    caller = Caller.of("metrics", replace(settings, prometheus=plain, prometheus_http_config=file))
    shown = [await caller.error("metrics_query", query="up") for _ in range(2)]
    assert "--prometheus-http-config FILE gives them" in shown[0]
    assert "you sent [redacted] as [redacted]" in shown[1]
    kept = b"".join(entry.read_bytes() for entry in settings.state.rglob("*") if entry.is_file()).decode()
    for text in (*shown, kept):
        assert PASSWORD not in text
        assert pair not in text


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("basic_auth: {username: ann}", "basic_auth.password"),
        (f"basic_auth: {{username: ann, password: {TOKEN}, password_file: x}}", "one of both"),
        (f"basic_auth: {{username: a, password: {TOKEN}}}\nauthorization: {{credentials: {TOKEN}}}", "give one of"),
        (f"authorization: {{credentials: {TOKEN}, typ: Bearer}}", "is not known here"),
        ("tls_config: {insecure_skip_verify: true}", "a certificate is always checked"),
        ("follow_redirects: true", "a redirect is never followed"),
        ("tls_config: {cert_file: a.pem}", "belong together"),
        (f"http_headers: {{Authorization: {{secrets: [{TOKEN}]}}}}", "cannot be set here"),
        ("http_headers: {X-Scope-OrgID: {values: [a, b]}}", "give one value"),
        (f"authorization: [{TOKEN}", "is no YAML"),
        (f"- {TOKEN}", "valid dictionary"),
        ("bearer_token_file: missing", "cannot be read"),
        (f'authorization: {{credentials: "{TOKEN}\\nX-Other: 1"}}', "no"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_by_its_place_and_without_its_values(
    tmp_path: Path, text: str, told: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        read_access(config(tmp_path, text))
    assert told in str(caught.value)
    assert TOKEN not in str(caught.value)
    assert "--prometheus-http-config" in str(caught.value)


def test_secrets_that_others_can_read_are_refused(tmp_path: Path) -> None:
    file = config(tmp_path, "bearer_token_file: token")
    private(tmp_path / "token", TOKEN).chmod(0o644)
    with pytest.raises(SettingsError, match=r"chmod 600 .*token"):
        read_access(file)
    (tmp_path / "token").chmod(0o600)
    file.chmod(0o640)
    with pytest.raises(SettingsError, match=r"chmod 600 .*http\.yml"):
        read_access(file)


@pytest.mark.parametrize("url", ["http://mimir.example.org", "http://10.0.0.8:9090", "http://127.evil.example:9090"])
def test_credentials_do_not_pass_in_the_clear_unless_the_file_says_so(tmp_path: Path, url: str) -> None:
    private(tmp_path / "token", TOKEN)
    access = read_access(config(tmp_path, "bearer_token_file: token"))
    with pytest.raises(SettingsError, match="in the clear"):
        access.check_url(url)
    access.check_url("http://[::1]:9090")
    access.check_url(url.replace("http:", "https:"))
    read_access(config(tmp_path, "bearer_token_file: token\nallow_plain_http: true")).check_url(url)


def test_a_password_in_the_url_is_refused_and_not_shown() -> None:
    with pytest.raises(SettingsError, match="user or password") as caught:
        Access().check_url("https://ann:hunter2@metrics.example.org")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("status", "body", "told"),
    [
        (404, "404 page not found", "is a prefix such as /prometheus missing"),
        (502, "<html>bad gateway</html>", "HTTP 502 and no JSON: <html>bad gateway"),
        (200, "<html>sign in</html>", "HTTP 200 and no JSON"),
        (422, '{"message": "tenant is over its limits"}', "not as a Prometheus API does: tenant is over its limits"),
        (200, "[1, 2]", "not as a Prometheus API does"),
        (503, "", "an empty body"),
    ],
)
async def test_what_is_no_answer_of_prometheus_is_told_with_its_status_and_the_mend(
    api: Api, plain: str, status: int, body: str, told: str
) -> None:
    api.answers = [(status, body or " ", {})]
    with pytest.raises(Exception, match=r".") as caught:
        await ask(plain, None)
    assert told in str(caught.value)


async def test_an_api_that_knows_no_limit_is_asked_again_without_it_and_remembered(api: Api, plain: str) -> None:
    api.answers = [(400, '{"status": "error", "errorType": "bad_data", "error": "unknown parameter: limit"}', {})]
    client = PrometheusClient(plain)
    for _ in range(2):
        await client.query("query", {"query": "up", "limit": 5})
    await client.aclose()
    assert ["limit" in path for path in api.paths] == [True, False, False]


async def test_an_endless_answer_is_not_read_to_its_end(api: Api, plain: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("midwatch_mcp.metrics.client.MAX_BYTES", 4 * 1024**2)
    api.answers = [(200, "x" * (5 * 1024**2), {})]
    with pytest.raises(Exception, match="answers more than 4 MiB: aggregate with sum by"):
        await ask(plain, None)


PASSWORD_OF_THE_DOCS = "test"
"""https://prometheus.io/docs/guides/basic-auth/ has its bcrypt hash."""
HASH = "$2b$12$hNf2lSsxfm0.i4a.1kVpSOVyBCfIB51VRjgBUyv6kdnyTlgWj81Ay"
RULES = """
groups:
- name: own
  interval: 1s
  rules:
  - {record: "ingest:samples:rate1m", expr: 'rate(prometheus_tsdb_head_samples_appended_total[1m])'}
  - {alert: Always, expr: vector(1), for: 1h, labels: {severity: page}}
  - {alert: Never, expr: up > 2}
"""


@pytest.fixture(scope="module")
def original(
    prometheus_binaries: Path, authority: Authority, tmp_path_factory: pytest.TempPathFactory
) -> Generator[tuple[str, Path]]:
    """The original Prometheus behind TLS, a client certificate and a password, under a prefix; with our file for it."""
    home = tmp_path_factory.mktemp("prometheus")
    (certificate, key), (own, own_key) = authority.issue("original"), authority.issue("reader")
    ca = authority.folder / "ca.pem"
    tls = f"{{ca_file: {ca}, cert_file: {own}, key_file: {own_key}}}"
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
    way_in = f"basic_auth: {{username: ann, password: {PASSWORD_OF_THE_DOCS}}}\ntls_config: {tls}\n"
    targets = f"static_configs: [{{targets: ['127.0.0.1:{port}']}}]"
    scrape = f"{{job_name: own, scheme: https, metrics_path: /deep/metrics, {targets}"
    private(
        home / "prometheus.yml",
        f"global: {{scrape_interval: 1s}}\nrule_files: [rules.yml]\nscrape_configs:\n- {scrape}, "
        f"basic_auth: {{username: ann, password: {PASSWORD_OF_THE_DOCS}}}, tls_config: {tls}}}\n",
    )
    (home / "rules.yml").write_text(RULES, "utf-8")
    private(
        home / "web.yml",
        f"basic_auth_users: {{ann: {HASH}}}\ntls_server_config: {{cert_file: {certificate}, key_file: {key}, "
        f"client_ca_file: {ca}, client_auth_type: RequireAndVerifyClientCert}}\n",
    )
    words = [
        *(str(prometheus_binaries / "prometheus"), f"--config.file={home / 'prometheus.yml'}"),
        *(f"--web.config.file={home / 'web.yml'}", f"--web.listen-address=127.0.0.1:{port}"),
        *(f"--storage.tsdb.path={home / 'data'}", "--web.external-url=https://127.0.0.1/deep"),
    ]
    with (home / "log").open("wb") as log, subprocess.Popen(words, stdout=log, stderr=log, cwd=home) as process:
        try:
            yield f"https://127.0.0.1:{port}/deep", config(home, way_in)
        finally:
            process.kill()


@pytest.mark.original
@pytest.mark.slow
async def test_the_original_lets_us_in_and_answers_every_tool(
    original: tuple[str, Path], settings: ServerSettings
) -> None:
    url, file = original
    caller = Caller.of("metrics", replace(settings, prometheus=url, prometheus_http_config=file))
    deadline = time.monotonic() + 60
    while True:
        answer = await caller.call("metrics_query", {"query": "count(ingest:samples:rate1m)"})
        if answer.structured_content is not None and answer.structured_content["data"]["series"]:
            break
        assert time.monotonic() < deadline, answer
        await asyncio.sleep(0.3)
    first = (await caller.data("metrics_search", text="samples appended to the head"))["metrics"][0]
    assert (first["name"], first["type"], first["series"]) == (
        "prometheus_tsdb_head_samples_appended_total",
        "counter",
        2,
    )
    recorded = (await caller.data("metrics_search", text="ingest samples"))["metrics"][0]
    assert (recorded["name"], recorded["help"][:15]) == ("ingest:samples:rate1m", "recorded: rate(")
    asked = await caller.data("metrics_range", query="prometheus_tsdb_head_series", duration="30s")
    assert asked["series"][0]["points"]
    assert (await caller.data("metrics_targets"))["up"] == 1
    (pending,) = (await caller.data("metrics_alerts"))["alerts"]
    assert (pending["state"], pending["expr"], pending["for_s"]) == ("pending", "vector(1)", 3600)
    (quiet,) = (await caller.data("metrics_alerts", state="inactive"))["alerts"]
    assert (quiet["name"], quiet["expr"]) == ("Never", "up > 2")
    wrong = config(settings.state.parent, file.read_text("utf-8").replace("password: test", "password: tset"))
    stranger = Caller.of("metrics", replace(settings, prometheus=url, prometheus_http_config=wrong))
    text = await stranger.error("metrics_query", query="up")
    assert "--prometheus-http-config FILE gives them" in text
    assert "tset" not in text
