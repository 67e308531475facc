"""Serving over stdio a client that asks with `server/discover` what it may speak, gives up waiting, and shakes hands.

The specification of 2026-07-28 lets a client take silence for a server of before: it sends `initialize` then. Some wait
for one second, which a start on a busy machine may take. The SDK lets the first request decide what a connection
speaks, and would refuse that handshake for good, so here it begins the connection anew.
The probe may then stay without an answer, for which nobody waits.
"""

from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import aclosing
from types import TracebackType
from typing import Any, Protocol, Self, cast

import anyio
from mcp.server.stdio import stdio_server
from mcp.shared.message import SessionMessage
from mcp.types import JSONRPCRequest

from midwatch_mcp.wire import wire

Incoming = SessionMessage | Exception
_PROBE = "server/discover"
_HANDSHAKE = "initialize"


class Outgoing(Protocol):
    """Where answers go."""

    async def send(self, item: SessionMessage, /) -> Any:
        """Send one."""
        ...


class _Stream:
    """What the SDK asks of both directions; closing one leaves what is behind it open, for a connection begun anew."""

    async def aclose(self) -> None:
        """Let go of nothing."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


class Asked(_Stream):
    """The messages of one connection. They are read where the SDK reads them: a task between costs each call a turn."""

    def __init__(self, incoming: AsyncIterator[Incoming], handshake: Incoming | None) -> None:
        self._incoming = incoming
        self._first = handshake
        self._probed, self._decided = False, handshake is not None
        self.handshake: Incoming | None = None
        """Set when the connection ended since a handshake came after nothing but probes."""

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Incoming:
        if self._first is not None:
            item, self._first = self._first, None
            return item
        if self.handshake is not None:
            raise StopAsyncIteration
        item = await anext(self._incoming)
        if self._decided:
            return item
        method = _method(item)
        if method == _HANDSHAKE and self._probed:
            self.handshake = item
            raise StopAsyncIteration
        self._probed = self._probed or method == _PROBE
        self._decided = method not in {None, _PROBE}
        return item

    async def receive(self) -> Incoming:
        """Return the next message.

        Raises:
            EndOfStream: there are no more.
        """
        try:
            return await anext(self)
        except StopAsyncIteration:
            raise anyio.EndOfStream from None


class Answers(_Stream):
    """Where the answers of one connection go."""

    def __init__(self, outgoing: Outgoing) -> None:
        self._outgoing = outgoing

    async def send(self, item: SessionMessage, /) -> None:
        """Send one.

        Raises:
            BrokenResourceError: the client is gone, which the SDK takes for the end.
        """
        await self._outgoing.send(item)


Serve = Callable[[Asked, Answers], Coroutine[Any, Any, None]]
"""Serves one connection until its input ends."""


async def serve_stdio(serve: Serve) -> None:
    """Serve standard input and output until the input ends."""
    async with wire() as ends:
        if ends is not None:
            async with aclosing(ends[0].messages()) as incoming:
                await serve_messages(serve, incoming, ends[1])
            return
        async with stdio_server() as (incoming, outgoing), outgoing:
            await serve_messages(serve, cast("AsyncIterator[Incoming]", incoming), outgoing)


async def serve_messages(serve: Serve, incoming: AsyncIterator[Incoming], outgoing: Outgoing) -> None:
    """Serve messages until they end; a handshake after nothing but probes begins the connection anew."""
    handshake: Incoming | None = None
    while True:
        asked = Asked(incoming, handshake)
        await serve(asked, Answers(outgoing))
        handshake = asked.handshake
        if handshake is None:
            return


def _method(item: Incoming) -> str | None:
    """Return the method of a request; None for anything else."""
    message = item.message if isinstance(item, SessionMessage) else None
    return message.method if isinstance(message, JSONRPCRequest) else None
