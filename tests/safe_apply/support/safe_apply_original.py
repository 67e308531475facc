"""An original API server of its own, with an audit log that says every write: the independent witness."""

import asyncio
import contextlib
import json
import secrets
import socket
import subprocess
import time
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from midwatch_mcp.errors import KubeError, UnreachableError
from midwatch_mcp.kubernetes.client import KubeClient
from midwatch_mcp.kubernetes.connection import Bounds

STARTED_S = 60.0
SELF_SIGNED = Bounds(insecure_skip_tls_verify=True)
WRITES = frozenset({"create", "update", "patch", "delete", "deletecollection"})

Json = dict[str, Any]


@dataclass(frozen=True)
class Original:
    """A running server: kubeconfigs of an administrator and of Midwatch, and what the server says was written."""

    home: Path

    @property
    def kubeconfig(self) -> Path:
        """Midwatch's own."""
        return self.home / "midwatch.json"

    def client(self, who: str = "admin") -> KubeClient:
        """Return a client, to be closed."""
        return KubeClient(self.home / f"{who}.json", bounds=SELF_SIGNED)

    def written(self) -> list[Json]:
        """Return Midwatch's writes and connections by the server's audit log, dry runs and questions aside."""
        lines = (self.home / "audit.log").read_text("utf-8").splitlines()
        entries = [json.loads(line) for line in lines if line.endswith("}")]
        return [
            entry
            for entry in entries
            if entry["user"]["username"] == "midwatch"
            and (
                entry["verb"] in WRITES
                or entry.get("objectRef", {}).get("subresource") in ("exec", "attach", "portforward")
            )
            and "dryRun=All" not in entry["requestURI"]
        ]


def _free_ports(number: int) -> list[int]:
    with contextlib.ExitStack() as held:
        bound = [held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(number)]
        return [entry.getsockname()[1] for entry in bound]


def _config(server: str, token: str) -> str:
    parts = {
        "clusters": [{"name": "original", "cluster": {"server": server, "insecure-skip-tls-verify": True}}],
        "users": [{"name": "user", "user": {"token": token}}],
        "contexts": [{"name": "original", "context": {"cluster": "original", "user": "user"}}],
    }
    return json.dumps({"apiVersion": "v1", "kind": "Config", "current-context": "original", **parts})


@contextlib.contextmanager
def running(binaries: Path, home: Path) -> Generator[Original]:
    """Run etcd and kube-apiserver, without controllers: what is written stays."""
    client, peer, port = _free_ports(3)
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption())
    (home / "sa.key").write_bytes(key.private_bytes(*form))
    tokens = {who: secrets.token_urlsafe(16) for who in ("admin", "midwatch")}
    (home / "tokens.csv").write_text(
        "".join(f'{token},{who},{who},"system:masters"\n' for who, token in tokens.items()), "utf-8"
    )
    policy = {"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived"]}
    (home / "audit.json").write_text(json.dumps({**policy, "rules": [{"level": "Metadata"}]}), "utf-8")
    for who, token in tokens.items():
        (home / f"{who}.json").write_text(_config(f"https://127.0.0.1:{port}", token), "utf-8")
    etcd, other = f"http://127.0.0.1:{client}", f"http://127.0.0.1:{peer}"
    commands = {
        "etcd": [
            *(f"--data-dir={home / 'etcd'}", f"--listen-client-urls={etcd}", f"--advertise-client-urls={etcd}"),
            *(f"--listen-peer-urls={other}", f"--initial-advertise-peer-urls={other}"),
            *(f"--initial-cluster=default={other}", "--unsafe-no-fsync"),
        ],
        "kube-apiserver": [
            *(f"--etcd-servers={etcd}", "--bind-address=127.0.0.1", f"--secure-port={port}"),
            *("--service-cluster-ip-range=10.96.0.0/16", f"--cert-dir={home / 'certs'}", "--authorization-mode=RBAC"),
            *(f"--token-auth-file={home / 'tokens.csv'}", f"--service-account-key-file={home / 'sa.key'}"),
            *(f"--service-account-signing-key-file={home / 'sa.key'}", "--service-account-issuer=https://original"),
            *("--anonymous-auth=false", "--endpoint-reconciler-type=none"),
            "--disable-admission-plugins=ServiceAccount",
            *(f"--audit-policy-file={home / 'audit.json'}", f"--audit-log-path={home / 'audit.log'}"),
        ],
    }
    with contextlib.ExitStack() as held:
        for name, words in commands.items():
            log = held.enter_context((home / f"{name}.log").open("wb"))
            process = subprocess.Popen([str(binaries / name), *words], stdout=log, stderr=log, cwd=home)
            held.callback(process.wait)
            held.callback(process.kill)
        original = Original(home)
        asyncio.run(_ready(original))
        yield original


async def _ready(original: Original) -> None:
    client = original.client()
    deadline = time.monotonic() + STARTED_S
    try:
        while True:
            try:
                await client.text("/readyz")
                await client.cluster_uid()
                break
            except (KubeError, UnreachableError) as error:
                if time.monotonic() > deadline:
                    raise TimeoutError("the original did not become ready") from error
                await asyncio.sleep(0.2)
        for name in ("llm",):
            await client.create("/api/v1/namespaces", {"metadata": {"name": name}})
    finally:
        await client.aclose()
