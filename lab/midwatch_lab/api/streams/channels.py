"""Kubernetes' channels over one WebSocket: each message is a byte that names the channel, then data.

0 stdin, 1 stdout, 2 stderr, 3 a Status that says how it ended, 4 the terminal's size as JSON. `v5.channel.k8s.io` adds
255, whose data names a channel that its sender closes (the client ends stdin so).
Source: `k8s.io/apimachinery/pkg/util/remotecommand/constants.go`.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final, Self

import orjson
from starlette.websockets import WebSocket, WebSocketDisconnect

from midwatch_lab.objects import Object

STDIN, STDOUT, STDERR, ERROR, RESIZE = range(5)
CLOSE: Final = 255
PROTOCOLS: Final = ("v5.channel.k8s.io", "v4.channel.k8s.io")


def chosen(socket: WebSocket, known: tuple[str, ...]) -> str | None:
    """Return the first of the protocols that the client offers which is known."""
    return next((name for name in socket.scope.get("subprotocols", []) if name in known), None)


@dataclass
class Channels(AsyncIterator[tuple[int, bytes]]):
    """The channels of an accepted socket; iterating yields (channel, data) until the client leaves."""

    socket: WebSocket

    def __aiter__(self) -> Self:
        """Return itself."""
        return self

    async def __anext__(self) -> tuple[int, bytes]:
        """Return the client's next message."""
        while True:
            message = await self.socket.receive()
            if message["type"] == "websocket.disconnect":
                raise StopAsyncIteration
            data: bytes = message.get("bytes") or (message.get("text") or "").encode()
            if data:
                return data[0], data[1:]

    async def send(self, channel: int, data: bytes) -> None:
        """Send data; a client that has left is no error here, since reading tells of it."""
        try:
            await self.socket.send_bytes(bytes([channel]) + data)
        except (WebSocketDisconnect, RuntimeError):
            return

    async def end(self, status: Object) -> None:
        """Say how it ended and close."""
        await self.send(ERROR, orjson.dumps(status))
        try:
            await self.socket.close()
        except (WebSocketDisconnect, RuntimeError):
            return


def success() -> Object:
    """Return the Status of a command that ended with 0."""
    return {"metadata": {}, "status": "Success"}


def exited(code: int) -> Object:
    """Return the Status of a command that ended with another code."""
    message = f"command terminated with non-zero exit code: command terminated with exit code {code}"
    details = {"causes": [{"reason": "ExitCode", "message": str(code)}]}
    return {"metadata": {}, "status": "Failure", "message": message, "reason": "NonZeroExitCode", "details": details}


def failed(message: str) -> Object:
    """Return the Status of a command that could not be run."""
    text = f"Internal error occurred: {message}"
    return {"metadata": {}, "status": "Failure", "message": text, "reason": "InternalError", "code": 500}
