"""What controllers run on: a queue of keys, fed by changes, drained one at a time.

A controller is a pure-looking function from a key to writes: it reads the store, which is never behind, compares, and
writes what is missing. Nothing is remembered between two looks at the same key, so a missed wake-up costs time only.
"""

import asyncio
import logging
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from typing import Final, TypeAlias

from midwatch_contracts.clock import Clock
from midwatch_lab.errors import ApiError
from midwatch_lab.kinds.resources import Resource
from midwatch_lab.objects import Object, controller_of, namespace_of
from midwatch_lab.registry.registry import Registry
from midwatch_lab.store.audit import Origin
from midwatch_lab.store.store import Change

_LOG = logging.getLogger(__name__)
_BACKOFF_START_S: Final = 0.05
_BACKOFF_MAX_S: Final = 30.0

Key: TypeAlias = tuple[str, str]
"""(namespace, name) of what a controller looks after."""


class Controller(ABC):
    """Looks after the objects of one resource."""

    principal: str
    """As whom it writes; the audit shows it."""
    manager = "kube-controller-manager"

    def __init__(self, registry: Registry, clock: Clock) -> None:
        self.registry = registry
        self.clock = clock

    @abstractmethod
    def interested(self, change: Change) -> Iterable[Key]:
        """Return the keys that a change makes worth a look."""

    @abstractmethod
    def reconcile(self, key: Key) -> float | None:
        """Bring the world nearer to the spec; returns the seconds after which to look again by itself, if at all."""

    def origin(self, verb: str, resource: Resource, namespace: str, name: str, subresource: str = "") -> Origin:
        """Return where a write of this controller comes from."""
        path = resource.path(namespace, "" if verb == "create" else name, subresource)
        return Origin(self.principal, verb, path, manager=self.manager, subresource=subresource)

    def write_status(self, resource: Resource, old: Object, status: Object) -> None:
        """Write an object's status, if it is another."""
        if old.get("status", {}) != status:
            name = str(old["metadata"]["name"])
            origin = self.origin("update", resource, namespace_of(old), name, "status")
            self.registry.update(resource, old, {**old, "status": status}, origin)


def owner_key(change: Change, kind: str) -> Iterable[Key]:
    """Return the key of the controller of a kind that the changed object belongs to."""
    for obj in (change.obj, change.old or {}):
        reference = controller_of(obj)
        if reference is not None and reference.get("kind") == kind:
            yield namespace_of(obj), str(reference["name"])


class ControllerLoop:
    """Drains one controller's queue; a key that fails is tried again after a growing pause."""

    def __init__(self, controller: Controller) -> None:
        self.controller = controller
        self._queue: deque[Key] = deque()
        self._queued: set[Key] = set()
        self._failures: dict[Key, int] = {}
        self._wake = asyncio.Event()
        self._timers: dict[Key, asyncio.Task[None]] = {}

    def heard(self, change: Change) -> None:
        """Take note of a change in the store."""
        for key in self.controller.interested(change):
            self.add(key)

    def add(self, key: Key) -> None:
        """Have a key looked at soon; one that waits already waits once."""
        if key not in self._queued:
            self._queued.add(key)
            self._queue.append(key)
            self._wake.set()

    async def run(self) -> None:
        """Look after the keys until cancelled."""
        stop = self.controller.registry.store.listen(self.heard)
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                while self._queue:
                    self._look(self._queue.popleft())
                    # Every look is one step of the loop, so that requests are answered between two of them.
                    await asyncio.sleep(0)
        finally:
            stop()
            for timer in self._timers.values():
                timer.cancel()

    def _look(self, key: Key) -> None:
        self._queued.discard(key)
        try:
            again = self.controller.reconcile(key)
        except ApiError as error:
            again = self._failed(key)
            _LOG.debug("%s: %s: %s; again in %.2f s", type(self.controller).__name__, key, error, again)
        except Exception:  # noqa: BLE001 (the boundary of a controller: one bad object must not stop the others)
            again = self._failed(key)
            _LOG.exception("%s: %s failed; again in %.2f s", type(self.controller).__name__, key, again)
        else:
            self._failures.pop(key, None)
        if again is not None:
            self._later(key, again)

    def _failed(self, key: Key) -> float:
        count = self._failures[key] = self._failures.get(key, 0) + 1
        return min(_BACKOFF_MAX_S, _BACKOFF_START_S * 2.0 ** min(count, 16))

    def _later(self, key: Key, seconds: float) -> None:
        earlier = self._timers.pop(key, None)
        if earlier is not None:
            earlier.cancel()
        self._timers[key] = asyncio.create_task(self._remind(key, seconds))

    async def _remind(self, key: Key, seconds: float) -> None:
        with suppress(asyncio.CancelledError):
            await self.controller.clock.sleep(seconds)
            self._timers.pop(key, None)
            self.add(key)
