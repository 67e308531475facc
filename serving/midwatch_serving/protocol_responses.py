"""The responses protocol, as far as OpenAI's client needs it for text, function tools and structured output."""

from typing import Annotated, Any, Literal

from pydantic import Field, JsonValue, model_validator

from midwatch_serving.protocol import MOST_LOGPROBS, Body, Caller, Label, Sampled
from midwatch_serving.protocol_chat import (
    MOST_TOOLS,
    Function,
    JsonSchema,
    NamedFunction,
    NamedTool,
    ResponseFormat,
    Tool,
)


class ContentPart(Body):
    """Text in a message, from either side. The client echoes fields of ours."""

    type: Literal["input_text", "output_text"]
    text: str
    annotations: Annotated[list[JsonValue], Field(max_length=0)] | None = None
    logprobs: list[JsonValue] | None = None


class Item(Body):
    """A message, a function call of an earlier turn, or what the function answered."""

    type: Literal["message", "function_call", "function_call_output"] = "message"
    role: Literal["system", "developer", "user", "assistant"] | None = None
    content: str | list[ContentPart] | None = None
    call_id: str | None = None
    name: str | None = None
    arguments: str | None = None
    output: str | list[ContentPart] | None = None
    id: str | None = None
    status: Literal["in_progress", "completed", "incomplete"] | None = None
    phase: None = None

    @model_validator(mode="after")
    def _has_its_fields(self) -> "Item":
        needs = {
            "message": ("role", "content"),
            "function_call": ("call_id", "name", "arguments"),
            "function_call_output": ("call_id", "output"),
        }
        for kind, names in needs.items():
            for name in names:
                if self.type == kind and getattr(self, name) is None:
                    raise ValueError(f"an item of type {kind!r} needs `{name}`")
                if self.type != kind and name != "call_id" and getattr(self, name) is not None:
                    raise ValueError(f"`{name}` does not belong to an item of type {self.type!r}")
        return self


class FunctionTool(Body):
    """A function that the model may call, in the responses API's flat form."""

    type: Literal["function"]
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
    description: str | None = None
    parameters: dict[str, JsonValue] | None = None
    strict: bool | None = None

    def as_chat(self) -> Tool:
        """Return the tool in the chat API's form."""
        function = Function(
            name=self.name, description=self.description, parameters=self.parameters, strict=self.strict
        )
        return Tool(type="function", function=function)


class NamedChoice(Body):
    """A tool choice that names the function to call."""

    type: Literal["function"]
    name: str

    def as_chat(self) -> NamedTool:
        """Return the choice in the chat API's form."""
        return NamedTool(type="function", function=NamedFunction(name=self.name))


class TextFormat(Body):
    """Free text, any JSON object, or JSON of a schema."""

    type: Literal["text", "json_object", "json_schema"]
    name: Annotated[str, Field(max_length=128)] | None = None
    schema_: Annotated[dict[str, JsonValue] | None, Field(alias="schema")] = None
    description: str | None = None
    strict: bool | None = None

    @model_validator(mode="after")
    def _schema_fits_type(self) -> "TextFormat":
        if (self.type == "json_schema") != (self.schema_ is not None and self.name is not None):
            raise ValueError("`name` and `schema` are given with type 'json_schema', and with no other")
        return self

    def as_chat(self) -> ResponseFormat:
        """Return the format in the chat API's form."""
        if self.schema_ is None:
            return ResponseFormat(type=self.type)
        schema = JsonSchema.model_validate({"name": self.name, "schema": self.schema_, "strict": self.strict})
        return ResponseFormat(type=self.type, json_schema=schema)


class TextOptions(Body):
    """How the text is to look."""

    format: TextFormat | None = None


class ResponseStreamOptions(Body):
    """Options of a streamed response."""

    include_obfuscation: Literal[False] | None = None


class ResponsesRequest(Caller, Sampled):
    """`POST /v1/responses`. Options that are served only at their default say so in their type."""

    model: str
    input: str | Annotated[list[Item], Field(min_length=1, max_length=1024)]
    instructions: str | None = None
    previous_response_id: Label | None = None
    max_output_tokens: Annotated[int, Field(ge=1)] | None = None
    tools: Annotated[list[FunctionTool], Field(max_length=MOST_TOOLS)] | None = None
    tool_choice: Literal["none", "auto", "required"] | NamedChoice | None = None
    parallel_tool_calls: bool | None = None
    text: TextOptions | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=MOST_LOGPROBS)] | None = None
    include: list[Literal["message.output_text.logprobs", "reasoning.encrypted_content"]] | None = None
    """Encrypted reasoning is what there is of it: none."""
    stream: bool | None = None
    stream_options: ResponseStreamOptions | None = None
    store: bool | None = None
    truncation: Literal["disabled"] | None = None
    background: Literal[False] | None = None

    @property
    def with_logprobs(self) -> bool:
        """Whether log-probabilities are to be told."""
        return "message.output_text.logprobs" in (self.include or ())

    @property
    def chat_tools(self) -> list[Tool]:
        """The tools in the chat API's form."""
        return [tool.as_chat() for tool in self.tools or ()]

    def messages(self) -> list[dict[str, Any]]:
        """Return the input as chat templates read it, without instructions."""
        if isinstance(self.input, str):
            return [{"role": "user", "content": self.input}]
        messages: list[dict[str, Any]] = []
        for item in self.input:
            if item.type == "message":
                messages.append({"role": item.role, "content": _text(item.content)})
            elif item.type == "function_call_output":
                messages.append({"role": "tool", "content": _text(item.output), "tool_call_id": item.call_id})
            else:
                call = called(item.call_id or "", item.name or "", item.arguments or "")
                if messages and "tool_calls" in messages[-1]:
                    messages[-1]["tool_calls"].append(call)
                else:
                    messages.append({"role": "assistant", "content": "", "tool_calls": [call]})
        return messages


def called(call_id: str, name: str, arguments: str) -> dict[str, Any]:
    """Return a call as chat templates read it."""
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def _text(content: str | list[ContentPart] | None) -> str:
    return content if isinstance(content, str) else "".join(part.text for part in content or ())
