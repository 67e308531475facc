"""Fixture tools that ask the client's user, model or host before they answer, in the way of each protocol era.

Before 2026-07-28 the server sends a request of its own while the call waits; since then the call is answered with what
is needed, and is made again with that (SEP-2322).
"""

from typing import Any

from mcp.server.mcpserver import Context
from mcp.shared.exceptions import MCPError
from mcp.shared.message import ServerMessageMetadata
from mcp.types import (
    MISSING_REQUIRED_CLIENT_CAPABILITY,
    ClientCapabilities,
    CreateMessageRequest,
    CreateMessageRequestParams,
    CreateMessageResult,
    ElicitRequest,
    ElicitRequestFormParams,
    ElicitResult,
    InputRequest,
    InputRequiredResult,
    InputResponse,
    ListRootsRequest,
    ListRootsResult,
    MissingRequiredClientCapabilityErrorData,
    SamplingCapability,
    SamplingMessage,
    TextContent,
)

from midwatch_mcp.tool_server import Offer
from outside_programs.offers import raw

Called = Context[None, Any]
TEXT: dict[str, Any] = {"type": "string"}
YES: dict[str, Any] = {"type": "boolean"}


def form(message: str, **properties: dict[str, Any]) -> ElicitRequest:
    """Return a question to the user, of these required fields."""
    schema = {"type": "object", "properties": properties, "required": list(properties)}
    return ElicitRequest(params=ElicitRequestFormParams(message=message, requested_schema=schema))


def words(text: str, max_tokens: int = 100) -> CreateMessageRequest:
    """Return a question to the client's model."""
    message = SamplingMessage(role="user", content=TextContent(type="text", text=text))
    return CreateMessageRequest(params=CreateMessageRequestParams(messages=[message], max_tokens=max_tokens))


# Before 2026-07-28.


def _within(context: Called) -> ServerMessageMetadata:
    """Bind a request of the server to the call it is made for."""
    return ServerMessageMetadata(related_request_id=context.request_context.request_id)


async def _told(context: Called, request: ElicitRequest) -> str:
    found = await context.session.send_request(request, ElicitResult, metadata=_within(context))
    return f"action={found.action}, content={found.content}"


async def test_elicitation(message: str, context: Called) -> str:
    asked = form(message, username=TEXT | {"description": "Who"}, email=TEXT | {"description": "Where"})
    return f"User response: {await _told(context, asked)}"


async def test_elicitation_sep1034_defaults(context: Called) -> str:
    asked = form(
        "Every kind of field, with a default",
        name=TEXT | {"default": "John Doe"},
        age={"type": "integer", "default": 30},
        score={"type": "number", "default": 95.5},
        status=TEXT | {"enum": ["active", "inactive", "pending"], "default": "active"},
        verified=YES | {"default": True},
    )
    return f"Elicitation completed: {await _told(context, asked)}"


async def test_elicitation_sep1330_enums(context: Called) -> str:
    plain, titled = ["low", "high"], [{"const": "low", "title": "Low"}, {"const": "high", "title": "High"}]
    asked = form(
        "Every kind of choice",
        untitledSingle=TEXT | {"enum": plain},
        titledSingle=TEXT | {"oneOf": titled},
        legacyEnum=TEXT | {"enum": plain, "enumNames": ["Low", "High"]},
        untitledMulti={"type": "array", "items": TEXT | {"enum": plain}},
        titledMulti={"type": "array", "items": {"anyOf": titled}},
    )
    return f"Elicitation completed: {await _told(context, asked)}"


async def test_sampling(prompt: str, context: Called) -> str:
    found = await context.session.send_request(words(prompt), CreateMessageResult, metadata=_within(context))
    return f"LLM response: {_text(found)}"


# Since 2026-07-28.

NAME = {"user_name": form("What is your name?", name=TEXT)}
CONFIRM = {"confirm": form("Please confirm", ok=YES)}
CAPITAL = {"capital_question": words("What is the capital of France?")}
ROOTS = {"client_roots": ListRootsRequest()}
GREETING = {"greeting": words("Generate a greeting", 50)}
_STATE = "asked once"


def needed(context: Called, requests: dict[str, Any], state: str | None = None) -> InputRequiredResult | None:
    """Return what must be answered first; None once every request has an answer that fits it."""
    given = context.input_responses or {}
    if all(name in given and _fits(request, given[name]) for name, request in requests.items()):
        return None
    return InputRequiredResult(input_requests=requests, request_state=state)


