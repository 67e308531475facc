"""A foreign server as a part that can be mounted beside ours: its pinned tools, behind the same gate.

What it says of its tools is a claim, and what it answers is text from outside: cleaned and redacted like any other. A
tool that does not declare itself read-only is left out unless writing is allowed.
"""

import asyncio
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.mcpserver.tools import Tool
from mcp.types import CallToolResult, TextContent
from mcp.types import Tool as Manifest
from pydantic import PrivateAttr

from midwatch_contracts.untrusted import clean
from midwatch_mcp.completion import Ask, Completions
from midwatch_mcp.errors import ServersError, SettingsError, UnreachableError
from midwatch_mcp.gateway.config import read_servers
from midwatch_mcp.gateway.connection import CALL_S, ForeignConnection
from midwatch_mcp.gateway.pins import PinnedServer, changes, load_pins, tool_sha256
from midwatch_mcp.redact import harmless
from midwatch_mcp.server import Closer, Offer
from midwatch_mcp.tool import META_CLUSTER, META_COST, ToolDeclaration, error_text

_MAX_BYTES = 64_000


class ForeignTool(Tool):
    """A tool that is carried out by another server."""

    _connection: ForeignConnection = PrivateAttr()
    _pin: str = PrivateAttr()
    _output: dict[str, Any] | None = PrivateAttr(default=None)

    @property
    def output_schema(self) -> dict[str, Any] | None:  # pyright: ignore[reportIncompatibleVariableOverride] (cached there, given here)
        """Return the schema that the other server states."""
        return self._output

    async def run(self, arguments: dict[str, Any], context: Context[Any, Any], convert_result: bool = False) -> Any:  # noqa: ARG002, FBT001, FBT002 (the SDK's signature)
        """Check that the tool is still the one that was pinned, and pass the call on."""
        try:
            found = {tool.name: tool for tool in await self._connection.tools()}.get(self.name)
            if found is None or tool_sha256(found) != self._pin:
                raise SettingsError(
                    f"{self.name} of the server {self._connection.name} is not the tool that was pinned, so it is not "
                    "called: look at it and pin it again with: midwatch mcp pin"
                )
            return _harmless(await self._connection.call(self.name, arguments))
        except ServersError as error:
            raise ToolError(error_text(error)) from error


def foreign_offers(
    connection: ForeignConnection, manifests: Sequence[Manifest], pin: PinnedServer, *, allow_write: bool
) -> tuple[list[Offer], dict[str, str]]:
    """Return the tools to offer, and why the others are not, by name."""
    left_out = {name: f"{what} since it was pinned" for name, what in changes(pin, manifests).items()}
    offers: list[Offer] = []
    for manifest in manifests:
        if manifest.name in left_out:
            continue
        declaration = _declaration(connection.name, manifest)
        if not declaration.read_only and not allow_write:
            left_out[manifest.name] = "it may write, and --allow-write is not given"
            continue
        offers.append(Offer(declaration, _tool(connection, manifest, declaration)))
    return offers, left_out


@dataclass(frozen=True)
class ForeignPart:
    """What foreign servers add to the one that mounts them."""

    offers: tuple[Offer, ...]
    close: Closer
    instructions: str = ""
    completions: Completions = field(default_factory=dict[str, Ask])


def foreign_part(state: Path, file: Path, *, allow_write: bool) -> ForeignPart:
    """Ask the servers of a file for their tools, and return those that were pinned.

    A server that was never pinned, is started otherwise than it was, or does not answer, is left out, and so is a tool
    that changed; standard error says which and why. Blocks until all have answered.

    Raises:
        SettingsError: the file or the pins cannot be used.
    """
    servers, pins = read_servers(file), load_pins(state).servers
    offers: list[Offer] = []
    connections: list[ForeignConnection] = []
    for name, server in servers.items():
        pin = pins.get(name)
        if pin is None or pin.launch_sha256 != server.sha256:
            why = "was never pinned" if pin is None else "is started otherwise than when it was pinned"
            _tell(f"the server {name} {why}: look at it with: midwatch mcp pin --mcp-config {file}")
            continue
        connection = ForeignConnection(name, server)
        try:
            manifests = asyncio.run(manifests_of(connection))
        except UnreachableError as error:
            _tell(str(error))
            continue
        found, left_out = foreign_offers(connection, manifests, pin, allow_write=allow_write)
        for tool, why in left_out.items():
            _tell(f"{name}: {tool} is not offered: {why}")
        offers += found
        connections.append(connection)

    async def close() -> None:
        for connection in connections:
            await connection.aclose()

    return ForeignPart(tuple(offers), close)


async def manifests_of(connection: ForeignConnection) -> list[Manifest]:
    """Connect, return the tools, and let go."""
    try:
        return await connection.tools()
    finally:
        await connection.aclose()


def _tell(text: str) -> None:
    print(f"midwatch: {clean(text)}", file=sys.stderr)  # noqa: T201 (a server's log)


def _declaration(server: str, manifest: Manifest) -> ToolDeclaration:
    """Return what is said of a tool; a hint that the server leaves out counts as the worse of the two."""
    hints = manifest.annotations
    read_only = hints is not None and hints.read_only_hint is True
    return ToolDeclaration(
        name=manifest.name,
        title=manifest.title or manifest.name,
        description=manifest.description or "",
        cluster=f"foreign/{server}",
        cost="medium",
        read_only=read_only,
        destructive=not read_only and (hints is None or hints.destructive_hint is not False),
        idempotent=hints is not None and hints.idempotent_hint is True,
        open_world=hints is None or hints.open_world_hint is not False,
        timeout_s=CALL_S,
        max_bytes=_MAX_BYTES,
    )


async def _unreachable() -> CallToolResult:
    """Stand where the SDK wants a function; `ForeignTool.run` never comes to it."""
    raise NotImplementedError


def _tool(connection: ForeignConnection, manifest: Manifest, declaration: ToolDeclaration) -> Tool:
    made = ForeignTool.from_function(
        _unreachable,
        name=manifest.name,
        title=clean(declaration.title),
        description=clean(declaration.description),
        annotations=manifest.annotations,
        meta={META_CLUSTER: declaration.cluster, META_COST: declaration.cost},
        structured_output=False,
    )
    made.parameters = harmless(manifest.input_schema)
    made._connection, made._pin, made._output = connection, tool_sha256(manifest), manifest.output_schema  # noqa: SLF001 (its own maker) # pyright: ignore[reportPrivateUsage, reportAttributeAccessIssue]
    return made


def _harmless(result: CallToolResult) -> CallToolResult:
    """Return an answer with its texts cleaned and redacted; what is no text is named and left out."""
    content = [
        TextContent(type="text", text=str(harmless(item.text)))
        if isinstance(item, TextContent)
        else TextContent(type="text", text=f"[{item.type} left out]")
        for item in result.content
    ]
    structured = None if result.structured_content is None else harmless(result.structured_content)
    return CallToolResult(content=list(content), structured_content=structured, is_error=result.is_error)
