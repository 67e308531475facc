"""A bad wire to an API server: real sockets on loopback, on which answers are refused, lost, cut, late or not JSON.

Every fault is made as it is met in the field: a Status with its status code and `Retry-After`, the plain text by which
priority and fairness sends clients away, the page of a gateway, a connection that is reset or that ends within a body,
an answer that never comes, and a port on which nobody listens.
"""

import asyncio
import contextlib
import socket
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import unquote

import orjson
from starlette.types import ASGIApp, Message

from storm import LOSSES, JumpingLoop, LateClock, Storm

_GIVES_UP_S = 16.0
"""After so long a client has given up waiting (`KubeClient` after 15 s)."""
_ONLY_METRICS = "/prometheus/"
_HTML = b"<html><title>bad gateway</title></html>"


@dataclass(frozen=True)
class Sent:
    """One request as it came over the wire."""

    method: str
    target: str
    """Path and query."""
    headers: list[tuple[str, str]]
    body: bytes

    @property
    def reads(self) -> bool:
        return self.method == "GET"


@dataclass(frozen=True)
class Answer:
    """One answer as it goes over the wire."""

    status: int
    body: bytes
    headers: tuple[tuple[str, str], ...] = (("Content-Type", "application/json"),)

    def encoded(self, *, last: bool = False) -> bytes:
        """Return its bytes; `last` says that the connection ends with it."""
        lines = [f"HTTP/1.1 {self.status} X", *(f"{name}: {value}" for name, value in self.headers)]
        lines += ["Connection: close"] if last else []
        return "\r\n".join([*lines, f"Content-Length: {len(self.body)}", "", ""]).encode("latin-1") + self.body


def status(code: int, reason: str, message: str, **details: Any) -> Answer:
    """Return a Status, with `Retry-After` where its details say when to come back."""
    head: dict[str, Any] = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"}
    body = orjson.dumps({**head, "message": message, "reason": reason, "details": details, "code": code})
    after = details.get("retryAfterSeconds")
    more = () if after is None else (("Retry-After", str(after)),)
    return Answer(code, body, (("Content-Type", "application/json"), *more))


