"""One foreign server's connection: owned by a task of its own, opened at the first call, again after it was closed.

The SDK's transports must be left by the task that entered them, and calls come from many tasks; so one task holds the
connection open until it is told to let go.
"""

import asyncio
import logging
import os
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx2
from mcp import Client, MCPError, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client
from mcp.server import MCPServer
from mcp.types import CallToolResult, Tool

from midwatch_mcp.errors import SettingsError, UnreachableError
from midwatch_mcp.gateway.config import ForeignServer, filled

log = logging.getLogger(__name__)

CALL_S = 60.0
_OPEN_S = 30.0


class ForeignConnection:
    """A connection to one server of the file. `inside` is a server of this process in its place, for tests."""

    def __init__(
        self,
        name: str,
        server: ForeignServer,
        environment: Mapping[str, str] | None = None,
        *,
        inside: MCPServer | None = None,
    ) -> None:
        self.name = name
        self._inside = inside
        self._server = server
        self._environment = os.environ if environment is None else environment
        self._opening = asyncio.Lock()
        self._client: Client | None = None
        self._owner: asyncio.Task[None] | None = None
        self._release = asyncio.Event()

    async def tools(self) -> list[Tool]:
        """Return the tools that the server has now, in its order.

        Raises:
            UnreachableError: it cannot be started or reached, or does not answer in time.
            SettingsError: a variable that it needs is not set.
        """
        client = await self._open()
        try:
            async with asyncio.timeout(_OPEN_S):
                return list((await client.list_tools()).tools)
        except (MCPError, TimeoutError) as error:
            # Whatever broke it, the next call begins anew: a server that died is started again.
            await self.aclose()
            raise self._lost(error) from error

    async def call(self, tool: str, arguments: dict[str, Any]) -> CallToolResult:
        """Call a tool.

        Raises:
            UnreachableError, SettingsError: as of `tools`.
        """
        client = await self._open()
        try:
            return await client.call_tool(tool, arguments, read_timeout_seconds=CALL_S)
        except (MCPError, RuntimeError) as error:  # the SDK raises RuntimeError for results that break their own schema
            raise self._lost(error) from error

    async def aclose(self) -> None:
        """Let go of the connection; a command that was started ends."""
        owner, self._owner = self._owner, None
        self._client = None
        if owner is not None:
            self._release.set()
            await asyncio.wait({owner})

    async def _open(self) -> Client:
        async with self._opening:
            if self._owner is not None and self._owner.done():
                self._owner = self._client = None
            if self._client is None:
                self._release = asyncio.Event()
                ready: asyncio.Future[Client] = asyncio.get_running_loop().create_future()
                self._owner = asyncio.create_task(self._hold(ready, self._release), name=f"mcp server {self.name}")
                try:
                    self._client = await ready
                except asyncio.CancelledError:
                    # Nobody waits for this connection any more; left alone it would be held open for ever.
                    self._owner.cancel()
                    raise
            return self._client

    async def _hold(self, ready: "asyncio.Future[Client]", release: asyncio.Event) -> None:
        try:
            async with asyncio.timeout(_OPEN_S) as limit, self._connected() as client:
                limit.reschedule(None)
                ready.set_result(client)
                await release.wait()
        except SettingsError as error:
            ready.set_exception(error)
        except Exception as error:  # noqa: BLE001 (the boundary of this task: whatever a foreign server does ends here)
            if not ready.done():
                ready.set_exception(self._lost(error))
            else:
                log.warning("the connection to the foreign server %s broke: %s", self.name, type(error).__name__)

    @asynccontextmanager
    async def _connected(self) -> AsyncGenerator[Client]:
        if self._inside is not None:
            async with Client(self._inside) as client:
                yield client
            return
        where = f"server {self.name}"
        if self._server.url is not None:
            headers = filled(self._server.headers, self._environment, where)
            async with (
                httpx2.AsyncClient(headers=headers, follow_redirects=False, timeout=CALL_S) as http,
                Client(streamable_http_client(self._server.url, http_client=http)) as client,
            ):
                yield client
            return
        launch = StdioServerParameters(
            command=self._server.command or "",
            args=self._server.args,
            env=filled(self._server.env, self._environment, where),
            cwd=self._server.cwd,
        )
        async with Client(launch) as client:
            yield client

    def _lost(self, error: BaseException) -> UnreachableError:
        why = str(error) or type(error).__name__
        return UnreachableError(f"the foreign server {self.name} gave no answer: {why}", may_have_arrived=True)
