"""Submits requests to servers in this process, such as simulated replicas, without HTTP: straight to an ASGI app.

With a virtual clock shared by the load and the servers, hours of traffic pass in seconds, and every arrival is exact.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any
from urllib.parse import urlsplit

from midwatch_lab.load.chat import Stream, named_model
from midwatch_lab.load.errors import HttpError

Message = MutableMapping[str, Any]
App = Callable[[Message, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]]
"""An ASGI 3 application."""


class InProcess:
    """`Ask` and `FindModel` of a load service over apps, by their base URLs, which need not exist."""

    def __init__(self, apps: Mapping[str, App]) -> None:
        self._apps = dict(apps)

    async def ask(self, url: str, body: bytes, stream: Stream) -> int:
        """Stream one chat completion into `stream`; return the HTTP status.

        Raises:
            HttpError: when no app has the URL, or it ends before its answer did.
        """
        return await self._call(url, "POST", "/v1/chat/completions", body, stream.feed)

    async def model(self, url: str, timeout_s: float) -> str:
        """Return the id of the first model that an app names.

        Raises:
            HttpError: when it names none.
            TimeoutError: when it takes longer than `timeout_s` on the wall clock.
        """
        pieces: list[bytes] = []
        async with asyncio.timeout(timeout_s):
            status = await self._call(url, "GET", "/v1/models", b"", pieces.append)
        return named_model(url, status, b"".join(pieces))

    async def _call(self, url: str, method: str, path: str, body: bytes, on_body: Callable[[bytes], None]) -> int:
        app = self._apps.get(url)
        if app is None:
            raise HttpError(f"no server in this process is called {url}; known: {', '.join(self._apps) or 'none'}")
        status, whole, asked = 0, False, False

        async def receive() -> Message:
            nonlocal asked
            if not asked:
                asked = True
                return {"type": "http.request", "body": body, "more_body": False}
            await asyncio.Event().wait()  # the client stays until it is cancelled, which ends the app's call too
            return {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            nonlocal status, whole
            if message["type"] == "http.response.start":
                status = int(message["status"])
            elif message["type"] == "http.response.body":
                if piece := message.get("body", b""):
                    on_body(bytes(piece))
                whole = not message.get("more_body", False)

        await app(_scope(url, method, path, len(body)), receive, send)
        if not whole:
            raise HttpError(f"{url}{path} ended before its answer was complete")
        return status


def _scope(url: str, method: str, path: str, length: int) -> Message:
    host = urlsplit(url).netloc.encode("latin-1")
    headers = [(b"host", host), (b"content-type", b"application/json"), (b"content-length", b"%d" % length)]
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": headers,
        "client": ("127.0.0.1", 0),
        "server": ("127.0.0.1", 80),
    }
