"""The original: a kube-apiserver over its etcd, without controllers, so that what is written is what is read.

Contract tests and benchmarks hold the lab against it. Token `t-NAME` is that of the user NAME. `original_plane` adds
what reconciles and runs.
"""

import json
import os
import socket
import ssl
import subprocess
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx2
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from midwatch_lab.errors import OriginalError

_ADMIN: Final = {"admin": "system:masters"}
_STARTED_S: Final = 60
_AUDIT_POLICY: Final = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [
        {"level": "RequestResponse", "verbs": ["create", "update", "patch", "delete", "deletecollection"]},
        {"level": "None"},
    ],
}


@dataclass(frozen=True)
class Original:
    """A running original."""

    url: str
    pids: tuple[int, ...]
    """Of etcd and of kube-apiserver."""
    certificate: Path
    """What it signs with, itself."""

    def kubeconfig(self, file: Path, user: str = "admin") -> Path:
        """Write a kubeconfig of a user, and return its path."""
        server = {"server": self.url, "certificate-authority": str(self.certificate)}
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": user,
            "clusters": [{"name": "original", "cluster": server}],
            "users": [{"name": user, "user": {"token": f"t-{user}"}}],
            "contexts": [{"name": user, "context": {"cluster": "original", "user": user}}],
        }
        file.touch(0o600)
        file.write_text(json.dumps(document), "utf-8")
        return file


def binaries() -> Path:
    """Return the folder of the programs, which KUBEBUILDER_ASSETS names.

    Raises:
        OriginalError: when they are not there.
    """
    folder = os.environ.get("KUBEBUILDER_ASSETS")
    if not folder or not all((Path(folder) / name).is_file() for name in ("kube-apiserver", "etcd")):
        raise OriginalError(
            "no kube-apiserver and etcd to hold the lab against: name their folder in KUBEBUILDER_ASSETS"
        )
    return Path(folder)


def headers_of(user: str | None) -> dict[str, str]:
    """Return the headers by which a user is known; None sends none."""
    return {"Authorization": f"Bearer t-{user}"} if user else {}


def unverified() -> ssl.SSLContext:
    """Return a context that trusts any certificate: the server makes its own at each start."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


@contextmanager
def running(
    programs: Path, folder: Path, *, users: Mapping[str, str] = _ADMIN, audit: bool = False
) -> Generator[Original]:
    """Run the programs in a folder of their own until the block ends.

    Args:
        programs: folder of kube-apiserver and etcd.
        folder: an empty one, for their files.
        users: each user's group.
        audit: whether every write goes into `audit.log` of the folder, with its bodies, before it is answered.

    Raises:
        OriginalError: when they do not come up.
    """
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL
    (folder / "sa.key").write_bytes(key.private_bytes(encoding, form, serialization.NoEncryption()))
    tokens = "".join(f't-{user},{user},{user},"{group}"\n' for user, group in users.items())
    (folder / "tokens.csv").write_text(tokens)
    client, peer, api = free_port(), free_port(), free_port()
    etcd = [
        str(programs / "etcd"), f"--data-dir={folder / 'etcd'}", "--unsafe-no-fsync",
        f"--listen-client-urls=http://127.0.0.1:{client}", f"--advertise-client-urls=http://127.0.0.1:{client}",
        f"--listen-peer-urls=http://127.0.0.1:{peer}",
    ]  # fmt: skip
    server = [
        str(programs / "kube-apiserver"), f"--etcd-servers=http://127.0.0.1:{client}",
        "--bind-address=127.0.0.1", f"--secure-port={api}", f"--cert-dir={folder / 'certs'}",
        f"--token-auth-file={folder / 'tokens.csv'}", "--authorization-mode=RBAC",
        "--service-account-issuer=https://kubernetes.default.svc", f"--service-account-key-file={folder / 'sa.key'}",
        f"--service-account-signing-key-file={folder / 'sa.key'}", "--service-cluster-ip-range=10.96.0.0/16",
        "--disable-admission-plugins=ServiceAccount",
        # Else the oldest versions go after five minutes, and cases differ on a slow machine.
        "--etcd-compaction-interval=0",
    ]  # fmt: skip
    if audit:
        (folder / "audit-policy.json").write_text(json.dumps(_AUDIT_POLICY))
        server += [f"--audit-policy-file={folder / 'audit-policy.json'}", f"--audit-log-path={folder / 'audit.log'}"]
    url = f"https://127.0.0.1:{api}"
    with (folder / "log").open("wb") as log:
        processes = [subprocess.Popen(command, stdout=log, stderr=log, cwd=folder) for command in (etcd, server)]
        try:
            deadline = time.monotonic() + _STARTED_S
            while not _answers(url):
                if time.monotonic() > deadline:
                    raise OriginalError(f"kube-apiserver did not come up: {(folder / 'log').read_text()[-2000:]}")
                time.sleep(0.1)
            pids = tuple(process.pid for process in processes)
            yield Original(url, pids, folder / "certs" / "apiserver.crt")
        finally:
            for process in reversed(processes):
                process.kill()
            for process in processes:
                process.wait(20)


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _answers(url: str) -> bool:
    try:
        with httpx2.Client(verify=unverified(), headers=headers_of("admin")) as http:
            return http.get(f"{url}/readyz").is_success
    except httpx2.HTTPError:
        return False
