"""Requests to an ASGI application in this process whose answers stream, so that a watch can be followed."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import httpx2
from starlette.types import ASGIApp


class StreamingTransport(httpx2.AsyncBaseTransport):
    """Hands each request to the application and gives its answer as it comes. Closing the answer disconnects."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Run the application on one request.

        Raises:
            RuntimeError: when it ends without an answer.
        """
        body = await request.aread()
        exchange = _Exchange(body)
        scope: dict[str, Any] = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": request.method,
            "headers": [(name.lower(), value) for name, value in request.headers.raw],
            "scheme": request.url.scheme,
            "path": request.url.path,
            "raw_path": request.url.raw_path.partition(b"?")[0],
            "query_string": request.url.query,
            "server": (request.url.host, request.url.port),
            "client": ("127.0.0.1", 1),
            "root_path": "",
        }
        running = asyncio.ensure_future(self.app(scope, exchange.receive, exchange.send))
        running.add_done_callback(lambda _: exchange.sent.put_nowait(None))
        start = await exchange.sent.get()
        if start is None:
            await running
            raise RuntimeError(f"{request.method} {request.url}: the application ended without an answer")
        exchange.has_body = request.method != "HEAD"
        stream = _Stream(exchange, running)
        return httpx2.Response(start["status"], headers=start["headers"], stream=stream)


class _Exchange:
    def __init__(self, body: bytes) -> None:
        self.body: bytes | None = body
        self.has_body = True
        self.gone = asyncio.Event()
        self.sent: asyncio.Queue[Any] = asyncio.Queue()

    async def receive(self) -> dict[str, Any]:
        if self.body is not None:
            body, self.body = self.body, None
            return {"type": "http.request", "body": body, "more_body": False}
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        self.sent.put_nowait(message)


class _Stream(httpx2.AsyncByteStream):
    def __init__(self, exchange: _Exchange, running: asyncio.Future[Any]) -> None:
        self.exchange = exchange
        self.running = running

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for part in self._parts():
            yield part

    async def _parts(self) -> AsyncGenerator[bytes]:
        while True:
            message = await self.exchange.sent.get()
            if message is None:
                await self.running
                return
            if message.get("body") and self.exchange.has_body:
                yield message["body"]
            if not message.get("more_body", False):
                return

    async def aclose(self) -> None:
        self.exchange.gone.set()
        done, _ = await asyncio.wait([self.running], timeout=5)
        if not done:
            self.running.cancel()