class Wire:
    """Serves one application at a time, under the storm of the moment, on a port of its own."""

    def __init__(self, clock: LateClock) -> None:
        self.clock = clock
        self.storm = Storm(0)
        self.asked = 0
        self.port = 0
        self._app: ASGIApp | None = None
        self._server: asyncio.Server | None = None
        self._before: Callable[[Sent], None] = lambda _: None
        self._open: dict[asyncio.StreamWriter, asyncio.Task[Any] | None] = {}

    def serve(self, app: ASGIApp, storm: Storm, before: Callable[[Sent], None]) -> None:
        """Hand requests to `app` from here on; `before` is called with each of them first."""
        self._app = app
        self.storm, self._before = storm, before

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncGenerator["Wire"]:
        # A second socket holds the port while nobody listens on it.
        with socket.socket() as held:
            held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            held.bind(("127.0.0.1", 0))
            self.port = held.getsockname()[1]
            await self._listen()
            try:
                yield self
            finally:
                serving = [task for task in self._open.values() if task is not None]
                await self._hang_up()
                await asyncio.gather(*serving)

    async def _listen(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(self._connection, "127.0.0.1", self.port, reuse_port=True)

    async def _hang_up(self, but: asyncio.StreamWriter | None = None) -> None:
        """Listen no more, and end what is connected, `but` for one that ends by itself."""
        server, self._server = self._server, None
        if server is not None:
            # What was taken in this turn of the loop gets to its server first: asyncio would leave its socket open.
            for listening in server.sockets:
                asyncio.get_running_loop().remove_reader(listening.fileno())
            await asyncio.sleep(0)
            server.close()
        for writer in list(self._open):
            if writer is not but:
                writer.transport.abort()

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open[writer] = asyncio.current_task()
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while await self._exchange(await _read(reader), reader, writer):
                pass
        del self._open[writer]
        writer.close()

    async def _exchange(self, sent: Sent, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request, in one way or another, and say whether the connection goes on."""
        self.asked += 1
        self._before(sent)
        fault = self._drawn(sent)
        match fault:
            case None:
                answer = await self.carried(sent)
            case "conflict" | "throttled" | "overloaded":
                answer = self._refusal(fault)
            case "late":
                self.clock.later(self.storm.rng.uniform(1, 59), lambda: self._unheard(sent))
                await self._keep_waiting(reader)
                return False
            case _:
                return await self._lost(fault, sent, reader, writer)
        return await self._say(answer, writer)

    async def _say(self, answer: Answer, writer: asyncio.StreamWriter) -> bool:
        """Answer; it may be that the server goes then, and nobody listens until somebody has waited."""
        goes = self.storm.draw("no connection") is not None
        writer.write(answer.encoded(last=goes))
        await writer.drain()
        if goes:
            await self._hang_up(but=writer)
            self.clock.later(0.2, self._listen)
        return not goes

    def _drawn(self, sent: Sent) -> str | None:
        if sent.target.startswith(_ONLY_METRICS):
            broken = self.storm.draw("metrics break") is not None
            return self.storm.rng.choice(("bad gateway", "reset", "half an answer", "hangs")) if broken else None
        return self.storm.draw("throttled", "overloaded", *(() if sent.reads else ("conflict",)), *LOSSES)

    def _refusal(self, fault: str) -> Answer:
        after = self.storm.rng.choice((1, 3, 20))
        if fault == "conflict":
            return status(409, "Conflict", "the object has been modified; please apply your changes to the latest")
        if fault == "throttled":
            return status(429, "TooManyRequests", "please try again later", retryAfterSeconds=after)
        plain = (("Content-Type", "text/plain"), ("Retry-After", str(after)))
        return Answer(429, b"Too many requests, please try again later.\n", plain)

    async def _lost(self, fault: str, sent: Sent, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer so that nobody can tell whether the request was carried out, which it was or was not."""
        carried: Answer | None = None
        if self.storm.rng.random() < 0.5 or fault in ("half an answer", "no JSON", "no object"):
            carried = await self.carried(sent)
        match fault:
            case "reset":
                writer.transport.abort()
                return False
            case "hangs":
                await self._keep_waiting(reader)
                return False
            case "half an answer":
                content = cast("Answer", carried).encoded()
                writer.write(content[: len(content) * 2 // 3])
                await writer.drain()
                return False
            case "500":
                answer = status(500, "InternalError", "etcdserver: request timed out")
            case "504":
                answer = status(504, "Timeout", "request did not complete within the allotted timeout")
            case "bad gateway":
                answer = Answer(502, _HTML, (("Content-Type", "text/html"),))
            case "no JSON":
                answer = Answer(200, _HTML, (("Content-Type", "text/html"),))
            case _:
                answer = Answer(200, b'{"kind": "Status", "status": "Success"}')
        return await self._say(answer, writer)

    async def _keep_waiting(self, reader: asyncio.StreamReader) -> None:
        """Say nothing until the client has given up."""
        await self.clock.sleep(_GIVES_UP_S)
        cast("JumpingLoop", asyncio.get_running_loop()).ahead_s += _GIVES_UP_S
        while await reader.read(4096):
            pass

    async def carried(self, sent: Sent) -> Answer:
        """Have a request carried out."""
        assert self._app is not None
        return await _called(self._app, sent)

    async def _unheard(self, sent: Sent) -> None:
        await self.carried(sent)


async def _read(reader: asyncio.StreamReader) -> Sent:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    method, target, _ = head[0].split(" ", 2)
    headers = [(name, value) for name, _, value in (line.partition(": ") for line in head[1:] if line)]
    length = next((int(value) for name, value in headers if name.lower() == "content-length"), 0)
    return Sent(method, target, headers, await reader.readexactly(length))


async def _called(app: ASGIApp, sent: Sent) -> Answer:
    """Call an application with a request, and return its whole answer."""
    path, _, query = sent.target.partition("?")
    headers = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in sent.headers]
    address = ("127.0.0.1", 0)
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": sent.method,
        "scheme": "http",
        "path": unquote(path),
        "raw_path": path.encode("latin-1"),
        "query_string": query.encode("latin-1"),
        "root_path": "",
        "headers": headers,
        "client": address,
        "server": address,
    }
    come = iter([{"type": "http.request", "body": sent.body, "more_body": False}])
    start: Message = {}
    body = bytearray()

    async def receive() -> Message:
        return next(come, {"type": "http.disconnect"})

    async def send(message: Message) -> None:
        start.update(message if message["type"] == "http.response.start" else {})
        body.extend(message.get("body", b""))

    await app(scope, receive, send)
    kept = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in start["headers"]]
    return Answer(start["status"], bytes(body), tuple(one for one in kept if one[0] in ("content-type", "etag")))
