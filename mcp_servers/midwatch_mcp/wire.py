"""Standard input and output as streams of the event loop, where they are pipes or sockets, as a host makes them.

The SDK reads and writes them in threads, which costs a call half a millisecond and more. What a tool prints must not
reach the client, so both are moved away first: descriptor 0 then reads nothing, descriptor 1 is standard error.
"""

import asyncio
import logging
import os
import stat
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from fcntl import F_DUPFD_CLOEXEC, fcntl

import anyio
from mcp.shared.message import SessionMessage
from mcp.types import jsonrpc_message_adapter
from pydantic import ValidationError

LINE_BYTES = 16 * 1024 * 1024
"""What one message may measure; a longer one ends the connection."""
_ABOVE_STANDARD = 3
_GRACE_S = 2.0

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Lines:
    """What comes in, one message a line."""

    reader: asyncio.StreamReader

    async def messages(self) -> AsyncGenerator[SessionMessage | Exception]:
        """Yield messages, or why a line is none, until the end or until one is too long."""
        try:
            while line := await self.reader.readline():
                text = line.decode("utf-8", errors="replace")
                try:
                    message = jsonrpc_message_adapter.validate_json(text, by_name=False)
                except ValidationError as error:
                    yield error
                else:
                    yield SessionMessage(message)
        except ValueError:
            log.error("a message of more than %d bytes came in: the connection ends here", LINE_BYTES)  # noqa: TRY400 (the reader's own words say less)


@dataclass(frozen=True)
class Sink:
    """Where answers go, one a line."""

    writer: asyncio.StreamWriter

    async def send(self, item: SessionMessage, /) -> None:
        """Hand a message on, and wait until the client reads, if it does not keep up.

        Raises:
            BrokenResourceError: the client reads no more.
        """
        self.writer.write(item.message.model_dump_json(by_alias=True, exclude_unset=True).encode() + b"\n")
        try:
            await self.writer.drain()
        except ConnectionError as error:
            raise anyio.BrokenResourceError from error

    async def close(self) -> None:
        """Hand on what is left, to a client that still reads."""
        self.writer.close()
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(_GRACE_S):
                await self.writer.wait_closed()


@asynccontextmanager
async def wire() -> AsyncGenerator[tuple[Lines, Sink] | None]:
    """Claim standard input and output and lend them; None where they are files or a terminal.

    A terminal is left alone, since it would become non-blocking for every other program on it.
    """
    if not (_is_pipe(0) and _is_pipe(1)):
        yield None
        return
    sys.stdout.flush()
    incoming, outgoing = _moved(0, os.open(os.devnull, os.O_RDONLY)), _moved(1, _elsewhere())
    try:
        lines, read = await _lines(os.dup(incoming))
        sink = await _sink(os.dup(outgoing))
        try:
            yield lines, sink
        finally:
            read.close()
            await sink.close()
    finally:
        for claimed, original in enumerate((incoming, outgoing)):
            os.set_blocking(original, True)
            os.dup2(original, claimed)
            os.close(original)


def _is_pipe(descriptor: int) -> bool:
    try:
        mode = os.fstat(descriptor).st_mode
    except OSError:
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)


def _elsewhere() -> int:
    try:
        return os.dup(2)
    except OSError:
        return os.open(os.devnull, os.O_WRONLY)


def _moved(descriptor: int, instead: int) -> int:
    """Point a descriptor at something else, and return a new one for what it was."""
    original = fcntl(descriptor, F_DUPFD_CLOEXEC, _ABOVE_STANDARD)
    os.dup2(instead, descriptor)
    os.close(instead)
    return original


async def _lines(descriptor: int) -> tuple[Lines, asyncio.ReadTransport]:
    reader = asyncio.StreamReader(limit=LINE_BYTES)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(descriptor, "rb", buffering=0)
    )
    return Lines(reader), transport


async def _sink(descriptor: int) -> Sink:
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.connect_write_pipe(
        lambda: asyncio.StreamReaderProtocol(asyncio.StreamReader()), os.fdopen(descriptor, "wb", buffering=0)
    )
    return Sink(asyncio.StreamWriter(transport, protocol, None, loop))
