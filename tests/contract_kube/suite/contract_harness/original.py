"""The original: a kube-apiserver over its etcd, without controllers, so that what is written is what is read."""

import socket
import ssl
import subprocess
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import httpx2
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

USERS: Final = {
    "admin": "system:masters",
    "midwatch": "midwatch",
    "editor": "editors",
    "viewer": "viewers",
    "nobody": "nobodies",
}
"""Each user's group. Token `t-NAME` is theirs."""
_VIEW: Final = "system:aggregate-to-view"
ROLES: Final = (
    ("midwatch", "midwatch", "cluster-admin"),
    ("viewers", "viewers", _VIEW),
    ("editors", "editors", "system:aggregate-to-edit"),
    ("editors-view", "editors", _VIEW),
)
"""(binding, group, role): parts of `view` and `edit`, which stay empty themselves until a controller fills them."""
BINDINGS: Final = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings"
_STARTED_S: Final = 60


def headers_of(user: str | None) -> dict[str, str]:
    """Return the headers by which a user is known; None sends none."""
    return {"Authorization": f"Bearer t-{user}"} if user else {}


def unverified() -> ssl.SSLContext:
    """Return a context that trusts any certificate: the server makes its own at each start."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


@contextmanager
def running(binaries: Path, folder: Path) -> Generator[str]:
    """Run the original until the block ends; gives its URL."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL
    (folder / "sa.key").write_bytes(key.private_bytes(encoding, form, serialization.NoEncryption()))
    tokens = "".join(f't-{user},{user},{user},"{group}"\n' for user, group in USERS.items())
    (folder / "tokens.csv").write_text(tokens)
    client, peer, api = _free_port(), _free_port(), _free_port()
    etcd = [
        str(binaries / "etcd"), f"--data-dir={folder / 'etcd'}", "--unsafe-no-fsync",
        f"--listen-client-urls=http://127.0.0.1:{client}", f"--advertise-client-urls=http://127.0.0.1:{client}",
        f"--listen-peer-urls=http://127.0.0.1:{peer}",
    ]  # fmt: skip
    server = [
        str(binaries / "kube-apiserver"), f"--etcd-servers=http://127.0.0.1:{client}",
        "--bind-address=127.0.0.1", f"--secure-port={api}", f"--cert-dir={folder / 'certs'}",
        f"--token-auth-file={folder / 'tokens.csv'}", "--authorization-mode=RBAC",
        "--service-account-issuer=https://kubernetes.default.svc", f"--service-account-key-file={folder / 'sa.key'}",
        f"--service-account-signing-key-file={folder / 'sa.key'}", "--service-cluster-ip-range=10.96.0.0/16",
        "--disable-admission-plugins=ServiceAccount",
        # Else the oldest versions go after five minutes, and cases differ on a slow machine.
        "--etcd-compaction-interval=0",
    ]  # fmt: skip
    url = f"https://127.0.0.1:{api}"
    with (folder / "log").open("wb") as log:
        processes = [subprocess.Popen(command, stdout=log, stderr=log, cwd=folder) for command in (etcd, server)]
        try:
            deadline = time.monotonic() + _STARTED_S
            while not _answers(url):
                assert time.monotonic() < deadline, (folder / "log").read_text()[-2000:]
                time.sleep(0.1)
            _give_roles(url)
            yield url
        finally:
            for process in reversed(processes):
                process.kill()
            for process in processes:
                process.wait(20)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _answers(url: str) -> bool:
    try:
        with httpx2.Client(verify=unverified(), headers=headers_of("admin")) as http:
            return http.get(f"{url}/readyz").status_code == 200
    except httpx2.HTTPError:
        return False


def bindings() -> Iterator[dict[str, Any]]:
    """Yield the bindings that give the users their rights, as both sides are sent them."""
    for name, group, role in ROLES:
        subject = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": group}
        reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role}
        yield {"metadata": {"name": name}, "roleRef": reference, "subjects": [subject]}


def _give_roles(url: str) -> None:
    with httpx2.Client(base_url=url, verify=unverified(), headers=headers_of("admin")) as http:
        for body in bindings():
            http.post(BINDINGS, json=body).raise_for_status()
