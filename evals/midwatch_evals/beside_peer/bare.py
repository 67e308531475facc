"""A client that does nothing but ask: what it measures is the server.

The SDK's own client checks an answer against its schema, where it has one, and builds models of it: that takes about as
long as a fast answer, and half of it falls on the server whose tools say more.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count
from typing import Any, Final, cast

import orjson

from midwatch_contracts.command import CommandError

_REVISION: Final = "2025-06-18"
"""A revision of the protocol that both servers speak."""
_LINE_BYTES: Final = 2**24
_GRACE_S: Final = 5.0


@dataclass(frozen=True)
class Bare:
    """One server over its standard input and output, asked one thing at a time."""

    sink: asyncio.StreamWriter
    answers: asyncio.StreamReader
    numbers: "count[int]"

    async def call(self, tool: str, arguments: dict[str, Any]) -> tuple[float, dict[str, Any], int]:
        """Call a tool; return the milliseconds until its answer was there whole, the result, and its bytes.

        Raises:
            CommandError: it failed, or the server is gone.
        """
        took, answer, size = await self.ask("tools/call", {"name": tool, "arguments": arguments})
        result = cast("dict[str, Any]", answer.get("result") or {})
        if "error" in answer or result.get("isError"):
            raise CommandError(f"{tool} failed: {answer}")
        return took, result, size

    async def ask(self, method: str, params: dict[str, Any]) -> tuple[float, dict[str, Any], int]:
        """Send a request; return the milliseconds until its answer was there whole, the answer, and its bytes."""
        number = next(self.numbers)
        began = time.perf_counter()
        self.tell({"id": number, "method": method, "params": params})
        while True:
            line = await self.answers.readline()
            took = (time.perf_counter() - began) * 1000
            if not line:
                raise CommandError(f"the server ended while it was asked for {method}")
            answer = cast("dict[str, Any]", orjson.loads(line))
            if answer.get("id") == number:
                return took, answer, len(line)

    def tell(self, message: dict[str, Any]) -> None:
        """Send a message."""
        self.sink.write(orjson.dumps({"jsonrpc": "2.0", **message}, option=orjson.OPT_APPEND_NEWLINE))


@asynccontextmanager
async def bare(words: Sequence[str]) -> AsyncGenerator[Bare]:
    """Start a server, shake hands, lend it, and end it.

    Raises:
        CommandError: it does not shake hands.
    """
    process = await asyncio.create_subprocess_exec(
        *words,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        limit=_LINE_BYTES,
    )
    if process.stdin is None or process.stdout is None:
        raise CommandError(f"{words[0]} was started without its pipes")
    try:
        server = Bare(process.stdin, process.stdout, count(1))
        about = {"name": "midwatch-bench", "version": "1"}
        await server.ask("initialize", {"protocolVersion": _REVISION, "capabilities": {}, "clientInfo": about})
        server.tell({"method": "notifications/initialized"})
        yield server
    finally:
        process.terminate()
        async with asyncio.timeout(_GRACE_S):
            await process.wait()
