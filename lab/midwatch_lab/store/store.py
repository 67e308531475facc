"""Objects in memory, with versions and a bounded history. Nothing here awaits, so every write is one transaction."""

from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from midwatch_contracts.canonical import sha256_hex
from midwatch_lab import status
from midwatch_lab.kinds.resources import Resource
from midwatch_lab.objects import Object, entity_of, meta, name_of, namespace_of
from midwatch_lab.store.audit import Audit, Origin

Key: TypeAlias = tuple[str, str]
"""(group, plural): which resource's objects."""
Listener: TypeAlias = "Callable[[Change], None]"

_HISTORY = 20_000


@dataclass(frozen=True)
class Change:
    """One write as a watcher sees it; `obj` is the new state, and for a deletion the last one, at its own version."""

    type: Literal["ADDED", "MODIFIED", "DELETED"]
    key: Key
    obj: Object
    old: Object | None
    version: int


@dataclass
class Store:
    """All objects. Stored objects are never changed in place: who wants to change one copies it first."""

    audit: Audit
    version: int = 1
    _objects: dict[Key, dict[tuple[str, str], Object]] = field(
        default_factory=lambda: defaultdict[Key, dict[tuple[str, str], Object]](dict)
    )
    _hashes: dict[tuple[Key, str, str], str] = field(default_factory=dict[tuple[Key, str, str], str])
    _history: deque[Change] = field(default_factory=lambda: deque[Change](maxlen=_HISTORY))
    _forgotten: int = 0
    _listeners: list[Listener] = field(default_factory=list[Listener])

    def get(self, key: Key, namespace: str, name: str) -> Object | None:
        """Return an object, or None."""
        return self._objects[key].get((namespace, name))

    def items(self, key: Key, namespace: str = "") -> list[Object]:
        """Return the objects of a resource, of one namespace or of all, in the order of namespace and name."""
        found = self._objects[key]
        return [found[place] for place in sorted(found) if not namespace or place[0] == namespace]

    def items_at(self, key: Key, namespace: str, version: int) -> list[Object]:
        """Return what `items` gave when the store had `version`.

        Raises:
            ApiError: 410 when the history does not reach back so far.
        """
        state = dict(self._objects[key])
        for change in reversed(self.since(key, version)):
            place = (namespace_of(change.obj), name_of(change.obj))
            if change.old is None:
                state.pop(place, None)
            else:
                state[place] = change.old
        return [state[place] for place in sorted(state) if not namespace or place[0] == namespace]

    def since(self, key: Key, version: int) -> list[Change]:
        """Return the changes of a resource after `version`, oldest first.

        Raises:
            ApiError: 410 when the history does not reach back so far.
        """
        if version < self._forgotten:
            raise status.expired(f"too old resource version: {version} ({self._forgotten})")
        found: list[Change] = []
        for change in reversed(self._history):
            if change.version <= version:
                break
            if change.key == key:
                found.append(change)
        found.reverse()
        return found

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Have every change told to `listener`, within the write itself; returns what ends that."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def create(self, resource: Resource, obj: Object, origin: Origin) -> Object:
        """Store a new object and return it with its version; on a dry run nothing is stored.

        Raises:
            ApiError: 409 when one of that name is there.
        """
        place = (namespace_of(obj), name_of(obj))
        if place in self._objects[resource.key]:
            raise status.already_exists(resource, name_of(obj))
        return self._put(resource, obj, None, origin)

    def update(self, resource: Resource, obj: Object, old: Object, origin: Origin) -> Object:
        """Put `obj` in the place of `old` and return it with its version; on a dry run nothing is stored.

        Raises:
            ApiError: 409 when `old` is not what is stored.
        """
        if self._objects[resource.key].get((namespace_of(old), name_of(old))) is not old:
            raise status.conflict(resource, name_of(old))
        return self._put(resource, obj, old, origin)

    def delete(self, resource: Resource, old: Object, origin: Origin) -> Object:
        """Remove an object and return its last state; on a dry run nothing is removed.

        Raises:
            ApiError: 409 when `old` is not what is stored.
        """
        place = (namespace_of(old), name_of(old))
        if self._objects[resource.key].get(place) is not old:
            raise status.conflict(resource, name_of(old))
        before = self._hash(resource.key, old)
        self.audit.append(origin, entity_of(old), before, None)
        if origin.dry_run:
            return old
        del self._objects[resource.key][place]
        self._hashes.pop((resource.key, *place), None)
        last = self._stamped(old)
        self._tell(Change("DELETED", resource.key, last, old, self.version))
        return last

    def _put(self, resource: Resource, obj: Object, old: Object | None, origin: Origin) -> Object:
        before = None if old is None else self._hash(resource.key, old)
        if old is not None and old == obj:
            self.audit.append(origin, entity_of(old), before, before)
            return old
        if origin.dry_run:
            self.audit.append(origin, entity_of(obj), before, sha256_hex(obj))
            return obj
        place = (namespace_of(obj), name_of(obj))
        new = self._stamped(obj)
        self._objects[resource.key][place] = new
        after = self._hashes[(resource.key, *place)] = sha256_hex(new)
        self.audit.append(origin, entity_of(new), before, after)
        self._tell(Change("ADDED" if old is None else "MODIFIED", resource.key, new, old, self.version))
        return new

    def _stamped(self, obj: Object) -> Object:
        self.version += 1
        return {**obj, "metadata": {**meta(obj), "resourceVersion": str(self.version)}}

    def _hash(self, key: Key, obj: Object) -> str:
        place = (key, namespace_of(obj), name_of(obj))
        return self._hashes.get(place) or sha256_hex(obj)

    def _tell(self, change: Change) -> None:
        if len(self._history) == self._history.maxlen:
            self._forgotten = self._history[0].version
        self._history.append(change)
        for listener in list(self._listeners):
            listener(change)
