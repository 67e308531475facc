"""Calling tools in a test: each call over a connection of its own, in memory, in either protocol era."""

import sys
from dataclasses import dataclass
from typing import Any, Literal

from mcp import Client
from mcp.server import MCPServer
from mcp.types import CallToolResult, TextContent

from midwatch_mcp.servers import build
from midwatch_mcp.settings import ServerSettings

Era = Literal["auto", "legacy"]
ERAS: tuple[Era, ...] = ("auto", "legacy")
"""`auto` is the stateless protocol of 2026-07-28, `legacy` the handshake before it."""


def command_line(settings: ServerSettings, server: str, *more: str) -> list[str]:
    """Return the words that start the server of that name as a process of its own."""
    return [
        *(sys.executable, "-m", "midwatch_agents", "--state", str(settings.state)),
        *("--kubeconfig", str(settings.kubeconfig), "--prometheus", str(settings.prometheus)),
        *("mcp", server, *more),
    ]


@dataclass(frozen=True)
class Caller:
    """Calls one server's tools."""

    server: MCPServer
    era: Era = "auto"

    @classmethod
    def of(cls, name: str, settings: ServerSettings, era: Era = "auto") -> "Caller":
        """Return a caller of the server of that name."""
        return cls(build(settings, allow_write=False, names=(name,))[name], era)

    def connect(self) -> Client:
        """Return a client, to be entered."""
        return Client(self.server, mode=self.era, raise_exceptions=True)

    async def call(self, tool: str, arguments: dict[str, Any]) -> CallToolResult:
        """Call a tool and return its answer, error or not."""
        async with self.connect() as client:
            return await client.call_tool(tool, arguments)

    async def result(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """Call a tool that must succeed; return `{summary, data, evidence}`."""
        answer = await self.call(tool, arguments)
        if answer.is_error or answer.structured_content is None:
            raise AssertionError(f"{tool} failed: {answer_text(answer)}")
        return answer.structured_content

    async def data(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """Call a tool that must succeed; return its `data`."""
        return (await self.result(tool, **arguments))["data"]

    async def error(self, tool: str, **arguments: Any) -> str:
        """Call a tool that must fail; return its text."""
        answer = await self.call(tool, arguments)
        if not answer.is_error:
            raise AssertionError(f"{tool} did not fail: {answer.structured_content}")
        return answer_text(answer)


def answer_text(answer: CallToolResult) -> str:
    """Return the text of an answer."""
    return "\n".join(item.text for item in answer.content if isinstance(item, TextContent))
