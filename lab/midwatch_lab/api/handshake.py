"""WebSocket handshakes as Kubernetes' clients make them."""

from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.datastructures import Headers
from websockets.typing import Subprotocol


class StreamProtocol(WebSocketsSansIOProtocol):
    """uvicorn's WebSockets, but for one rule: a subprotocol may have any name.

    kubectl offers `SPDY/3.1+portforward.k8s.io`, in which `/` is no character of a token (RFC 6455 §4.1), so that the
    library would refuse the handshake. It is the application that chooses, by the names as they came.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.conn.process_subprotocol = _left_to_the_application


def _left_to_the_application(headers: Headers) -> Subprotocol | None:  # noqa: ARG001 (the library's signature)
    return None
