"""The one door (DESIGN §1.4): the MCP servers, opened in memory, and a caller that records every call.

Process start is the cost of MCP, not its transport (in memory: 1 ms to connect, 0.3 ms a call), so the supervisor opens
the servers inside its own process. It speaks to them as any client does and holds no other way to the world.
"""

import contextlib
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from typing import Any, cast

import anyio
from mcp import Client, MCPError
from mcp.server import MCPServer, Server
from mcp.types import CallToolResult, TextContent
from pydantic import ValidationError

from midwatch_agents.errors import AgentError, ToolCallError, ToolRefusedError, ToolUnreachableError, UnknownToolError
from midwatch_agents.events import Recorder
from midwatch_contracts.clock import Clock
from midwatch_contracts.command import Settings
from midwatch_contracts.evidence import ToolResult
from midwatch_contracts.untrusted import clean
from midwatch_mcp.errors import ServersError
from midwatch_mcp.servers import build
from midwatch_mcp.settings import ServerSettings
from midwatch_mcp.vouching import Vouched

Result = ToolResult[dict[str, Any]]

CALL_TIMEOUT_S = 120.0
"""Upper bound on one call, on the wall clock: longer than any upstream timeout of the servers."""
APPLY_TIMEOUT_S = 900.0
"""The same for the tools that wait for a change."""
_SLOW = frozenset({"change_apply", "change_status"})
_SHARED = "evidence_read"
"""The one tool that every server offers; all read the same state folder."""


@dataclass
class Toolbox:
    """The tools of all servers by name. Use `open_tools`, or `opened` with servers of your own."""

    _clients: dict[str, Client] = field(default_factory=dict[str, Client])
    servers: dict[str, str] = field(default_factory=dict[str, str])
    """The server of each tool."""
    vouched: Vouched = field(default_factory=Vouched)
    """Where the supervisor says of a draft that code alone wrote it; servers of this process alone hear of it."""

    async def add(self, server: str, client: Client) -> None:
        """Take in a connected client's tools.

        Raises:
            AgentError: two servers offer one name, so a call could reach the wrong one.
        """
        for tool in (await client.list_tools()).tools:
            if tool.name in self._clients:
                if tool.name == _SHARED:
                    continue
                raise AgentError(f"the servers {self.servers[tool.name]} and {server} both offer {tool.name}")
            self._clients[tool.name] = client
            self.servers[tool.name] = server

    async def call(self, tool: str, arguments: Mapping[str, Any]) -> Result:
        """Call a tool.

        Raises:
            ToolCallError: it is unknown, refused, or did not answer as its schema says.
        """
        client = self._clients.get(tool)
        if client is None:
            raise UnknownToolError(tool, f"no server offers it; there are {', '.join(sorted(self._clients)) or 'none'}")
        timeout = APPLY_TIMEOUT_S if tool in _SLOW else CALL_TIMEOUT_S
        try:
            with anyio.fail_after(timeout):
                answer = await client.call_tool(tool, dict(arguments))
        except MCPError as error:
            raise ToolUnreachableError(tool, clean(error.error.message)) from error
        except TimeoutError as error:
            raise ToolUnreachableError(tool, f"no answer within {timeout:.0f} s") from error
        except (RuntimeError, ValidationError) as error:
            # The client library raises RuntimeError where an answer does not fit the tool's output schema.
            raise ToolUnreachableError(tool, clean(str(error))) from error
        return _result(tool, answer)


def _result(tool: str, answer: CallToolResult) -> Result:
    if answer.is_error:
        text = " ".join(part.text for part in answer.content if isinstance(part, TextContent))
        raise ToolRefusedError(tool, clean(text).removeprefix(f"Error executing tool {tool}: ") or "no reason given")
    try:
        return Result.model_validate(answer.structured_content)
    except ValidationError as error:
        raise ToolUnreachableError(tool, f"the answer is no tool result: {error.error_count()} errors") from error


ToolsOpener = Callable[[Settings], AbstractAsyncContextManager[Toolbox]]
"""What opens the tools for a run; tests hand in one with scripted servers."""


@contextlib.asynccontextmanager
async def opened(servers: Mapping[str, MCPServer | Server[Any]]) -> AsyncGenerator[Toolbox]:
    """Connect to servers in this process and yield their tools."""
    toolbox = Toolbox()
    try:
        async with contextlib.AsyncExitStack() as stack:
            for name, server in servers.items():
                await toolbox.add(name, await stack.enter_async_context(Client(server)))
            yield toolbox
    except BaseExceptionGroup as group:
        # Each client runs in a task group, which wraps what is raised inside it; callers catch the error itself.
        raise _innermost(group) from None


def _innermost(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        inner = cast("tuple[BaseException, ...]", error.exceptions)  # pyright: ignore[reportUnknownMemberType] (typeshed)
        if len(inner) != 1:
            return cast("BaseException", error)
        (error,) = inner
    return error


@contextlib.asynccontextmanager
async def open_tools(settings: Settings) -> AsyncGenerator[Toolbox]:
    """Start Midwatch's own four servers in memory and yield their tools.

    Raises:
        AgentError: the settings do not lead to a cluster, or to a lab that is up.
    """
    try:
        vouched = Vouched()
        reached = replace(ServerSettings.from_settings(settings), vouched=vouched)
        servers = build(reached, allow_write=True)
    except ServersError as error:
        raise AgentError(str(error)) from error
    async with opened(servers) as toolbox:
        toolbox.vouched = vouched
        yield toolbox


@dataclass
class Caller:
    """The tools of one run: as `Toolbox`, and every call and every failure stands in the ledger.

    Fits the `ToolCaller` protocol of the guide runner.
    """

    toolbox: Toolbox
    recorder: Recorder
    clock: Clock

    async def call(self, tool: str, arguments: dict[str, Any], *, step: str) -> Result:
        """Call a tool for `step` and record it.

        Raises:
            ToolCallError: as the toolbox; the failure is recorded first.
        """
        begun = self.clock.now()
        body: dict[str, Any] = {"tool": tool, "server": self.toolbox.servers.get(tool), "arguments": arguments}
        try:
            result = await self.toolbox.call(tool, arguments)
        except ToolCallError as error:
            self.recorder.record("tool_error", body | {"error": error.reason}, step=step)
            raise
        evidence = result.evidence
        body |= {
            "summary": result.summary,
            "sha256": evidence.sha256,
            "bytes": evidence.bytes,
            "seconds": round(self.clock.now() - begun, 6),
        }
        self.recorder.record("tool", body, step=step, evidence=evidence.id)
        return result
