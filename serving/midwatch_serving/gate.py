"""The engine's gate: whether requests may come in, and whether steps may run. Both can be shut while the server lives.

Sleeping, pausing and draining are combinations of the two. Everything here belongs to the event loop.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator

from midwatch_serving.errors import RequestError

UNAVAILABLE = 503


class Gate:
    """Open at first. Requests enter while there is no `refusal`; steps run while it is not held."""

    def __init__(self) -> None:
        self.refusal: str | None = None
        """Why new requests are refused; None takes them."""
        self._open = asyncio.Event()
        self._open.set()
        self._between = asyncio.Event()
        self._between.set()

    @property
    def held(self) -> bool:
        """Whether steps are held."""
        return not self._open.is_set()

    def enter(self) -> None:
        """Let a new request in.

        Raises:
            RequestError: 503 with the reason, when requests are refused.
        """
        if self.refusal is not None:
            raise RequestError(self.refusal, status=UNAVAILABLE, code="unavailable")

    @contextlib.asynccontextmanager
    async def step(self) -> AsyncGenerator[None]:
        """Wait until steps may run; the block is one step."""
        await self._open.wait()
        self._between.clear()
        try:
            yield
        finally:
            self._between.set()

    async def hold(self) -> None:
        """Hold steps; return when none is under way. A held gate may be held again."""
        self._open.clear()
        await self._between.wait()

    def release(self) -> None:
        """Let steps run again."""
        self._open.set()
