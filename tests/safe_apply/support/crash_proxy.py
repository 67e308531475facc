"""A way to the API server that kills the one who asks while its request is under way."""

import asyncio
import contextlib
import os
import signal
import ssl
from collections.abc import AsyncGenerator
from typing import Literal

import httpx2

Moment = Literal["unsent", "sent", "answered", "late"]
"""When the killer strikes: the request is read and never forwarded; it is forwarded and nobody waits for the answer;
half of the answer is back; or it is forwarded only when somebody else has taken the change to its end."""
_HOP = frozenset({"connection", "content-length", "transfer-encoding", "content-encoding", "host", "accept-encoding"})


class KillingProxy:
    """Forwards requests one by one, and counts them. At number `at` (from 1) it kills `victim`."""

    def __init__(self, url: str) -> None:
        self.port = 0
        self.asked: list[tuple[str, str]] = []
        """(method, path and query) of every request."""
        self._url = url
        self._context = ssl.create_default_context()
        self._context.check_hostname, self._context.verify_mode = False, ssl.CERT_NONE
        self._at: int | None = None
        self._moment: Moment = "sent"
        self._victim: asyncio.Future[int] | None = None
        self._released = asyncio.Event()
        self._flying: set[asyncio.Task[httpx2.Response]] = set()
        self.killed = False

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncGenerator["KillingProxy"]:
        async with httpx2.AsyncClient(verify=self._context, trust_env=False, timeout=30) as self._http:
            server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
            self.port = server.sockets[0].getsockname()[1]
            try:
                yield self
            finally:
                await self.quiet()
                server.close()

    def arm(self, at: int | None, moment: Moment = "sent") -> None:
        self.asked.clear()
        self._at, self._moment, self.killed = at, moment, False
        self._victim = asyncio.get_running_loop().create_future()
        self._released.clear()

    def aim(self, pid: int) -> None:
        assert self._victim is not None
        self._victim.set_result(pid)

    async def quiet(self) -> None:
        """Let late requests go, and wait until none is under way."""
        self._released.set()
        await asyncio.gather(*self._flying, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while await self._exchange(reader, writer):
                pass
        writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, path, _ = head[0].split(" ", 2)
        headers = dict(line.split(": ", 1) for line in head[1:] if line)
        lowered = {name.lower(): value for name, value in headers.items()}
        assert "chunked" not in lowered.get("transfer-encoding", "")
        body = await reader.readexactly(int(lowered.get("content-length", "0")))
        sent = {name: value for name, value in headers.items() if name.lower() not in _HOP}
        self.asked.append((method, path))
        fatal = len(self.asked) == self._at
        if fatal and self._moment == "unsent":
            await self._kill()
            return False
        task = asyncio.create_task(self._forward(method, path, sent, body, late=fatal and self._moment == "late"))
        self._flying.add(task)
        task.add_done_callback(self._flying.discard)
        if fatal and self._moment in ("sent", "late"):
            await asyncio.sleep(0)
            await self._kill()
            return False
        answer = await task
        content = _answer(answer)
        if fatal:
            writer.write(content[: len(content) // 2])
            await writer.drain()
            await self._kill()
            return False
        writer.write(content)
        await writer.drain()
        return True

    async def _forward(
        self, method: str, path: str, headers: dict[str, str], body: bytes, *, late: bool
    ) -> httpx2.Response:
        if late:
            await self._released.wait()
        return await self._http.request(method, self._url + path, headers=headers, content=body)

    async def _kill(self) -> None:
        assert self._victim is not None
        os.kill(await self._victim, signal.SIGKILL)
        self.killed = True


def _answer(answer: httpx2.Response) -> bytes:
    lines = [f"HTTP/1.1 {answer.status_code} {answer.reason_phrase or 'X'}"]
    lines += [f"{name}: {value}" for name, value in answer.headers.items() if name.lower() not in _HOP]
    lines.append(f"Content-Length: {len(answer.content)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + answer.content
