"""The gate that every call passes: what is not understood is refused, what is let through is bounded and noted.

For tools it is an MCP extension rather than part of each tool, so that none can be added without it: unknown arguments
are refused (the SDK drops them in silence), a call has a time limit, an answer a size limit, a tool a rate, and each
call, the refused ones too, leaves one line in `<state>/mcp-audit.jsonl`. For resources, prompts and completions it is
the server's middleware, with the same bounds.
"""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, cast

import anyio
import orjson
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.extension import Extension
from mcp.shared.exceptions import MCPError
from mcp.types import INTERNAL_ERROR, INVALID_PARAMS, CallToolRequestParams, CallToolResult, TextContent
from pydantic import ValidationError

from midwatch_mcp.call_log import NAMED, Call, CallLog, Outcome, principal
from midwatch_mcp.rates import Limiter
from midwatch_mcp.redact import harmless
from midwatch_mcp.tool import Cost, ToolDeclaration, error_text

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Bound:
    """The limits of one method that is no tool call."""

    cost: Cost
    timeout_s: float
    max_bytes: int


BOUNDS: Mapping[str, Bound] = {
    "resources/list": Bound("medium", 10.0, 512_000),
    "resources/read": Bound("medium", 20.0, 2_000_000),
    "prompts/get": Bound("medium", 5.0, 64_000),
    "completion/complete": Bound("low", 5.0, 64_000),
}
"""Every other method answers from memory, with what was fixed at the start."""
_TOOL_CALL = "tools/call"
BEAT_S = 2.0
"""How often a client that asked for progress hears of a call that runs on."""
_noted: ContextVar[list[bool]] = ContextVar("noted")
"""Holds an entry once the call under way has its audit line."""


@dataclass(frozen=True)
class GatedTool:
    """What the gate knows of one tool."""

    declaration: ToolDeclaration
    arguments: frozenset[str]


