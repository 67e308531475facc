"""watch: a stream of changes from a version on, with initial events, bookmarks, and 410 when the past is forgotten."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import Any, Final

from midwatch_contracts.clock import Clock
from midwatch_lab.api import list_options
from midwatch_lab.api.answers import Form, encode
from midwatch_lab.api.call import Call
from midwatch_lab.api.parts import PLAIN, Parts
from midwatch_lab.api.reading import Filter, watched_version
from midwatch_lab.api.tables import Shown, shown_object
from midwatch_lab.custom.resource import CustomResource
from midwatch_lab.errors import ApiError
from midwatch_lab.kinds.resources import CUSTOM_RESOURCE_DEFINITIONS
from midwatch_lab.objects import Object, meta, name_of
from midwatch_lab.status import expired
from midwatch_lab.store.store import Change, Store

_BOOKMARK_EVERY_S: Final = 60.0
_DEFAULT_TIMEOUT_S: Final = 2400
_BACKLOG: Final = 20_000


def _left(change: Change) -> Object:
    """Return what a watcher sees of an object that it sees no more: its last state there, at the version of now."""
    if change.type == "DELETED" or change.old is None:
        return change.obj
    return {**change.old, "metadata": {**meta(change.old), "resourceVersion": meta(change.obj)["resourceVersion"]}}


class Watch:
    """One client's watch. It listens once it is streamed; refusals come when it is made, before any answer."""

    def __init__(  # noqa: PLR0917 (what a watch is made of)
        self, store: Store, clock: Clock, call: Call, form: Form, parts: Parts, closing: asyncio.Event
    ) -> None:
        self.store = store
        self.clock = clock
        self.call = call
        self.form = form
        self.parts = parts
        self.closing = closing
        list_options.check(call, watch=True)
        self.filter = Filter.of(call)
        self.include = call.query("includeObject")
        self.bookmarks = call.flag("allowWatchBookmarks")
        self.timeout = float(call.number("timeoutSeconds") or _DEFAULT_TIMEOUT_S)
        self.pending: deque[bytes] = deque()
        self.ready = asyncio.Event()
        self.overrun = False
        self.described = False
        self.version = watched_version(call, store.version)

    def _begin(self) -> None:
        version = self.version
        stated = "sendInitialEvents" in self.call.request.query_params
        if self.call.flag("sendInitialEvents") or (not stated and not version):
            for obj in self.store.items(self.call.resource.key, self.call.target.namespace):
                if self.filter.matches(obj):
                    self._put("ADDED", obj, self.parts)
            if stated and self.bookmarks:
                self._put_bookmark({"k8s.io/initial-events-end": "true"})
            return
        try:
            for change in self.store.since(self.call.resource.key, version or 0) if version else ():
                self._hear(change, PLAIN)
        except ApiError as error:
            self._fail(error)

    def _heard(self, change: Change) -> None:
        self._hear(change, self.parts)

    def _hear(self, change: Change, parts: Parts) -> None:
        if change.key == CUSTOM_RESOURCE_DEFINITIONS.key and change.type == "DELETED":
            self._ended(name_of(change.obj))
        if change.key != self.call.resource.key or self.overrun:
            return
        was = change.old is not None and self.filter.matches(change.old)
        matches = change.type != "DELETED" and self.filter.matches(change.obj)
        if matches:
            self._put("MODIFIED" if was else "ADDED", change.obj, parts)
        elif was:
            self._put("DELETED", _left(change), PLAIN)
        if len(self.pending) > _BACKLOG:
            self._fail(expired("the watch fell too far behind: list again"))

    def _ended(self, definition: str) -> None:
        """End where what is watched is defined no more."""
        if isinstance(self.call.resource, CustomResource) and definition == self.call.resource.qualified:
            self.overrun = True
            self.ready.set()

    def _put(self, kind: str, obj: Object, parts: Parts) -> None:
        self._send({"type": kind, "object": self._shown(obj, parts)})

    def _shown(self, obj: Object, parts: Parts) -> Any:
        """Return an object as the client wants it; a Table describes its columns once."""
        how = Shown(self.form, self.include, self.clock.now(), parts)
        shown = shown_object(self.call.resource, obj, how)
        if self.form.as_kind == "Table":
            if self.described:
                shown["columnDefinitions"] = None
            self.described = True
        return shown

    def _put_bookmark(self, annotations: dict[str, str] | None = None) -> None:
        metadata: Object = {"resourceVersion": str(self.store.version)}
        if annotations:
            metadata["annotations"] = annotations
        resource = self.call.resource
        bare: Object = {"kind": resource.kind, "apiVersion": resource.api_version, "metadata": metadata}
        if self.form.as_kind:
            bare = self._shown(bare, PLAIN)
        self._send({"type": "BOOKMARK", "object": bare})

    def _fail(self, error: ApiError) -> None:
        self.overrun = True
        self._send({"type": "ERROR", "object": error.status})

    def _send(self, event: Object) -> None:
        self.pending.append(encode(event))
        self.ready.set()

    async def stream(self) -> AsyncIterator[bytes]:
        """Yield the events as lines of JSON until the timeout, an error event, or the end of the lab."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self.timeout
        self._begin()
        stop = self.store.listen(self._heard)
        try:
            while True:
                while self.pending:
                    lines = b"".join(self.pending)
                    self.pending.clear()
                    yield lines
                self.ready.clear()
                left = deadline - loop.time()
                if self.overrun or left <= 0 or self.closing.is_set():
                    return
                await self._wait(min(left, _BOOKMARK_EVERY_S))
                if not self.pending and self.bookmarks and not self.closing.is_set() and loop.time() < deadline:
                    self._put_bookmark()
        finally:
            stop()

    async def _wait(self, seconds: float) -> None:
        waits = [asyncio.ensure_future(self.ready.wait()), asyncio.ensure_future(self.closing.wait())]
        try:
            await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for waiting in waits:
                waiting.cancel()
