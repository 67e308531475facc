"""What a write is, as watchers and the journal have it."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

from midwatch_lab.objects import Object, meta

Key: TypeAlias = tuple[str, str]
"""(group, plural): which resource's objects."""
Place: TypeAlias = tuple[str, str]
"""(namespace, name) of an object among those of its resource."""


def in_order(place: Place) -> str:
    """Return what places are sorted by: the path of a key, in which `team-a/x` comes before `team/x`."""
    return "/".join(place)


@dataclass(frozen=True)
class Change:
    """One write as a watcher sees it; `obj` is the new state, and for a deletion the last one, at its own version."""

    type: Literal["ADDED", "MODIFIED", "DELETED"]
    key: Key
    obj: Object
    old: Object | None
    version: int


def at_version(obj: Object, version: int) -> Object:
    """Return an object as the write with that version leaves it."""
    return {**obj, "metadata": {**meta(obj), "resourceVersion": str(version)}}