class Gate(Extension):
    """Refuses, bounds and records tool calls of one server."""

    identifier = "dev.midwatch/gate"

    def __init__(self, audit: CallLog, limiter: Limiter | None = None) -> None:
        self._audit = audit
        self._limiter = limiter or Limiter()
        self._tools: dict[str, GatedTool] = {}

    def admit(self, declaration: ToolDeclaration, input_schema: Mapping[str, Any]) -> None:
        """Let calls of a tool through; a tool that was not admitted is refused."""
        properties = cast("Mapping[str, Any]", input_schema.get("properties", {}))
        self._tools[declaration.name] = GatedTool(declaration, frozenset(properties))

    async def intercept_tool_call(
        self, params: CallToolRequestParams, ctx: ServerRequestContext[Any, Any], call_next: CallNext
    ) -> HandlerResult:
        """Check one call, run it within its limits, and write its audit line."""
        started, caller = time.monotonic(), principal()
        refusal = self._refusal(params) or self._limiter.enter(
            caller, params.name, self._tools[params.name].declaration.cost
        )
        outcome: Outcome = "cancelled"
        result: HandlerResult = None
        try:
            if refusal is not None:
                outcome, result = "refused", failure(refusal)
            else:
                try:
                    outcome, result = await self._bounded(params, ctx, call_next)
                finally:
                    self._limiter.leave(caller, params.name)
        finally:
            noted = _noted.get(None)
            if noted is not None:
                noted.append(True)
            call = Call(params.name, params.arguments or {}, outcome, _evidence(result))
            self._audit.note(ctx, call, time.monotonic() - started)
        return result

    async def watch(self, ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
        """Bound and note what is no tool call; and note a tool call that was too malformed to become one."""
        bound = BOUNDS.get(ctx.method)
        if bound is not None:
            return await self._watched(bound, ctx, call_next)
        if ctx.method != _TOOL_CALL:
            return await call_next(ctx)
        noted: list[bool] = []
        token = _noted.set(noted)
        started = time.monotonic()
        try:
            return await call_next(ctx)
        finally:
            _noted.reset(token)
            if not noted:
                call = Call(_name(ctx.params), ctx.params or {}, "refused")
                self._audit.note(ctx, call, time.monotonic() - started)

    async def _watched(self, bound: Bound, ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
        started, caller = time.monotonic(), principal()
        outcome: Outcome = "cancelled"
        result: HandlerResult = None
        try:
            refusal = self._limiter.enter(caller, ctx.method, bound.cost)
            if refusal is not None:
                outcome = "refused"
                raise MCPError(code=INTERNAL_ERROR, message=refusal)
            try:
                with anyio.move_on_after(bound.timeout_s) as limit:
                    outcome, result = "ok", await call_next(ctx)
            except (MCPError, ValidationError) as error:
                outcome = "error"
                raise _cleaned(error) from error
            except Exception as error:
                # Boundary: the SDK would send the text of a crash to the client.
                outcome = "error"
                log.exception("%s failed", ctx.method)
                raise MCPError(
                    code=INTERNAL_ERROR, message=f"{ctx.method} failed: the server's log says why"
                ) from error
            finally:
                self._limiter.leave(caller, ctx.method)
            if limit.cancelled_caught:
                outcome = "timeout"
                raise MCPError(code=INTERNAL_ERROR, message=f"{ctx.method} was stopped after {bound.timeout_s:g} s")
            size = len(orjson.dumps(result))
            if size > bound.max_bytes:
                outcome = "too_large"
                raise MCPError(code=INTERNAL_ERROR, message=_too_large(ctx, size, bound.max_bytes))
            return result
        finally:
            call = Call(_name(ctx.params), ctx.params or {}, outcome)
            self._audit.note(ctx, call, time.monotonic() - started)

    def _refusal(self, params: CallToolRequestParams) -> str | None:
        gated = self._tools.get(params.name)
        if gated is None:
            return f"unknown tool {params.name!r}: this server has {', '.join(self._tools)}"
        unknown = sorted(set(params.arguments or {}) - gated.arguments)
        if unknown:
            known = ", ".join(sorted(gated.arguments)) or "none"
            said = f"unknown arguments of {params.name}: {', '.join(unknown)}; it takes {known}"
            return f"{said}. {gated.declaration.hint}".removesuffix(". ")
        return None

    async def _bounded(
        self, params: CallToolRequestParams, ctx: ServerRequestContext[Any, Any], call_next: CallNext
    ) -> tuple[Outcome, HandlerResult]:
        declaration = self._tools[params.name].declaration
        result: HandlerResult = None
        async with _beating(ctx, declaration):
            with anyio.move_on_after(declaration.timeout_s) as limit:
                result = await call_next(ctx)
        if limit.cancelled_caught:
            text = f"{params.name} was stopped after {declaration.timeout_s:g} s: ask for less, or try again"
            return "timeout", failure(text)
        if not isinstance(result, CallToolResult):
            return "asked", result
        if result.is_error:
            return "error", _harmless_error(result)
        size = len(orjson.dumps(result.structured_content))
        if size > declaration.max_bytes:
            found = _evidence(result)
            return "too_large", failure(
                f"the answer of {params.name} has {size} bytes, over its limit of {declaration.max_bytes}: narrow the "
                f"call, or read parts of it with evidence_read(id={found!r}, path=...)"
            )
        return "ok", result


@asynccontextmanager
async def _beating(ctx: ServerRequestContext[Any, Any], declaration: ToolDeclaration) -> AsyncGenerator[None]:
    """Tell a client that asked for progress how long its call has run; most calls end before the first time."""
    started = time.monotonic()
    beats: list[asyncio.Task[None]] = []

    def begin() -> None:
        beats.append(asyncio.create_task(_beat(ctx, declaration, started)))

    timer = asyncio.get_running_loop().call_later(BEAT_S, begin)
    try:
        yield
    finally:
        timer.cancel()
        for beat in beats:
            beat.cancel()
            await asyncio.wait({beat})


async def _beat(ctx: ServerRequestContext[Any, Any], declaration: ToolDeclaration, started: float) -> None:
    total = declaration.timeout_s
    while True:
        passed = time.monotonic() - started
        message = f"{declaration.name} has run for {passed:.0f} s; it is stopped after {total:g}"
        await ctx.session.report_progress(passed, total, message)
        await asyncio.sleep(BEAT_S)


def _name(params: Mapping[str, Any] | None) -> str:
    """Return what a request is about: a name, a URI, or what a completion refers to."""
    given = params or {}
    ref = given.get("ref")
    about = cast("Mapping[str, Any]", ref) if isinstance(ref, Mapping) else given
    return str(about.get("name") or about.get("uri") or "")


def _cleaned(error: MCPError | ValidationError) -> MCPError:
    """Return an error whose text, which may quote the caller, is cleaned and bounded."""
    if isinstance(error, MCPError):
        found = error.error
        data = None if found.data is None else harmless(found.data)
        return MCPError(code=found.code, message=error_text(Exception(found.message)), data=data)
    fields = ", ".join(sorted({".".join(str(part) for part in one["loc"]) for one in error.errors()}))
    return MCPError(code=INVALID_PARAMS, message=f"these parameters do not fit: {error_text(Exception(fields))}")


def _too_large(ctx: ServerRequestContext[Any, Any], size: int, most: int) -> str:
    name = str(harmless(_name(ctx.params)[:NAMED]))
    mend = ": read it in pages with evidence_read" if name.startswith("midwatch://evidence/") else ""
    return f"{name} has {size} bytes, over the limit of {most}{mend}"


def failure(text: str) -> CallToolResult:
    """Return a tool error whose text the model reads."""
    return CallToolResult(content=[TextContent(type="text", text=str(harmless(text)))], is_error=True)


def _harmless_error(result: CallToolResult) -> CallToolResult:
    """Clean the texts of an error, which may quote arguments or what stands behind the server."""
    texts = [item.text for item in result.content if isinstance(item, TextContent)]
    return failure("\n".join(texts))


def _evidence(result: HandlerResult) -> str | None:
    """Return the evidence id of a result, if it has one."""
    if not isinstance(result, CallToolResult) or result.structured_content is None:
        return None
    structured = cast("dict[str, Any]", result.structured_content)
    return cast("str | None", cast("dict[str, Any]", structured.get("evidence") or {}).get("id"))
