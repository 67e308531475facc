"""port-forward: TCP connections to a pod's address, carried inside one WebSocket.

kubectl sends SPDY: a pair of streams (`error`, `data`) a connection, joined by their `requestid`. Other clients send
channels: two for each port that the request names, data and error, each begun by the port as two bytes, low first.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

from starlette.websockets import WebSocket, WebSocketDisconnect

from midwatch_lab import status
from midwatch_lab.api.call import Call
from midwatch_lab.api.pod_options import check_placed, record
from midwatch_lab.api.streams.channels import PROTOCOLS, Channels, chosen
from midwatch_lab.api.streams.spdy import Data, Opened, Ping, Reset, SpdyError, SpdyServer
from midwatch_lab.objects import Object, dig, name_of, uid_of
from midwatch_lab.registry.registry import Registry

TUNNEL: Final = "SPDY/3.1+portforward.k8s.io"
_CHUNK: Final = 32 * 1024
_WAITING_MAX: Final = 64
_PORTS: Final = range(1, 65536)

Send = Callable[[bytes], Awaitable[None]]


def ports_of(call: Call) -> list[int]:
    """Return the ports that a request names.

    Raises:
        ApiError: 400.
    """
    found: list[int] = []
    for text in call.request.query_params.getlist("ports"):
        for word in text.split(","):
            if not word.isdigit():
                why = f'cannot convert to []int32: strconv.ParseUint: parsing "{word}": invalid syntax'
                raise status.bad_request(why)
            if int(word) not in _PORTS:
                raise status.bad_request(f"port {word} is not between 1 and {_PORTS[-1]}")
            found.append(int(word))
    return found


@dataclass
class Connection:
    """One TCP connection to a pod; `incoming` is what the client sends, None once it has closed its side."""

    pod: Object
    port: int
    incoming: asyncio.Queue[bytes | None] = field(default_factory=lambda: asyncio.Queue(_WAITING_MAX))

    async def carry(self, send: Send) -> str:
        """Carry both ways until the pod has closed its side; returns what went wrong, empty when nothing did."""
        address = str(dig(self.pod, "status", "podIP", default=""))
        try:
            reader, writer = await asyncio.open_connection(address, self.port)
        except OSError:
            where = f'failed to connect to localhost:{self.port} inside namespace "{name_of(self.pod)}"'
            why = f"{where}, IPv4: dial tcp4 {address}:{self.port}: connect: connection refused"
            return f"error forwarding port {self.port} to pod {uid_of(self.pod)}, uid : {why}"
        sending = asyncio.create_task(self._send_on(writer))
        try:
            while data := await reader.read(_CHUNK):
                await send(data)
        except OSError as error:
            return f"error forwarding port {self.port} to pod {uid_of(self.pod)}, uid : {error}"
        finally:
            sending.cancel()
            while not self.incoming.empty():  # one who waits for room would wait for ever
                self.incoming.get_nowait()
            await asyncio.gather(sending, return_exceptions=True)
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()
        return ""

    async def _send_on(self, writer: asyncio.StreamWriter) -> None:
        while (data := await self.incoming.get()) is not None:
            writer.write(data)
            await writer.drain()
        writer.write_eof()


class PortForward:
    """Serves port-forward. `closing` ends every session."""

    def __init__(self, registry: Registry, closing: asyncio.Event) -> None:
        self.registry = registry
        self.closing = closing

    def target(self, call: Call) -> Object:
        """Return the pod that a request is about.

        Raises:
            ApiError: 400 or 404.
        """
        ports_of(call)
        pod = self.registry.read(call.resource, call.target.namespace, call.target.name)
        check_placed(self.registry, pod)
        if not dig(pod, "status", "podIP"):
            raise status.internal_error("unable to upgrade connection: pod not found or not running")
        return pod

    async def serve(self, call: Call, socket: WebSocket) -> None:
        """Serve a socket that is not accepted yet.

        Raises:
            ApiError: before it is accepted.
        """
        pod = self.target(call)
        protocol = chosen(socket, (TUNNEL, *PROTOCOLS))
        ports = ports_of(call)
        if protocol is None:
            raise status.bad_request(f"the lab forwards ports by {TUNNEL} and by {' or '.join(PROTOCOLS)}")
        if protocol != TUNNEL and not ports:
            raise status.bad_request('query parameter "ports" is required')
        record(self.registry, call)
        await socket.accept(subprotocol=protocol)
        session = _Tunnel(pod, socket).run() if protocol == TUNNEL else _Channelled(pod, ports, socket).run()
        tasks: list[asyncio.Future[Any]] = [asyncio.ensure_future(session), asyncio.ensure_future(self.closing.wait())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        with suppress(WebSocketDisconnect, RuntimeError):
            await socket.close()


class _Tunnel:
    """SPDY inside a WebSocket."""

    def __init__(self, pod: Object, socket: WebSocket) -> None:
        self.pod = pod
        self.socket = socket
        self.spdy = SpdyServer()
        self._errors: dict[str, int] = {}
        """By request: the stream on which a fault is told."""
        self._connections: dict[int, tuple[Connection, asyncio.Task[None]]] = {}
        """By data stream."""

    async def run(self) -> None:
        """Serve until the client leaves."""
        try:
            while (message := await self.socket.receive())["type"] != "websocket.disconnect":
                for frame in self.spdy.feed(message.get("bytes") or b""):
                    await self._take(frame)
        except SpdyError:
            return
        finally:
            tasks = [task for _, task in self._connections.values()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _take(self, frame: Opened | Data | Reset | Ping) -> None:
        match frame:
            case Opened():
                await self._send(self.spdy.reply(frame.stream))
                self._open(frame)
            case Data():
                known = self._connections.get(frame.stream)
                if known is not None and frame.data:
                    await known[0].incoming.put(frame.data)
                if known is not None and frame.ended:
                    await known[0].incoming.put(None)
            case Reset():
                known = self._connections.get(frame.stream)
                if known is not None:
                    known[1].cancel()
            case Ping():
                await self._send(self.spdy.pong(frame.number))

    def _open(self, frame: Opened) -> None:
        request = frame.headers.get("requestid", "")
        if frame.headers.get("streamtype") == "error":
            self._errors[request] = frame.stream
            return
        text = frame.headers.get("port", "")
        port = int(text) if text.isdigit() and int(text) in _PORTS else 0
        connection = Connection(self.pod, port)
        task = asyncio.create_task(self._carry(connection, frame.stream, self._errors.pop(request, 0)))
        self._connections[frame.stream] = (connection, task)

    async def _carry(self, connection: Connection, stream: int, errors: int) -> None:
        try:
            fault = await connection.carry(lambda data: self._send(self.spdy.data(stream, data)))
            await self._send(self.spdy.data(stream, b"", ended=True))
            if errors:
                await self._send(self.spdy.data(errors, fault.encode(), ended=True))
        finally:
            del self._connections[stream]

    async def _send(self, frame: bytes) -> None:
        with suppress(WebSocketDisconnect, RuntimeError):  # the loop that reads hears of the client's leaving
            await self.socket.send_bytes(frame)


class _Channelled:
    """Two channels a port."""

    def __init__(self, pod: Object, ports: list[int], socket: WebSocket) -> None:
        self.channels = Channels(socket)
        self.connections = [Connection(pod, port) for port in ports]

    async def run(self) -> None:
        """Serve until the client leaves."""
        for index, connection in enumerate(self.connections):
            for channel in (2 * index, 2 * index + 1):
                await self.channels.send(channel, connection.port.to_bytes(2, "little"))
        tasks = [asyncio.create_task(self._carry(index)) for index in range(len(self.connections))]
        try:
            async for channel, data in self.channels:
                index, is_error = divmod(channel, 2)
                if not is_error and index < len(self.connections) and data and not tasks[index].done():
                    await self.connections[index].incoming.put(data)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _carry(self, index: int) -> None:
        fault = await self.connections[index].carry(lambda data: self.channels.send(2 * index, data))
        if fault:
            await self.channels.send(2 * index + 1, fault.encode())
