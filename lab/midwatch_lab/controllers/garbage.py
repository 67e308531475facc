"""Garbage collection by owner references, finalizers of deletion, and the emptying of deleted namespaces."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Final, TypeAlias

from midwatch_contracts.clock import Clock
from midwatch_lab.controllers.runtime import Controller, Key
from midwatch_lab.kinds.resources import NAMESPACES, SERVICE_ACCOUNTS, Resource
from midwatch_lab.objects import Object, copied, is_terminating, meta, name_of, namespace_of, uid_of
from midwatch_lab.registry.registry import Registry
from midwatch_lab.registry.upkeep import DeleteOptions
from midwatch_lab.store.store import Change
from midwatch_lab.store.store import Key as StoreKey

Place: TypeAlias = tuple[StoreKey, str, str]

_FOREGROUND: Final = "foregroundDeletion"
_ORPHAN: Final = "orphan"


class GarbageCollector(Controller):
    """Deletes what its owners left behind. Its keys are ("", uid of an owner)."""

    principal = "system:serviceaccount:kube-system:generic-garbage-collector"

    def __init__(self, registry: Registry, clock: Clock) -> None:
        super().__init__(registry, clock)
        self._places: dict[str, Place] = {}
        self._dependents: dict[str, set[str]] = defaultdict(set)

    def interested(self, change: Change) -> Iterable[Key]:
        """Return owners that go or wait to go, and owners of what went."""
        uid = uid_of(change.obj)
        owners = {str(ref["uid"]) for ref in meta(change.obj).get("ownerReferences", [])}
        before = {str(ref["uid"]) for ref in meta(change.old or {}).get("ownerReferences", [])}
        for gone in before - owners if change.type != "DELETED" else owners:
            self._dependents[gone].discard(uid)
        if change.type == "DELETED":
            self._places.pop(uid, None)
            yield "", uid
            yield from (("", owner) for owner in owners)
            return
        self._places[uid] = (change.key, namespace_of(change.obj), name_of(change.obj))
        for owner in owners:
            self._dependents[owner].add(uid)
            if owner not in self._places:
                yield "", owner
        if is_terminating(change.obj):
            yield "", uid

    def reconcile(self, key: Key) -> float | None:
        """Delete the dependents of an owner that is gone, or that waits for them."""
        uid = key[1]
        owner = self._find(uid)
        if owner is None:
            self._collect(uid, only_blocking=False)
            if not self._dependents.get(uid):
                self._dependents.pop(uid, None)
            return None
        finalizers: list[str] = meta(owner[1]).get("finalizers", [])
        if not is_terminating(owner[1]):
            return None
        if _ORPHAN in finalizers:
            self._orphan(uid)
            self._finish(*owner, _ORPHAN)
        elif _FOREGROUND in finalizers and not self._collect(uid, only_blocking=True):
            self._finish(*owner, _FOREGROUND)
        return None

    def _find(self, uid: str) -> tuple[Resource, Object] | None:
        place = self._places.get(uid)
        if place is None:
            return None
        resource = self.registry.catalog.by_storage(place[0])
        if resource is None:
            return None
        obj = self.registry.find(resource, place[1], place[2])
        return None if obj is None or uid_of(obj) != uid else (resource, obj)

    def _collect(self, uid: str, *, only_blocking: bool) -> bool:
        """Delete dependents; tells whether any is still there."""
        left = False
        for dependent in sorted(self._dependents.get(uid, ())):
            found = self._find(dependent)
            if found is None:
                continue
            resource, obj = found
            others = [ref for ref in meta(obj).get("ownerReferences", []) if ref["uid"] != uid]
            if any(self._find(str(ref["uid"])) is not None for ref in others):
                self._disown(resource, obj, uid)
                continue
            left = True
            if not is_terminating(obj):
                policy = DeleteOptions(uid=dependent, propagation="Foreground" if only_blocking else "Background")
                origin = self.origin("delete", resource, namespace_of(obj), name_of(obj))
                _, gone = self.registry.delete(resource, obj, policy, origin)
                left = left and not gone
        return left

    def _disown(self, resource: Resource, obj: Object, uid: str) -> None:
        draft = copied(obj)
        kept = [ref for ref in draft["metadata"]["ownerReferences"] if ref["uid"] != uid]
        draft["metadata"]["ownerReferences"] = kept
        origin = self.origin("patch", resource, namespace_of(obj), name_of(obj))
        self.registry.update(resource, obj, draft, origin)

    def _orphan(self, uid: str) -> None:
        for dependent in sorted(self._dependents.get(uid, ())):
            found = self._find(dependent)
            if found is not None:
                self._disown(*found, uid)

    def _finish(self, resource: Resource, obj: Object, finalizer: str) -> None:
        draft = copied(obj)
        draft["metadata"]["finalizers"] = [name for name in draft["metadata"]["finalizers"] if name != finalizer]
        origin = self.origin("patch", resource, namespace_of(obj), name_of(obj))
        self.registry.update(resource, obj, draft, origin)


class NamespaceController(Controller):
    """Gives a namespace its default ServiceAccount, and empties one that is deleted before it goes."""

    principal = "system:serviceaccount:kube-system:namespace-controller"

    def interested(self, change: Change) -> Iterable[Key]:
        """Return a namespace itself; and the namespace of what went, while it waits for that."""
        if change.key == NAMESPACES.key:
            if change.type != "DELETED":
                yield "", name_of(change.obj)
        elif change.type == "DELETED":
            home = self.registry.find(NAMESPACES, "", namespace_of(change.obj))
            if home is not None and is_terminating(home):
                yield "", name_of(home)

    def reconcile(self, key: Key) -> float | None:
        """Make what every namespace has, or delete all that is in it."""
        namespace = self.registry.find(NAMESPACES, *key)
        if namespace is None:
            return None
        name = key[1]
        if not is_terminating(namespace):
            self._furnish(name)
            return None
        left = 0
        for resource in self.registry.catalog.stored():
            if not resource.namespaced:
                continue
            for obj in self.registry.store.items(resource.key, name):
                left += 1
                if not is_terminating(obj):
                    origin = self.origin("delete", resource, name, name_of(obj))
                    _, gone = self.registry.delete(resource, obj, DeleteOptions(propagation="Background"), origin)
                    left -= gone
        if not left:
            self.registry.remove(NAMESPACES, namespace, self.origin("delete", NAMESPACES, "", name))
        return None

    def _furnish(self, namespace: str) -> None:
        accounts = SERVICE_ACCOUNTS
        if self.registry.find(accounts, namespace, "default") is None:
            origin = self.origin("create", accounts, namespace, "")
            self.registry.create(accounts, namespace, {"metadata": {"name": "default"}}, origin)
