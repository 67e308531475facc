"""What the envelope needs of the world, as small protocols; `targets.py` and `fakes.py` implement them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from midwatch_contracts.entity import Entity
from midwatch_contracts.plan import Target

View = Literal["state", "drain", "adapters", "requests", "process"]
"""What is read of a target. `state`: the object, or the serving configuration. The others are of a serving backend:
`GET /admin/drain`, the adapters of `GET /v1/models` as `{adapters: {name: path}}`, the requests of
`GET /admin/requests` as `{requests: {id: state}}`, and nothing but the pod itself as `{}`."""

Form = Literal["strategic", "merge", "json", "apply", "create", "delete", "evict", "exec", "config", "call"]


@dataclass(frozen=True)
class Snapshot:
    """A target as it was read.

    `version` is what the next write is conditional on: a Kubernetes resourceVersion, or the ETag of a serving
    configuration. `value` is the object, or the body of the answer. Without an object all three are empty.
    """

    uid: str
    version: str
    value: dict[str, Any]
    answer: dict[str, Any] = field(default_factory=dict[str, Any])
    """What a write answered beside the state that it left: the output of a command, how many requests were cut."""
    pod: dict[str, Any] = field(default_factory=dict[str, Any])
    """The pod behind a serving backend; empty for an object, and for what a write returns."""

    @property
    def holder(self) -> dict[str, Any]:
        """The object whose labels, annotations and owners protect the target: itself, or the pod of a backend."""
        return self.pod or self.value

    @property
    def absent(self) -> bool:
        """Whether there is no such object."""
        return not self.uid


ABSENT = Snapshot("", "", {})
"""An object that is not there, as a snapshot like any other."""


@dataclass(frozen=True)
class Write:
    """One conditional write, without its condition: whoever sends it adds the uid and the version that were read.

    `form` and `body`: one of the patch types of the Kubernetes API, `apply` (server-side apply, never forced), `create`
    (the object), `delete` and `evict` (fields of DeleteOptions), `exec` (`{container, argv, timeout_s}`), `config`
    (PATCH /admin/config), or `call`: `method` and `path` of a serving backend, which knows no condition.
    """

    form: Form
    body: Any
    method: str = ""
    path: str = ""


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

    async def read(self, target: Target, view: View = "state") -> Snapshot:
        """Return the target as it is; a `TargetMissingError` where there is none."""
        ...

    async def write(self, target: Target, write: Write, *, read: Snapshot, dry_run: bool) -> Snapshot:
        """Write if the target is still as it was `read`, and return what it then is; a dry run stores nothing."""
        ...

    async def objects(self, kind: str, namespace: str) -> Sequence[Mapping[str, Any]]:
        """Return the objects of a kind in a namespace, or in all (`""`); empty where the cluster has no such kind."""
        ...

    async def dependents(self, uid: str, namespace: str) -> Sequence[Entity]:
        """Return the objects of a namespace that an object owns, whatever their kind."""
        ...
