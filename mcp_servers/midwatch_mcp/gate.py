"""The gate that every tool call passes: what is not understood is refused, what is let through is bounded and noted.

It is an MCP extension rather than part of each tool, so that no tool can be added without it: unknown arguments are
refused (the SDK drops them in silence), a call has a time limit, an answer a size limit, a tool a rate, and each call,
the refused ones too, leaves one line in `<state>/mcp-audit.jsonl`.
"""

import os
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import anyio
import orjson
from mcp.server.auth.middleware.auth_context import get_access_token
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.extension import Extension
from mcp.types import CallToolRequestParams, CallToolResult, TextContent
from opentelemetry import trace

from midwatch_contracts.canonical import sha256_hex
from midwatch_contracts.errors import CanonicalError
from midwatch_contracts.times import rfc3339
from midwatch_mcp.rates import Limiter
from midwatch_mcp.redact import harmless
from midwatch_mcp.tool import ToolDeclaration

Outcome = Literal["ok", "error", "timeout", "too_large", "refused", "asked", "cancelled"]

_NO_TRACE = "0" * 32


@dataclass(frozen=True)
class GatedTool:
    """What the gate knows of one tool."""

    declaration: ToolDeclaration
    arguments: frozenset[str]


class AuditLog:
    """One JSON line a call, appended to a file of mode 0600."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def write(self, entry: Mapping[str, Any]) -> None:
        """Append one line in a single write, so that the lines of several processes never mix."""
        self._file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle = os.open(self._file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(handle, orjson.dumps(entry, option=orjson.OPT_APPEND_NEWLINE))
        finally:
            os.close(handle)


class Gate(Extension):
    """Refuses, bounds and records tool calls of one server."""

    identifier = "dev.midwatch/gate"

    def __init__(self, server: str, audit: AuditLog, limiter: Limiter | None = None) -> None:
        self._server = server
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
        started, caller = time.monotonic(), _principal()
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
            self._audit.write(self._line(params, ctx, outcome, result, time.monotonic() - started))
        return result

    def _refusal(self, params: CallToolRequestParams) -> str | None:
        gated = self._tools.get(params.name)
        if gated is None:
            return f"unknown tool {params.name!r}: this server has {', '.join(self._tools)}"
        unknown = sorted(set(params.arguments or {}) - gated.arguments)
        if unknown:
            known = ", ".join(sorted(gated.arguments)) or "none"
            return f"unknown arguments of {params.name}: {', '.join(unknown)}; it takes {known}"
        return None

    async def _bounded(
        self, params: CallToolRequestParams, ctx: ServerRequestContext[Any, Any], call_next: CallNext
    ) -> tuple[Outcome, HandlerResult]:
        declaration = self._tools[params.name].declaration
        result: HandlerResult = None
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

    def _line(
        self,
        params: CallToolRequestParams,
        ctx: ServerRequestContext[Any, Any],
        outcome: Outcome,
        result: HandlerResult,
        seconds: float,
    ) -> dict[str, Any]:
        return {
            "at": rfc3339(time.time()),
            "principal": _principal(),
            "server": self._server,
            "tool": harmless(params.name[:128]),
            "arguments_sha256": _digest(params.arguments or {}),
            "decision": "refused" if outcome == "refused" else "allowed",
            "outcome": outcome,
            "evidence": _evidence(result),
            "ms": round(seconds * 1000, 1),
            "protocol": ctx.protocol_version,
            "trace": _trace(),
        }


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


def _digest(arguments: Mapping[str, Any]) -> str:
    try:
        return sha256_hex(arguments)
    except CanonicalError:
        return "no canonical form"


def _principal() -> str:
    """Return who calls: the name behind the bearer token, or the user that started the server."""
    token = get_access_token()
    if token is None:
        return f"uid:{os.getuid()}"
    return str(harmless(f"token:{token.client_id}" if token.subject is None else f"sub:{token.subject}"))[:200]


def _trace() -> str:
    found = format(trace.get_current_span().get_span_context().trace_id, "032x")
    return secrets.token_hex(16) if found == _NO_TRACE else found