def _fits(request: InputRequest, response: InputResponse) -> bool:
    match request, response:
        case ElicitRequest(params=ElicitRequestFormParams() as params), ElicitResult(action="accept"):
            return set(params.requested_schema["required"]) <= set(response.content or {})
        case (CreateMessageRequest(), CreateMessageResult()) | (ListRootsRequest(), ListRootsResult()):
            return True
        case _:
            return False


def test_input_required_result_elicitation(context: Called) -> str | InputRequiredResult:
    return needed(context, NAME) or f"Hello, {_answer(context, 'user_name', 'name')}!"


def test_input_required_result_sampling(context: Called) -> str | InputRequiredResult:
    return needed(context, CAPITAL) or f"The model says: {_text(_response(context, 'capital_question'))}"


def test_input_required_result_list_roots(context: Called) -> str | InputRequiredResult:
    return needed(context, ROOTS) or f"The roots are {_response(context, 'client_roots')}"


def test_input_required_result_request_state(context: Called) -> str | InputRequiredResult:
    return needed(context, CONFIRM, _STATE) or ("state-ok" if context.request_state == _STATE else "state lost")


def test_input_required_result_tampered_state(context: Called) -> str | InputRequiredResult:
    return needed(context, CONFIRM, _STATE) or "the state is the one that was given"


def test_input_required_result_multiple_inputs(context: Called) -> str | InputRequiredResult:
    return needed(context, NAME | GREETING | ROOTS, _STATE) or "all three were answered"


def test_input_required_result_multi_round(context: Called) -> str | InputRequiredResult:
    first: dict[str, InputRequest] = {"step1": form("Step 1: What is your name?", name=TEXT)}
    second: dict[str, InputRequest] = {"step2": form("Step 2: What is your favorite color?", color=TEXT)}
    if context.request_state is None:
        return InputRequiredResult(input_requests=first, request_state="1")
    if context.request_state == "1":
        return needed(context, first, "1") or InputRequiredResult(input_requests=second, request_state="2")
    return needed(context, second, "2") or "both steps were answered"


def test_input_required_result_capabilities(context: Called) -> str | InputRequiredResult:
    able = context.client_capabilities or ClientCapabilities()
    asked: dict[str, Any] = NAME if able.elicitation else {}
    asked = asked | (GREETING if able.sampling else {}) | (ROOTS if able.roots else {})
    return needed(context, asked) or "everything that the client can do was asked" if asked else "it can do nothing"


def test_streaming_elicitation(context: Called) -> str | InputRequiredResult:
    return needed(context, NAME) or "answered"


def test_missing_capability(context: Called) -> str:
    if context.client_capabilities is None or context.client_capabilities.sampling is None:
        required = ClientCapabilities(sampling=SamplingCapability())
        data = MissingRequiredClientCapabilityErrorData(required_capabilities=required)
        raise MCPError(
            MISSING_REQUIRED_CLIENT_CAPABILITY,
            "this tool needs a client with sampling",
            data.model_dump(mode="json", by_alias=True, exclude_none=True),
        )
    return "the client can sample"


def asking() -> list[Offer]:
    """Return the fixture tools of this module."""
    functions = (
        test_elicitation,
        test_elicitation_sep1034_defaults,
        test_elicitation_sep1330_enums,
        test_sampling,
        test_input_required_result_elicitation,
        test_input_required_result_sampling,
        test_input_required_result_list_roots,
        test_input_required_result_request_state,
        test_input_required_result_tampered_state,
        test_input_required_result_multiple_inputs,
        test_input_required_result_multi_round,
        test_input_required_result_capabilities,
        test_streaming_elicitation,
        test_missing_capability,
    )
    return [raw(function) for function in functions]


def _response(context: Called, name: str) -> InputResponse:
    return (context.input_responses or {})[name]


def _answer(context: Called, name: str, field: str) -> object:
    response = _response(context, name)
    return (response.content or {})[field] if isinstance(response, ElicitResult) else response


def _text(response: InputResponse) -> str:
    content = response.content if isinstance(response, CreateMessageResult) else None
    return content.text if isinstance(content, TextContent) else str(response)
