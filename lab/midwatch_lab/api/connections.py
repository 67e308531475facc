"""The connections of the lab's clients, which end with the lab even where a client does not take its leave.

A TLS connection that is closed waits for the other side's goodbye, for 30 s (asyncio's `ssl_shutdown_timeout`, which
uvicorn cannot set), and its transport gives access to nothing meanwhile. So each protocol keeps its socket.
"""

import asyncio
import contextlib
import socket
from asyncio.trsock import TransportSocket
from collections.abc import Collection
from typing import Any, Final

from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.datastructures import Headers
from websockets.typing import Subprotocol

_LEAVE_S: Final = 2.0


class HttpProtocol(H11Protocol):
    """uvicorn's HTTP, with the connection's socket at hand."""

    peer: TransportSocket | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # pyright: ignore[reportIncompatibleMethodOverride] (as uvicorn's)
        """Keep the socket."""
        self.peer = transport.get_extra_info("socket")
        super().connection_made(transport)


class StreamProtocol(WebSocketsSansIOProtocol):
    """uvicorn's WebSockets, with the connection's socket at hand, and but for a rule: a subprotocol may have any name.

    kubectl offers `SPDY/3.1+portforward.k8s.io`, in which `/` is no character of a token (RFC 6455 §4.1), so that the
    library would refuse the handshake. It is the application that chooses, by the names as they came.
    """

    peer: TransportSocket | None = None

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.conn.process_subprotocol = _left_to_the_application

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the socket."""
        self.peer = transport.get_extra_info("socket")
        super().connection_made(transport)


def _left_to_the_application(headers: Headers) -> Subprotocol | None:  # noqa: ARG001 (the library's signature)
    return None


async def end_connections(connections: Collection[object]) -> None:
    """Cut what is still open and return once it is gone, so that no socket outlives the loop.

    `connections` is uvicorn's set of protocols; each takes itself out when its connection is lost.
    """
    for protocol in tuple(connections):
        peer = protocol.peer if isinstance(protocol, HttpProtocol | StreamProtocol) else None
        if peer is not None:
            with contextlib.suppress(OSError):  # the client went in this moment
                peer.shutdown(socket.SHUT_RDWR)
    loop = asyncio.get_running_loop()
    deadline = loop.time() + _LEAVE_S
    while connections and loop.time() < deadline:  # noqa: ASYNC110 (uvicorn tells by this set alone)
        await asyncio.sleep(0.005)
