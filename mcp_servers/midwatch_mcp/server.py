"""Building one server: its tools behind the gate, its evidence, and the life of what it talks to."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Annotated, Any

from anyio.to_thread import run_sync
from mcp.server import MCPServer
from mcp.server.caching import CacheHint
from mcp.server.mcpserver.exceptions import ResourceNotFoundError
from pydantic import Field

from midwatch_mcp.call_log import LOG_FILE, CallLog
from midwatch_mcp.completion import Ask, Completions, Found
from midwatch_mcp.errors import EvidenceError, SettingsError
from midwatch_mcp.evidence import EvidencePage, EvidenceStore
from midwatch_mcp.gate import Gate
from midwatch_mcp.prompt_library import PROMPTS
from midwatch_mcp.prompts import offered
from midwatch_mcp.rates import Limiter
from midwatch_mcp.settings import ServerSettings
from midwatch_mcp.shelf import Shelf
from midwatch_mcp.tool import Answer, Handler, bind, declaration_of, tool
from midwatch_mcp.tool_server import EVIDENCE_URI, ICON, Closer, Extras, Offer, Part, ToolServer

VERSION = "0.1.0"
_FIXED = CacheHint(ttl_ms=60_000, scope="private")
"""What was settled when the server started."""
_CHANGING = CacheHint(ttl_ms=5_000, scope="private")


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
    completions: Completions | None = None,
) -> ToolServer:
    """Return a server that offers `handlers` over `room`, and `evidence_read`, behind a gate.

    Tools that write are left out unless `allow_write`. `close` is awaited when the last connection ends; a later
    connection opens what it needs again.
    """
    chosen = [handler for handler in handlers if allow_write or declaration_of(handler).read_only]
    offers = [Offer(declaration_of(handler), bind(name, handler, room, evidence)) for handler in chosen]
    told = {"title": title, "instructions": instructions}
    extras = Extras(completions or {})
    return _assemble(name, told, offers, extras, settings=settings, evidence=evidence, close=close, limiter=limiter)


def mount(
    name: str,
    parts: Sequence[Part],
    *,
    settings: ServerSettings,
    evidence: EvidenceStore,
    shelf: Shelf | None = None,
) -> ToolServer:
    """Return one server with the tools of all `parts`, and with the documents on `shelf`.

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
    extras = Extras({name: ask for part in parts for name, ask in part.completions.items()}, shelf)
    return _assemble(name, told, list(offers.values()), extras, settings=settings, evidence=evidence, close=close)


def evidence_offer(server: str, evidence: EvidenceStore) -> Offer:
    """Return `evidence_read` as the server of this name offers it."""
    return Offer(declaration_of(evidence_read), bind(server, evidence_read, evidence, evidence))


def _assemble(
    name: str,
    told: Mapping[str, str],
    offers: Sequence[Offer],
    extras: Extras,
    *,
    settings: ServerSettings,
    evidence: EvidenceStore,
    close: Closer | None,
    limiter: Limiter | None = None,
) -> ToolServer:
    gate = Gate(CallLog(settings.state / LOG_FILE, name), limiter)
    reader = evidence_offer(name, evidence)
    for offer in (*offers, reader):
        gate.admit(offer.declaration, offer.tool.parameters)
    server = ToolServer(
        name,
        title=told["title"],
        version=VERSION,
        instructions=told["instructions"],
        icons=[ICON],
        log_level="WARNING",
        tools=[offer.tool for offer in (*offers, reader)],
        extensions=[gate],
        lifespan=_lifespan(close),
        cache_hints={
            "server/discover": _FIXED,
            "tools/list": _FIXED,
            "prompts/list": _FIXED,
            "resources/templates/list": _FIXED,
            "resources/list": _CHANGING,
            "resources/read": _CHANGING,
        },
        middleware=[gate.watch],
    )
    server.offers = tuple(offers)
    server.close = close
    server.extras = replace(
        extras,
        completions={**extras.completions, "evidence": _evidence_ids(evidence)},
        prompts=offered(PROMPTS, (offer.declaration.name for offer in offers)),
    )
    server.completion()(server.complete)
    _offer_evidence(server, evidence)
    return server


def _evidence_ids(evidence: EvidenceStore) -> Ask:
    async def ids(_others: Mapping[str, str]) -> Found:
        return Found(await run_sync(evidence.newest))

    return ids


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
        EVIDENCE_URI,
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
