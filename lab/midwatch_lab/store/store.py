"""Objects in memory, with versions and a bounded history. Nothing here awaits, so every write is one transaction.

A write counts once the audit's journal has it: objects, history and listeners learn of it after that, or never.
"""

from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from midwatch_lab import status
from midwatch_lab.kinds.resources import Resource
from midwatch_lab.objects import Object, entity_of, name_of, namespace_of
from midwatch_lab.store.audit import Audit, Origin
from midwatch_lab.store.changes import Change, Key, Place, at_version, in_order
from midwatch_lab.store.hashing import object_sha256
from midwatch_lab.store.journal import HISTORY, Saved

Listener: TypeAlias = Callable[[Change], None]


@dataclass
class Store:
    """All objects. Stored objects are never changed in place: who wants to change one copies it first."""

    audit: Audit
    version: int = field(init=False)
    _objects: dict[Key, dict[Place, Object]] = field(init=False)
    _order: dict[Key, list[Place]] = field(default_factory=dict[Key, list[Place]])
    """The places of a resource in order, until one is added or removed."""
    _hashes: dict[tuple[Key, str, str], str] = field(default_factory=dict[tuple[Key, str, str], str])
    _history: deque[Change] = field(init=False)
    _forgotten: int = field(init=False)
    _listeners: list[Listener] = field(default_factory=list[Listener])

    def __post_init__(self) -> None:
        saved = self.audit.journal.load()
        self.version, self._forgotten, self._objects = saved.version, saved.forgotten, saved.objects
        self._history = deque(saved.history, maxlen=HISTORY)
        self.audit.keep(saved.entries)

    def get(self, key: Key, namespace: str, name: str) -> Object | None:
        """Return an object, or None."""
        return self._objects[key].get((namespace, name))

    def items(self, key: Key, namespace: str = "") -> list[Object]:
        """Return the objects of a resource, of one namespace or of all, in the order of namespace and name."""
        found, order = self._objects[key], self._order.get(key)
        if order is None:
            order = self._order[key] = sorted(found, key=in_order)
        if not namespace:
            return [found[place] for place in order]
        return [found[place] for place in order if place[0] == namespace]

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
        return [state[place] for place in sorted(state, key=in_order) if not namespace or place[0] == namespace]

    def saved(self) -> Saved:
        """Return all that is here as another store may start from it; the objects themselves are shared."""
        objects = defaultdict[Key, dict[Place, Object]](dict, {key: dict(at) for key, at in self._objects.items()})
        return Saved(self.version, self._forgotten, objects, list(self._history))

    def present(self) -> list[Change]:
        """Return every object as if it were made at this moment, for who starts to look after them."""
        return [Change("ADDED", key, obj, None, self.version) for key in list(self._objects) for obj in self.items(key)]

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
        if origin.dry_run:
            self.audit.append(origin, entity_of(old), before, None)
            return old
        last = at_version(old, self.version + 1)
        entry = self.audit.entry(origin, entity_of(old), before, None)
        self._commit(Change("DELETED", resource.key, last, old, self.version + 1), entry, None)
        return last

    def _put(self, resource: Resource, obj: Object, old: Object | None, origin: Origin) -> Object:
        before = None if old is None else self._hash(resource.key, old)
        if old is not None and old == obj:
            self.audit.append(origin, entity_of(old), before, before)
            return old
        if origin.dry_run:
            self.audit.append(origin, entity_of(obj), before, object_sha256(obj))
            return obj
        new = at_version(obj, self.version + 1)
        after = object_sha256(new)
        entry = self.audit.entry(origin, entity_of(new), before, after)
        kind = "ADDED" if old is None else "MODIFIED"
        self._commit(Change(kind, resource.key, new, old, self.version + 1), entry, after)
        return new

    def _hash(self, key: Key, obj: Object) -> str:
        place = (key, namespace_of(obj), name_of(obj))
        return self._hashes.get(place) or object_sha256(obj)

    def _commit(self, change: Change, entry: Object, sha256: str | None) -> None:
        """Make a change, once the journal has it; `sha256` is that of the new state, None for a deletion."""
        self.audit.journal.write(change, entry)
        self.audit.keep((entry,))
        self.version = change.version
        place = (namespace_of(change.obj), name_of(change.obj))
        if change.type != "MODIFIED":
            self._order.pop(change.key, None)
        if sha256 is None:
            del self._objects[change.key][place]
            self._hashes.pop((change.key, *place), None)
        else:
            self._objects[change.key][place] = change.obj
            self._hashes[(change.key, *place)] = sha256
        if len(self._history) == self._history.maxlen:
            self._forgotten = self._history[0].version
        self._history.append(change)
        for listener in list(self._listeners):
            listener(change)
