"""Building one server: its tools behind the gate, its evidence, and the life of what it talks to."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, Any, Protocol

from mcp.server import MCPServer
from mcp.server.caching import CacheHint
from mcp.server.mcpserver.exceptions import ResourceNotFoundError
from mcp.server.mcpserver.tools import Tool
from pydantic import Field

from midwatch_mcp.errors import EvidenceError, SettingsError
from midwatch_mcp.evidence import EvidencePage, EvidenceStore
from midwatch_mcp.gate import AuditLog, Gate
from midwatch_mcp.rates import Limiter
from midwatch_mcp.settings import ServerSettings
from midwatch_mcp.tool import Answer, Handler, ToolDeclaration, bind, declaration_of, tool

VERSION = "0.1.0"

Closer = Callable[[], Awaitable[None]]


@dataclass(frozen=True)
class Offer:
    """One tool as a server offers it."""

    declaration: ToolDeclaration
    tool: Tool


@tool(
    name="evidence_read",
    title="Read evidence",
    description=(
        "Read the full result behind an evidence id, or the part at a JSON Pointer. Large parts come in pages: pass "
        "evidence.cursor of the answer as cursor for the next."
    ),
    cluster="evidence",
    cost="low",
    read_only=True,
    destructive=False,
    idempotent=True,
    open_world=False,
)
async def evidence_read(
    room: EvidenceStore,
    id: Annotated[str, Field(pattern=r"^ev-[0-9a-f]{16}$", description="evidence.id of an earlier result")],  # noqa: A002 (the contract's name)
    path: Annotated[str, Field(max_length=500, description="JSON Pointer, such as /rows/0; empty for all")] = "",
    cursor: Annotated[str | None, Field(max_length=20, description="evidence.cursor of the page before")] = None,
) -> Answer[EvidencePage]:
    """Return one page of a stored result."""
    page, following = room.read(id, path, cursor)
    where = f" at {path}" if path else ""
    summary = f"{page.type} of size {page.size}{where} in {page.tool} of {page.at}."
    if following is not None:
        summary += f" This page starts at {page.start}; the next at {following}."
    return Answer(summary, page, truncated=following is not None, cursor=following)


class ToolServer(MCPServer):
    """An MCP server that knows what it offers, so that several can be mounted as one."""

    offers: tuple[Offer, ...] = ()
    close: Closer | None = None


def new_server(
    name: str,
    *,
    title: str,
    instructions: str,
    settings: ServerSettings,
    evidence: EvidenceStore,
    room: Any,
    handlers: Sequence[Handler],
    allow_write: bool = False,
    close: Closer | None = None,
    limiter: Limiter | None = None,
) -> ToolServer:
    """Return a server that offers `handlers` over `room`, and `evidence_read`, behind a gate.

    Tools that write are left out unless `allow_write`. `close` is awaited when the last connection ends; a later
    connection opens what it needs again.
    """
    chosen = [handler for handler in handlers if allow_write or declaration_of(handler).read_only]
    offers = [Offer(declaration_of(handler), bind(name, handler, room, evidence)) for handler in chosen]
    told = {"title": title, "instructions": instructions}
    return _assemble(name, told, offers, settings=settings, evidence=evidence, close=close, limiter=limiter)


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


def mount(name: str, parts: Sequence[Part], *, settings: ServerSettings, evidence: EvidenceStore) -> ToolServer:
    """Return one server with the tools of all `parts`.

    Raises:
        SettingsError: when two parts have a tool of the same name.
    """
    offers: dict[str, Offer] = {}
    for part in parts:
        for offer in part.offers:
            if offer.declaration.name in offers:
                first, second = (found.declaration.cluster for found in (offers[offer.declaration.name], offer))
                raise SettingsError(
                    f"two servers have a tool {offer.declaration.name} ({first} and {second}): leave one of them out"
                )
            offers[offer.declaration.name] = offer

    async def close() -> None:
        for part in parts:
            if part.close is not None:
                await part.close()

    texts = [part.instructions for part in parts if part.instructions]
    told = {"title": "Midwatch", "instructions": "\n".join(texts)}
    return _assemble(name, told, list(offers.values()), settings=settings, evidence=evidence, close=close)


def evidence_offer(server: str, evidence: EvidenceStore) -> Offer:
    """Return `evidence_read` as the server of this name offers it."""
    return Offer(declaration_of(evidence_read), bind(server, evidence_read, evidence, evidence))


def _assemble(
    name: str,
    told: Mapping[str, str],
    offers: Sequence[Offer],
    *,
    settings: ServerSettings,
    evidence: EvidenceStore,
    close: Closer | None,
    limiter: Limiter | None = None,
) -> ToolServer:
    gate = Gate(name, AuditLog(settings.state / "mcp-audit.jsonl"), limiter)
    reader = evidence_offer(name, evidence)
    for offer in (*offers, reader):
        gate.admit(offer.declaration, offer.tool.parameters)
    server = ToolServer(
        name,
        title=told["title"],
        version=VERSION,
        instructions=told["instructions"],
        log_level="WARNING",
        tools=[offer.tool for offer in (*offers, reader)],
        extensions=[gate],
        lifespan=_lifespan(close),
        cache_hints={"tools/list": CacheHint(ttl_ms=60_000, scope="private")},
    )
    server.offers = tuple(offers)
    server.close = close
    _offer_evidence(server, evidence)
    return server


def _lifespan(close: Closer | None) -> Any:
    """Return a lifespan that closes when the last of several connections ends."""
    open_connections = 0

    @asynccontextmanager
    async def lifespan(_server: MCPServer) -> AsyncGenerator[None]:
        nonlocal open_connections
        open_connections += 1
        try:
            yield None
        finally:
            open_connections -= 1
            if open_connections == 0 and close is not None:
                await close()

    return lifespan


def _offer_evidence(server: MCPServer, evidence: EvidenceStore) -> None:
    @server.resource(
        "midwatch://evidence/{id}",
        name="evidence",
        title="Stored result",
        description="The full, redacted result behind an evidence id, as canonical JSON.",
        mime_type="application/json",
    )
    def stored(id: str) -> str:  # noqa: A002 (the contract's name) # pyright: ignore[reportUnusedFunction] (registered)
        try:
            return evidence.content(id).decode()
        except EvidenceError as error:
            raise ResourceNotFoundError(str(error)) from error
