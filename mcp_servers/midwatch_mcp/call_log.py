"""The record of calls: one JSON line a call in `<state>/mcp-audit.jsonl`, with a digest of what was asked for.

Who called is the name behind the bearer token, or the user that started the server. Arguments and answers stay out.
"""

import os
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import orjson
from mcp.server.auth.middleware.auth_context import get_access_token
from mcp.server.context import ServerRequestContext
from opentelemetry import trace

from midwatch_contracts.canonical import sha256_hex
from midwatch_contracts.errors import CanonicalError
from midwatch_contracts.times import rfc3339
from midwatch_mcp.os_user import os_user
from midwatch_mcp.redact import harmless

Outcome = Literal["ok", "error", "timeout", "too_large", "refused", "asked", "cancelled"]

LOG_FILE = "mcp-audit.jsonl"
NAMED = 200
"""Longest name of a tool, prompt or resource in a line."""
_NO_TRACE = "0" * 32
_APPEND = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC


@dataclass(frozen=True)
class Call:
    """What is noted of one call. `name` is that of the tool or prompt, or the URI."""

    name: str
    arguments: Mapping[str, Any]
    outcome: Outcome
    evidence: str | None = None


class CallLog:
    """One JSON line a call, appended to a file of mode 0600."""

    def __init__(self, file: Path, server: str) -> None:
        self._file = file
        self._server = server

    def write(self, entry: Mapping[str, Any]) -> None:
        """Append one line in a single write, so that the lines of several processes never mix."""
        try:
            handle = os.open(self._file, _APPEND, 0o600)
        except FileNotFoundError:
            self._file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            handle = os.open(self._file, _APPEND, 0o600)
        try:
            os.write(handle, orjson.dumps(entry, option=orjson.OPT_APPEND_NEWLINE))
        finally:
            os.close(handle)

    def note(self, ctx: ServerRequestContext[Any, Any], call: Call, seconds: float) -> None:
        """Append the line of one MCP request."""
        self.write(self.line(ctx.method, call, seconds) | {"protocol": ctx.protocol_version})

    def line(self, method: str, call: Call, seconds: float) -> dict[str, Any]:
        """Return what is written of one call."""
        arguments = {key: value for key, value in call.arguments.items() if key != "_meta"}
        return {
            "at": rfc3339(time.time()),
            "principal": principal(),
            "server": self._server,
            "method": method,
            "tool": harmless(call.name[:NAMED]),
            "arguments_sha256": _digest(arguments),
            "decision": "refused" if call.outcome == "refused" else "allowed",
            "outcome": call.outcome,
            "evidence": call.evidence,
            "ms": round(seconds * 1000, 1),
            "trace": _trace(),
        }


def _digest(arguments: Mapping[str, Any]) -> str:
    try:
        return sha256_hex(arguments)
    except CanonicalError:
        return "no canonical form"


def principal() -> str:
    """Return who calls: the name behind the bearer token, or the user that started the server."""
    token = get_access_token()
    if token is None:
        return os_user()
    return str(harmless(f"token:{token.client_id}" if token.subject is None else f"sub:{token.subject}"))[:200]


def _trace() -> str:
    found = format(trace.get_current_span().get_span_context().trace_id, "032x")
    return secrets.token_hex(16) if found == _NO_TRACE else found
