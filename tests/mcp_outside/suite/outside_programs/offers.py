"""Fixture tools as our factory takes them: with a declaration, so that the gate admits, bounds and records them."""

from collections.abc import Callable
from typing import Any

from mcp.server.mcpserver.tools import Tool
from mcp.types import ToolAnnotations

from midwatch_mcp.evidence import EvidenceStore
from midwatch_mcp.tool import Handler, ToolDeclaration, bind, declaration_of, tool
from midwatch_mcp.tool_server import Offer

SERVER = "conformance"


def declared(name: str) -> Callable[[Handler], Handler]:
    """Declare the handler below as a fixture tool that reads."""
    return tool(
        name=name,
        title=name,
        description=f"The fixture {name} of the conformance suite.",
        cluster="fixture",
        cost="low",
        read_only=True,
        destructive=False,
        idempotent=True,
        open_world=False,
    )


def bound(handler: Handler, evidence: EvidenceStore) -> Offer:
    """Return a handler as our servers offer theirs: answer, evidence and all."""
    return Offer(declaration_of(handler), bind(SERVER, handler, None, evidence))


def raw(function: Callable[..., Any]) -> Offer:
    """Return a function whose answer our tools never give (images, questions to the user), as a fixture tool."""
    name = function.__name__
    declaration = ToolDeclaration(
        name=name,
        title=name,
        description=f"The fixture {name} of the conformance suite.",
        cluster="fixture",
        cost="low",
        read_only=True,
        destructive=False,
        idempotent=True,
        open_world=False,
        timeout_s=20,
        max_bytes=64_000,
    )
    hints = ToolAnnotations(read_only_hint=True, destructive_hint=False, idempotent_hint=True, open_world_hint=False)
    made = Tool.from_function(
        function, name=name, title=name, description=declaration.description, annotations=hints, structured_output=False
    )
    made.parameters = {**made.parameters, "additionalProperties": False}
    return Offer(declaration, made)
