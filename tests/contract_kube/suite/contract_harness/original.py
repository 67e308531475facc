"""The original, with the users and roles of the cases."""

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import httpx2

from midwatch_lab import original
from midwatch_lab.original import headers_of, unverified

__all__ = ["BINDINGS", "USERS", "bindings", "headers_of", "running", "unverified"]

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


@contextmanager
def running(binaries: Path, folder: Path) -> Generator[str]:
    """Run the original until the block ends; gives its URL."""
    with original.running(binaries, folder, users=USERS) as found:
        _give_roles(found.url)
        yield found.url


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
