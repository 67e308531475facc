"""Where discovery reads the cluster's objects."""

from typing import Protocol

from midwatch_lab.objects import Object


class Objects(Protocol):
    """Where the cluster's objects are read."""

    def items(self, key: tuple[str, str], namespace: str = "") -> list[Object]:
        """Return the objects of a resource, of one namespace or of all; an unchanged one is the same one again."""
        ...
