"""The process that stands in for a program that a lab does not have: it listens, and answers requests with 200.

`python -m midwatch_lab.kubelet.stand_in ADDRESS PORT...`; it ends with its standard input, as all that a lab starts.
"""

import asyncio
import contextlib
import os
import signal
import sys
import threading
from typing import Final

_ANSWER: Final = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 9\r\nConnection: close\r\n\r\nstand-in\n"
)
_HEAD_BYTES: Final = 65_536
_PATIENCE_S: Final = 5.0


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer one request. A connection without one, as a TCP probe makes it, is closed when its other end closes it."""
    with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError):
        async with asyncio.timeout(_PATIENCE_S):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(_ANSWER)
            await writer.drain()
    writer.close()


async def _serve(address: str, ports: list[int]) -> None:
    over = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, over.set)
    threading.Thread(target=_watch_stdin, args=(loop, over), daemon=True).start()
    servers = [await asyncio.start_server(_answer, address, port, limit=_HEAD_BYTES) for port in ports]
    print(f"a stand-in listens on {address}, ports {', '.join(map(str, ports))}", flush=True)  # noqa: T201 (its log)
    await over.wait()
    for server in servers:
        server.close()


def _watch_stdin(loop: asyncio.AbstractEventLoop, over: asyncio.Event) -> None:
    while os.read(0, _HEAD_BYTES):
        pass
    with contextlib.suppress(RuntimeError):  # the loop has ended by itself meanwhile
        loop.call_soon_threadsafe(over.set)


if __name__ == "__main__":
    asyncio.run(_serve(sys.argv[1], [int(port) for port in sys.argv[2:]]))
