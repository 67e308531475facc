"""Fixture resources and prompts; prompts are declared as ours are, and completion is asked as ours is."""

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from mcp.server import MCPServer
from mcp.types import (
    ContentBlock,
    EmbeddedResource,
    GetPromptResult,
    ImageContent,
    PromptMessage,
    TextResourceContents,
)

from midwatch_mcp.completion import Found
from midwatch_mcp.prompts import Argument, Given, Prompt
from outside_programs.answering import PNG

_SAID = "A fixture of the conformance suite."


def add_resources(server: MCPServer) -> None:
    """Register the resources."""
    resources: tuple[tuple[str, str, Callable[..., Any]], ...] = (
        ("test://static-text", "text/plain", static_text),
        ("test://static-binary", "image/png", static_binary),
        ("test://watched-resource", "text/plain", watched),
        ("test://template/{id}/data", "application/json", by_id),
    )
    for uri, mime_type, read in resources:
        server.resource(uri, mime_type=mime_type, description=_SAID)(read)


def static_text() -> str:
    return "This is the content of the static text resource."


def static_binary() -> bytes:
    return base64.b64decode(PNG)


def watched() -> str:
    return "It never changes."


def by_id(id: str) -> str:  # noqa: A002 (the template's name)
    return json.dumps({"id": id, "templateTest": True, "data": f"Data for ID: {id}"})


ARGUMENTS = tuple(Argument(name, name, "An argument of a fixture.", required=True) for name in ("arg1", "arg2"))
RESOURCE = Argument("resourceUri", "resourceUri", "An argument of a fixture.", required=True)


def _prompt(name: str, render: Callable[[Given, frozenset[str]], str], *arguments: Argument) -> Prompt:
    return Prompt(name, name, _SAID, arguments, frozenset(), render)


@dataclass(frozen=True)
class Illustrated(Prompt):
    """A prompt of ours with something before its text that ours never have."""

    before: Callable[[Given], ContentBlock] = field(kw_only=True)

    def filled(self, given: Given, tools: frozenset[str]) -> GetPromptResult:
        """Return the prompt's messages."""
        found = super().filled(given, tools)
        return GetPromptResult(messages=[PromptMessage(role="user", content=self.before(given)), *found.messages])


def _illustrated(name: str, text: str, before: Callable[[Given], ContentBlock], *arguments: Argument) -> Illustrated:
    return Illustrated(name, name, _SAID, arguments, frozenset(), lambda _given, _tools: text, before=before)


def _embedded(given: Given) -> ContentBlock:
    text = "Embedded resource content for testing."
    contents = TextResourceContents(uri=given["resourceUri"], mime_type="text/plain", text=text)
    return EmbeddedResource(type="resource", resource=contents)


def _image(_given: Given) -> ContentBlock:
    return ImageContent(type="image", data=PNG, mime_type="image/png")


PROMPTS = (
    _prompt("test_simple_prompt", lambda _given, _tools: "This is a simple prompt for testing."),
    _prompt(
        "test_prompt_with_arguments",
        lambda given, _tools: f"Prompt with arguments: arg1='{given['arg1']}', arg2='{given['arg2']}'",
        *ARGUMENTS,
    ),
    _illustrated(
        "test_prompt_with_embedded_resource", "Please process the embedded resource above.", _embedded, RESOURCE
    ),
    _illustrated("test_prompt_with_image", "Please analyze the image above.", _image),
)


async def places(_others: Given) -> Found:
    """Complete `arg1`."""
    return Found(("paris", "park", "party"))
