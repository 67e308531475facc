"""What an admission plugin sees of a write, and what it may look at beside."""

from dataclasses import dataclass
from typing import Protocol

from midwatch_lab import status
from midwatch_lab.errors import ApiError
from midwatch_lab.kinds.resources import Resource
from midwatch_lab.objects import Object, meta, name_of, namespace_of


class Contents(Protocol):
    """The objects that are there."""

    def get(self, key: tuple[str, str], namespace: str, name: str) -> Object | None:
        """Return an object, or None."""
        ...

    def items(self, key: tuple[str, str], namespace: str = "") -> list[Object]:
        """Return the objects of a resource, of one namespace or of all."""
        ...


@dataclass(frozen=True)
class Request:
    """One write: of `obj`, in the place of `old` where that is given, through the door that `subresource` says."""

    resource: Resource
    obj: Object
    old: Object | None = None
    subresource: str = ""

    @property
    def creates(self) -> bool:
        """Whether the object is new."""
        return self.old is None

    @property
    def namespace(self) -> str:
        """Where the object is."""
        return namespace_of(self.obj)

    def refuse(self, why: str) -> ApiError:
        """Return the refusal of the write: 403, in the words of admission."""
        name = name_of(self.obj) or str(meta(self.obj).get("generateName", "Unknown"))
        return status.forbidden(self.resource.plural, self.resource.group, name, why)
