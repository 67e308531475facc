"""A lean HTTP/1.1 client: one request on its own connection, the body handed over as it arrives.

General clients cost more for each streamed piece than the model that makes it. This one reads status, headers and body
(by length, in chunks, or up to the end), and knows nothing of redirects, compression or connection reuse. One
connection a request also is what makes a Service's balancer spread them. Cancelling a request closes its connection,
which is how a server learns that its client is gone.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from midwatch_lab.load.errors import HttpError

_MAX_HEAD = 65536


@dataclass(frozen=True)
class Request:
    """One request to an `http://` URL."""

    method: str
    url: str
    body: bytes = b""
    headers: Mapping[str, str] | None = None

    def address(self) -> tuple[str, int]:
        """Return host and port.

        Raises:
            HttpError: when the URL is none that can be asked.
        """
        parts = urlsplit(self.url)
        if parts.scheme != "http" or not parts.hostname:
            raise HttpError(f"{self.url!r} is no http:// URL with a host")
        return parts.hostname, parts.port or 80

    def encoded(self) -> bytes:
        """Return the request as it goes over the wire."""
        parts = urlsplit(self.url)
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        lines = [f"{self.method} {path} HTTP/1.1", f"Host: {parts.netloc}", "Connection: close"]
        if self.body or self.method not in ("GET", "HEAD"):
            lines.append(f"Content-Length: {len(self.body)}")
        lines += [f"{name}: {value}" for name, value in (self.headers or {}).items()]
        return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + self.body


class ResponseReader:
    """Reads one response from bytes, in whatever pieces they come; does no I/O."""

    def __init__(self, on_body: Callable[[bytes], None]) -> None:
        self.status = 0
        self.reason = ""
        self.headers: dict[str, str] = {}
        self.done = False
        self._on_body = on_body
        self._buffer = b""
        self._left: int | None = None
        """Bytes left of the body, or None while they are not counted."""
        self._chunked = False

    def feed(self, data: bytes) -> None:
        """Take the next bytes.

        Raises:
            HttpError: when they are not HTTP/1.1.
        """
        self._buffer = self._buffer + data if self._buffer else data
        if not self.status and not self._head():
            return
        if self._chunked:
            self._chunks()
        elif self._left is None:
            self._deliver(len(self._buffer))
        else:
            count = min(self._left, len(self._buffer))
            self._left -= count
            self._deliver(count)
            self.done = self._left == 0

    def eof(self) -> None:
        """Take the end of the connection.

        Raises:
            HttpError: when the response is not complete.
        """
        if self.status and not self._chunked and self._left is None:
            self.done = True
        if not self.done:
            raise HttpError("the server closed the connection before its answer was complete")

    def _deliver(self, count: int) -> None:
        piece, self._buffer = self._buffer[:count], self._buffer[count:]
        if piece:
            self._on_body(piece)

    def _head(self) -> bool:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(self._buffer) > _MAX_HEAD:
                raise HttpError("the answer's head is longer than 64 KiB")
            return False
        status, *lines = self._buffer[:end].decode("latin-1").split("\r\n")
        parts = status.split(" ", 2)
        if not parts[0].startswith("HTTP/1.") or len(parts) < 2 or not parts[1].isdigit():  # noqa: PLR2004 (pair)
            raise HttpError(f"the answer starts with {status[:60]!r}, which is not HTTP/1.1")
        self._buffer = self._buffer[end + 4 :]
        for line in lines:
            name, _, value = line.partition(":")
            self.headers[name.strip().lower()] = value.strip()
        self.status = int(parts[1])
        self.reason = " ".join(parts[2:])
        self._chunked = "chunked" in self.headers.get("transfer-encoding", "").lower()
        length = self.headers.get("content-length")
        if not self._chunked and length is not None:
            if not length.isdigit():
                raise HttpError(f"the answer's Content-Length is {length!r}")
            self._left = int(length)
        return True

    def _chunks(self) -> None:
        """Deliver all complete chunks at once."""
        buffer, position, pieces = self._buffer, 0, list[bytes]()
        while not self.done:
            line = buffer.find(b"\r\n", position)
            if line < 0:
                break
            try:
                size = int(buffer[position:line].split(b";")[0], 16)
            except ValueError as error:
                raise HttpError(f"a chunk starts with {buffer[position:line][:20]!r}, which is no size") from error
            start, end = line + 2, line + 2 + size
            if len(buffer) < end + 2:
                break
            pieces.append(buffer[start:end])
            position = end + 2
            self.done = size == 0
        self._buffer = buffer[position:]
        if pieces:
            body = b"".join(pieces)
            if body:
                self._on_body(body)


class _Connection(asyncio.Protocol):
    def __init__(self, request: bytes, reader: ResponseReader, finished: "asyncio.Future[None]") -> None:
        self._request, self._reader, self._finished = request, reader, finished

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)  # noqa: S101 (a TCP connection can be written to)
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        if self._finished.done():
            return
        try:
            self._reader.feed(data)
        except Exception as error:  # noqa: BLE001 (raised where the request is awaited: the loop would only log it)
            self._finished.set_exception(error)
            return
        if self._reader.done:
            self._finished.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._finished.done():
            return
        if exc is not None:
            self._finished.set_exception(exc)
            return
        try:
            self._reader.eof()
        except HttpError as error:
            self._finished.set_exception(error)
        else:
            self._finished.set_result(None)


async def send(request: Request, on_body: Callable[[bytes], None]) -> int:
    """Send a request; hand the body over piece by piece; return the status once the answer is complete.

    Raises:
        HttpError: when the answer is not HTTP/1.1 or not complete.
        OSError: when the server cannot be reached.
    """
    reader = ResponseReader(on_body)
    await exchange(request, reader)
    return reader.status


async def exchange(request: Request, reader: ResponseReader) -> None:
    """Send a request, and have `reader` read the whole answer, whose errors are raised here.

    Raises:
        HttpError: when the answer is not HTTP/1.1 or not complete.
        OSError: when the server cannot be reached.
    """
    host, port = request.address()
    loop = asyncio.get_running_loop()
    finished: asyncio.Future[None] = loop.create_future()
    encoded = request.encoded()
    transport, _ = await loop.create_connection(lambda: _Connection(encoded, reader, finished), host, port)
    try:
        await finished
    finally:
        transport.abort()


async def fetch(url: str, timeout_s: float, headers: Mapping[str, str] | None = None) -> tuple[int, bytes]:
    """Get a page whole; return (status, body).

    Raises:
        TimeoutError: when it takes longer than `timeout_s` on the wall clock.
        HttpError: when the answer is not HTTP/1.1 or not complete.
        OSError: when the server cannot be reached.
    """
    pieces: list[bytes] = []
    async with asyncio.timeout(timeout_s):
        status = await send(Request("GET", url, headers=headers), pieces.append)
    return status, b"".join(pieces)
