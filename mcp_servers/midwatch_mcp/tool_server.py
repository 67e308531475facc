"""An MCP server of ours: its tools, and beside them documents, prompts and completion."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from anyio.to_thread import run_sync
from mcp.server import MCPServer
from mcp.server.lowlevel.helper_types import ReadResourceContents
from mcp.server.mcpserver import Context, Icon
from mcp.server.mcpserver.tools import Tool
from mcp.shared.exceptions import MCPError
from mcp.types import (
    INVALID_PARAMS,
    Completion,
    CompletionArgument,
    CompletionContext,
    GetPromptResult,
    InputRequiredResult,
    PromptReference,
    Resource,
    ResourceTemplate,
    ResourceTemplateReference,
)
from mcp.types import Prompt as PromptManifest
from pydantic import AnyUrl

from midwatch_mcp.completion import Ask, Completions, Found, completed
from midwatch_mcp.probing import serve_stdio
from midwatch_mcp.prompts import Prompt
from midwatch_mcp.shelf import Shelf
from midwatch_mcp.tool import ToolDeclaration

EVIDENCE_URI = "midwatch://evidence/{id}"
ICON = Icon(
    src="data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 24 24'%3E%3Cpath fill='%23285a8e' "
    "d='M20 15A9 9 0 0 1 9 4a9 9 0 1 0 11 11z'/%3E%3C/svg%3E".replace(" ", "%20"),
    mime_type="image/svg+xml",
    sizes=["any"],
)
"""A crescent, for hosts that show one beside the server's name."""

Closer = Callable[[], Awaitable[None]]


@dataclass(frozen=True)
class Offer:
    """One tool as a server offers it."""

    declaration: ToolDeclaration
    tool: Tool


@dataclass(frozen=True)
class Extras:
    """What a server has beside tools and evidence."""

    completions: Completions = field(default_factory=dict[str, Ask])
    shelf: Shelf | None = None
    """Documents of other packages; None: none are shown."""
    prompts: Mapping[str, Prompt] = field(default_factory=dict[str, Prompt])


class ToolServer(MCPServer):
    """An MCP server that knows what it offers, so that several can be mounted as one."""

    offers: tuple[Offer, ...] = ()
    close: Closer | None = None
    extras: Extras = Extras()

    @property
    def completions(self) -> Completions:
        """What completes arguments."""
        return self.extras.completions

    async def serve_connection(self, incoming: Any, outgoing: Any) -> None:
        """Serve one connection over streams of messages until `incoming` ends."""
        inner = self._lowlevel_server
        await inner.run(incoming, outgoing, inner.create_initialization_options())

    async def run_stdio_async(self) -> None:
        """Serve standard input and output; a client whose probe got no answer in time may still shake hands."""
        await serve_stdio(self.serve_connection)

    async def list_resources(self) -> list[Resource]:
        """List the documents of other packages."""
        shelf = self.extras.shelf
        return await super().list_resources() + ([] if shelf is None else await run_sync(shelf.resources))

    async def list_resource_templates(self) -> list[ResourceTemplate]:
        """List the form of evidence, and those of other packages."""
        shelf = self.extras.shelf
        return await super().list_resource_templates() + ([] if shelf is None else await run_sync(shelf.templates))

    async def read_resource(
        self, uri: AnyUrl | str, context: Context[Any, Any] | None = None
    ) -> Iterable[ReadResourceContents] | InputRequiredResult:
        """Read a document of another package, or a stored result."""
        shelf = self.extras.shelf
        if shelf is not None and await run_sync(shelf.holds, str(uri)):
            return [await run_sync(shelf.read, str(uri))]
        return await super().read_resource(uri, context)

    async def list_prompts(self) -> list[PromptManifest]:
        """List the prompts that make sense with the tools of this server."""
        return [prompt.manifest() for prompt in self.extras.prompts.values()]

    async def get_prompt(
        self, name: str, arguments: dict[str, Any] | None = None, context: Context[Any, Any] | None = None
    ) -> GetPromptResult | InputRequiredResult:
        """Fill a prompt in."""
        del context
        found = self.extras.prompts.get(name)
        if found is None:
            names = ", ".join(self.extras.prompts) or "none"
            raise MCPError(code=INVALID_PARAMS, message=f"unknown prompt {name!r}: this server has {names}")
        return found.filled(arguments or {}, frozenset(offer.declaration.name for offer in self.offers))

    async def complete(
        self,
        ref: PromptReference | ResourceTemplateReference,
        argument: CompletionArgument,
        context: CompletionContext | None,
    ) -> Completion:
        """Return what an argument of a prompt, or the variable of a template, may become."""
        others = (context.arguments if context is not None else None) or {}
        return await completed(self._asker(ref, argument.name), argument.value, others)

    def _asker(self, ref: PromptReference | ResourceTemplateReference, name: str) -> Ask | None:
        if isinstance(ref, PromptReference):
            prompt = self.extras.prompts.get(ref.name)
            known = prompt is not None and name in {one.name for one in prompt.arguments}
            return self.extras.completions.get(name) if known else None
        if ref.uri == EVIDENCE_URI:
            return self.extras.completions.get("evidence")
        shelf = self.extras.shelf

        async def ids(_others: Mapping[str, str]) -> Found:
            return Found([] if shelf is None else await run_sync(shelf.ids, ref.uri))

        return ids


class Part(Protocol):
    """What can be mounted: a server, or what foreign ones add."""

    @property
    def offers(self) -> tuple[Offer, ...]:
        """The tools."""
        ...

    @property
    def close(self) -> Closer | None:
        """What lets go of what the tools talk to."""
        ...

    @property
    def instructions(self) -> str | None:
        """What a host is told."""
        ...

    @property
    def completions(self) -> Completions:
        """What completes arguments."""
        ...
