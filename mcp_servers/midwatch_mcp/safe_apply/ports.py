"""What the envelope needs of the world, as small protocols; `targets.py` and `fakes.py` implement them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from midwatch_contracts.plan import Target


@dataclass(frozen=True)
class Snapshot:
    """A target as it was read.

    `version` is what the next write is conditional on: a Kubernetes resourceVersion, or the ETag of a serving
    configuration. `value` is the object, or the body of `GET /admin/config`.
    """

    uid: str
    version: str
    value: dict[str, Any]


@dataclass(frozen=True)
class Write:
    """One conditional write, without its condition: whoever sends it adds the version that was read.

    `form`: one of the patch types of the Kubernetes API, or `config` (PATCH /admin/config).
    """

    form: Literal["strategic", "merge", "json", "config"]
    body: Any


@dataclass(frozen=True)
class Kind:
    """A kind as discovery tells it."""

    api_version: str
    kind: str
    namespaced: bool


class TargetApi(Protocol):
    """Reads and writes targets. All methods raise the `TargetError` that fits."""

    async def cluster_uid(self) -> str:
        """Return the uid of the namespace `kube-system`."""
        ...

    async def kind(self, kind: str, api_version: str | None) -> Kind:
        """Return what discovery says of a kind; the preferred version where none is given."""
        ...

    async def read(self, target: Target) -> Snapshot:
        """Return the target as it is."""
        ...

    async def write(self, target: Target, write: Write, *, version: str, dry_run: bool) -> Snapshot:
        """Write if the target still has `version`, and return what it then is; a dry run stores nothing."""
        ...

    async def objects(self, kind: str, namespace: str) -> Sequence[Mapping[str, Any]]:
        """Return the objects of a kind in a namespace; empty where the cluster does not have the kind."""
        ...
