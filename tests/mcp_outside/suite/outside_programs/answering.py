"""Fixture tools that answer at once: declared and bound like ours, or with content that ours never give."""

from typing import Annotated, Any

import anyio
from mcp.server.mcpserver import Context
from mcp.types import (
    AudioContent,
    EmbeddedResource,
    ImageContent,
    LoggingMessageNotification,
    LoggingMessageNotificationParams,
    TextContent,
    TextResourceContents,
)
from pydantic import BaseModel, Field

from midwatch_mcp.errors import RefusedError
from midwatch_mcp.evidence import EvidenceStore
from midwatch_mcp.tool import Answer
from midwatch_mcp.tool_server import Offer
from outside_programs.offers import bound, declared, raw

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg=="
WAV = "UklGRiYAAABXQVZFZm10IBAAAAABAAEAQB8AAAB9AAACABAAZGF0YQIAAAA="
_STEP_S = 0.05
"""Between two notifications, as the suite asks."""

DIALECT = "https://json-schema.org/draft/2020-12/schema"
SCHEMA: dict[str, Any] = {
    "$schema": DIALECT,
    "type": "object",
    "$defs": {
        "address": {
            "$anchor": "addressDef",
            "type": "object",
            "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
        }
    },
    "properties": {
        "name": {"type": "string"},
        "address": {"$ref": "#/$defs/address"},
        "contactMethod": {"type": "string", "enum": ["phone", "email"]},
        "phone": {"type": "string"},
        "email": {"type": "string"},
    },
    "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
    "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
    "then": {"required": ["phone"]},
    "else": {"required": ["email"]},
    "additionalProperties": False,
}


class Said(BaseModel):
    text: str


@declared("test_simple_text")
async def simple_text(room: None) -> Answer[Said]:  # noqa: ARG001 (a handler's first argument)
    return Answer("This is a simple text response for testing.", Said(text="simple"))


@declared("test_error_handling")
async def error_handling(room: None) -> Answer[Said]:  # noqa: ARG001
    raise RefusedError("This tool intentionally returns an error for testing")


@declared("test_logging_tool")
async def logging_tool(room: None) -> Answer[Said]:  # noqa: ARG001
    return Answer("Nothing was sent as a log message.", Said(text="quiet"))


@declared("test_headers")
async def headers(
    room: None,  # noqa: ARG001
    word: Annotated[str, Field(json_schema_extra={"x-mcp-header": "Word"})],
) -> Answer[Said]:
    return Answer("The header says what the argument says.", Said(text=word))


@declared("json_schema_2020_12_tool")
async def json_schema(room: None) -> Answer[Said]:  # noqa: ARG001
    return Answer("Only the schema is looked at.", Said(text="schema"))


def test_image_content() -> list[ImageContent]:
    return [_image()]


def test_audio_content() -> list[AudioContent]:
    return [AudioContent(type="audio", data=WAV, mime_type="audio/wav")]


def test_embedded_resource() -> list[EmbeddedResource]:
    return [_resource("test://embedded-resource", "text/plain", "This is an embedded resource content.")]


def test_multiple_content_types() -> list[TextContent | ImageContent | EmbeddedResource]:
    return [
        TextContent(type="text", text="Multiple content types test:"),
        _image(),
        _resource("test://mixed-content-resource", "application/json", '{"test":"data","value":123}'),
    ]


async def test_tool_with_progress(context: Context[None, Any]) -> str:
    for step in (0, 50, 100):
        await context.report_progress(step, 100)
        await anyio.sleep(_STEP_S)
    return "done"


async def test_tool_with_logging(context: Context[None, Any]) -> str:
    for text in ("Tool execution started", "Tool processing data", "Tool execution completed"):
        params = LoggingMessageNotificationParams(level="info", data=text)
        note = LoggingMessageNotification(params=params)
        await context.session.send_notification(note, related_request_id=context.request_context.request_id)
        await anyio.sleep(_STEP_S)
    return "done"


async def test_trigger_tool_change(context: Context[None, Any]) -> str:
    await context.notify_tools_changed()
    return "changed"


async def test_trigger_prompt_change(context: Context[None, Any]) -> str:
    await context.notify_prompts_changed()
    return "changed"


def answering(evidence: EvidenceStore) -> list[Offer]:
    """Return the fixture tools of this module."""
    schema = bound(json_schema, evidence)
    schema.tool.parameters = SCHEMA
    handlers = (simple_text, error_handling, logging_tool, headers)
    functions = (
        test_image_content,
        test_audio_content,
        test_embedded_resource,
        test_multiple_content_types,
        test_tool_with_progress,
        test_tool_with_logging,
        test_trigger_tool_change,
        test_trigger_prompt_change,
    )
    return [*(bound(handler, evidence) for handler in handlers), schema, *(raw(function) for function in functions)]


def _image() -> ImageContent:
    return ImageContent(type="image", data=PNG, mime_type="image/png")


def _resource(uri: str, mime_type: str, text: str) -> EmbeddedResource:
    return EmbeddedResource(type="resource", resource=TextResourceContents(uri=uri, mime_type=mime_type, text=text))
