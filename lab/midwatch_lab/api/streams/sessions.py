"""exec and attach: a command, or the container's own process, joined to the channels of a client."""

import asyncio
from collections.abc import Awaitable, Mapping
from typing import Any, Final, Protocol

import orjson
from starlette.websockets import WebSocket

from midwatch_lab import status
from midwatch_lab.api.call import Call
from midwatch_lab.api.pod_options import check_placed, container_of, is_set, record
from midwatch_lab.api.streams.channels import (
    CLOSE,
    PROTOCOLS,
    RESIZE,
    STDERR,
    STDIN,
    STDOUT,
    Channels,
    chosen,
    exited,
    failed,
    success,
)
from midwatch_lab.kubelet.execution import Execution, ExecutionError, read_some, start
from midwatch_lab.kubelet.logs import ContainerLog
from midwatch_lab.objects import Object
from midwatch_lab.registry.registry import Registry

_FROM_RUNTIME: Final = "error executing command in container: failed to exec in container: failed to start exec"
_LAST_OUTPUT_S: Final = 1.0


class Running(Protocol):
    """A container whose process runs."""

    @property
    def environment(self) -> Mapping[str, str]:
        """The variables of its process."""
        ...

    @property
    def log(self) -> ContainerLog | None:
        """What it writes."""
        ...

    @property
    def spec(self) -> Object:
        """The container as the pod's spec has it."""
        ...

    async def write(self, data: bytes) -> None:
        """Send to its standard input."""
        ...

    def end_input(self) -> None:
        """Say that no more input comes."""
        ...

    async def ended(self) -> None:
        """Return once this run has ended."""
        ...


class Containers(Protocol):
    """Whoever runs containers."""

    def running(self, uid: str, container: str) -> Running | None:
        """Return a container of a pod, if its process runs."""
        ...


class Sessions:
    """Joins clients to containers. `closing` ends every session."""

    def __init__(self, registry: Registry, containers: Containers | None, closing: asyncio.Event) -> None:
        self.registry = registry
        self.containers = containers
        self.closing = closing

    def target(self, call: Call) -> Running:
        """Return the container that a request is about.

        Raises:
            ApiError: 400, 404, or 500 when it does not run.
        """
        pod = self.registry.read(call.resource, call.target.namespace, call.target.name)
        container = str(container_of(call, pod)["name"])
        check_placed(self.registry, pod)
        found = self.containers.running(pod["metadata"]["uid"], container) if self.containers is not None else None
        if found is None:
            raise status.internal_error(f'unable to upgrade connection: container not found ("{container}")')
        if not any(is_set(call, name) for name in ("stdin", "stdout", "stderr")):
            raise status.bad_request("you must specify at least 1 of stdin, stdout, stderr")
        if call.target.subresource == "exec" and not call.request.query_params.getlist("command"):
            raise status.bad_request("you must specify the command to execute")
        return found

    async def serve(self, call: Call, socket: WebSocket) -> None:
        """Serve exec or attach on a socket that is not accepted yet.

        Raises:
            ApiError: before it is accepted.
        """
        found = self.target(call)
        protocol = chosen(socket, PROTOCOLS)
        if protocol is None:
            offered = ", ".join(socket.scope.get("subprotocols", [])) or "none"
            raise status.bad_request(f"the lab speaks {' and '.join(PROTOCOLS)}; the client offered {offered}")
        record(self.registry, call)
        await socket.accept(subprotocol=protocol)
        channels = Channels(socket)
        # The original greets so: the client knows from it that the streams are there.
        await channels.send(STDOUT, b"")
        if call.target.subresource == "attach":
            await self._attach(call, found, channels)
        else:
            await self._execute(call, found, channels)

    async def _execute(self, call: Call, found: Running, channels: Channels) -> None:
        command = call.request.query_params.getlist("command")
        try:
            execution = await start(command, found.environment, stdin=is_set(call, "stdin"), tty=is_set(call, "tty"))
        except ExecutionError as error:
            await channels.end(failed(f"{_FROM_RUNTIME}: {error}: unknown"))
            return
        try:
            output = _output(execution, channels, {name for name in ("stdout", "stderr") if is_set(call, name)})
            code = await self._unless_over(output, _input(execution, channels), found.ended())
        finally:
            await execution.close()
        if code is not None:
            await channels.end(exited(code) if code else success())

    async def _attach(self, call: Call, found: Running, channels: Channels) -> None:
        log = found.log
        takes_input = is_set(call, "stdin") and bool(found.spec.get("stdin"))
        once = takes_input and bool(found.spec.get("stdinOnce"))
        if log is None:
            await channels.end(success())
            return
        follower = log.follow()

        async def show() -> int:
            async for line in follower:
                await channels.send(STDOUT, f"{line.text}\n".encode())
            return 0

        async def listen() -> None:
            async for channel, data in channels:
                if channel == STDIN and takes_input:
                    await found.write(data)
                elif channel == CLOSE and data[:1] == bytes([STDIN]) and once:
                    found.end_input()

        if await self._unless_over(show(), listen()) is not None:
            await channels.end(success())

    async def _unless_over(self, work: Awaitable[int], *ends: Awaitable[None]) -> int | None:
        """Return what the work returns; None where the client left, the container ended or the lab closes before."""
        doing = asyncio.ensure_future(work)
        ending = [asyncio.ensure_future(end) for end in ends]
        closing = asyncio.ensure_future(self.closing.wait())
        tasks: list[asyncio.Future[Any]] = [doing, *ending, closing]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            return doing.result() if doing.done() else None
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def _output(execution: Execution, channels: Channels, wanted: set[str]) -> int:
    """Pass output on until the command has ended; what it left running may write for a moment more."""
    pumps = [asyncio.ensure_future(_pump(execution.stdout, STDOUT, channels, wanted="stdout" in wanted))]
    if execution.stderr is not None:
        pumps.append(asyncio.ensure_future(_pump(execution.stderr, STDERR, channels, wanted="stderr" in wanted)))
    try:
        code = await execution.wait()
        await asyncio.wait(pumps, timeout=_LAST_OUTPUT_S)
    finally:
        for pump in pumps:
            pump.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)
    return code


async def _pump(stream: asyncio.StreamReader, channel: int, channels: Channels, *, wanted: bool) -> None:
    while data := await read_some(stream):
        if wanted:
            await channels.send(channel, data)


async def _input(execution: Execution, channels: Channels) -> None:
    """Pass input on until the client leaves."""
    async for channel, data in channels:
        if channel == STDIN:
            await execution.write(data)
        elif channel == CLOSE and data[:1] == bytes([STDIN]):
            await execution.end_input()
        elif channel == RESIZE:
            width, height = _size(data)
            execution.resize(width, height)


def _size(data: bytes) -> tuple[int, int]:
    """Read the size of a terminal; (0, 0), which says nothing, from what is no size."""
    try:
        size = orjson.loads(data)
        return int(size["Width"]), int(size["Height"])
    except (ValueError, TypeError, KeyError):
        return 0, 0
