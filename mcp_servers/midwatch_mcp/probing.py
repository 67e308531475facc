"""Serving over stdio a client that asks with `server/discover` what it may speak, gives up waiting, and shakes hands.

The specification of 2026-07-28 lets a client take silence for a server of before: it sends `initialize` then. Some wait
for one second, which a start on a busy machine may take. The SDK lets the first request decide what a connection
speaks, and would refuse that handshake for good, so here it begins the connection anew.
The probe may then stay without an answer, for which nobody waits.
"""

from collections.abc import AsyncIterable, Callable, Coroutine
from contextlib import suppress
from typing import Any, Protocol, cast

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.server.stdio import stdio_server
from mcp.shared.message import SessionMessage
from mcp.types import JSONRPCRequest

from midwatch_mcp.wire import wire

Incoming = SessionMessage | Exception
Serve = Callable[
    [MemoryObjectReceiveStream[Incoming], MemoryObjectSendStream[SessionMessage]], Coroutine[Any, Any, None]
]
"""Serves one connection until its input ends."""

_PROBE = "server/discover"
_HANDSHAKE = "initialize"


class Outgoing(Protocol):
    """Where answers go."""

    async def send(self, item: SessionMessage, /) -> Any:
        """Send one."""
        ...


async def serve_stdio(serve: Serve) -> None:
    """Serve standard input and output until the input ends."""
    async with wire() as ends:
        given = (None, None) if ends is None else cast("tuple[Any, Any]", ends)
        async with stdio_server(*given) as (incoming, outgoing), outgoing:
            await serve_messages(serve, incoming, outgoing)


async def serve_messages(serve: Serve, incoming: AsyncIterable[Incoming], outgoing: Outgoing) -> None:
    """Serve messages until they end; a handshake after nothing but probes begins the connection anew."""
    handshake: Incoming | None = None
    while True:
        asked, to_serve = anyio.create_memory_object_stream[Incoming]()
        answered, answers = anyio.create_memory_object_stream[SessionMessage]()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(serve, to_serve, answered)
            tasks.start_soon(_pass_on, answers, outgoing)
            async with asked:
                handshake = await _relay(incoming, asked, handshake)
        if handshake is None:
            return


async def _pass_on(answers: MemoryObjectReceiveStream[SessionMessage], outgoing: Outgoing) -> None:
    # A client that went away is told nothing more; the end of its input ends the rest.
    with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
        async with answers:
            async for answer in answers:
                await outgoing.send(answer)


async def _relay(
    incoming: AsyncIterable[Incoming], asked: MemoryObjectSendStream[Incoming], handshake: Incoming | None
) -> Incoming | None:
    """Pass messages on; return a handshake that came after probes alone, or None at the end."""
    probed, decided = False, handshake is not None
    if handshake is not None:
        await asked.send(handshake)
    async for item in incoming:
        method = _method(item)
        if method == _HANDSHAKE and probed and not decided:
            return item
        probed = probed or method == _PROBE
        decided = decided or method not in {None, _PROBE}
        await asked.send(item)
    return None


def _method(item: Incoming) -> str | None:
    """Return the method of a request; None for anything else."""
    message = item.message if isinstance(item, SessionMessage) else None
    return message.method if isinstance(message, JSONRPCRequest) else None
