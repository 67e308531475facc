"""Serving over standard input and output, until the input ends or a signal comes."""

import asyncio
import os
import signal
import sys

from midwatch_contracts.exit_codes import Exit
from midwatch_mcp.server import ToolServer

_GRACE_S = 2.0
"""How long a signal waits for what the tools talk to, foreign servers among them, to be let go of."""


async def serve(server: ToolServer) -> None:
    """Serve one client. A signal ends the process with `Exit.INTERRUPTED`; changes under way stay in their journal."""
    loop = asyncio.get_running_loop()
    ending: list[asyncio.Task[None]] = []

    def stop() -> None:
        if ending:
            _leave()
        ending.append(loop.create_task(_end(server)))

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
    try:
        await server.run_stdio_async()
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


async def _end(server: ToolServer) -> None:
    try:
        if server.close is not None:
            async with asyncio.timeout(_GRACE_S):
                await server.close()
    finally:
        _leave()


def _leave() -> None:
    # The thread that reads standard input cannot be woken, and leaving in any other way waits for it.
    sys.stderr.flush()
    os._exit(Exit.INTERRUPTED)
