"""The chat protocol: messages, tools and response formats as OpenAI's client sends them."""

from typing import Annotated, Any, Literal

from pydantic import Field, JsonValue, model_validator

from midwatch_serving.protocol import MOST_LOGPROBS, Body, Generation

MOST_TOOLS = 128


class TextPart(Body):
    """One part of a message's content."""

    type: Literal["text"]
    text: str


class FunctionCall(Body):
    """The function that an assistant called before; `arguments` is JSON as text."""

    name: str
    arguments: str


class ToolCall(Body):
    """One call of an assistant's earlier turn."""

    id: str
    type: Literal["function"]
    function: FunctionCall


class Message(Body):
    """One turn. Fields that a client echoes from our own answers are taken where they are empty."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[TextPart] | None = None
    name: Annotated[str, Field(max_length=128)] | None = None
    tool_calls: Annotated[list[ToolCall], Field(max_length=MOST_TOOLS)] | None = None
    tool_call_id: str | None = None
    refusal: None = None
    annotations: Annotated[list[JsonValue], Field(max_length=0)] | None = None
    audio: None = None
    function_call: None = None

    @model_validator(mode="after")
    def _fits_its_role(self) -> "Message":
        if self.content is None and not (self.role == "assistant" and self.tool_calls):
            raise ValueError("`content` is missing: only an assistant's message with `tool_calls` goes without")
        if self.tool_calls and self.role != "assistant":
            raise ValueError(f"`tool_calls` belong to the assistant's messages, not to role {self.role!r}")
        if (self.tool_call_id is not None) != (self.role == "tool"):
            raise ValueError("`tool_call_id` belongs to messages of role 'tool', each of which needs one")
        return self

    @property
    def text(self) -> str:
        """The content as one text."""
        if self.content is None:
            return ""
        return self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)

    def for_template(self) -> dict[str, Any]:
        """Return the message as chat templates read it: `content` a text, absent fields left out."""
        message: dict[str, Any] = {"role": self.role, "content": self.text}
        if self.name is not None:
            message["name"] = self.name
        if self.tool_calls:
            message["tool_calls"] = [call.model_dump() for call in self.tool_calls]
        if self.tool_call_id is not None:
            message["tool_call_id"] = self.tool_call_id
        return message


class Function(Body):
    """A function that the model may call."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
    description: str | None = None
    parameters: dict[str, JsonValue] | None = None
    strict: bool | None = None


class Tool(Body):
    """A tool; functions are the only kind."""

    type: Literal["function"]
    function: Function


class NamedFunction(Body):
    """A function by name."""

    name: str


class NamedTool(Body):
    """A tool choice that names the function to call."""

    type: Literal["function"]
    function: NamedFunction


class JsonSchema(Body):
    """The schema of a structured answer."""

    name: Annotated[str, Field(max_length=128)]
    schema_: Annotated[dict[str, JsonValue], Field(alias="schema")]
    description: str | None = None
    strict: bool | None = None


class ResponseFormat(Body):
    """Free text, any JSON object, or JSON of a schema."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None

    @model_validator(mode="after")
    def _schema_fits_type(self) -> "ResponseFormat":
        if (self.type == "json_schema") != (self.json_schema is not None):
            raise ValueError("`json_schema` is given with type 'json_schema', and with no other")
        return self


class ChatRequest(Generation):
    """`POST /v1/chat/completions`. Options that are served only at their default say so in their type."""

    messages: Annotated[list[Message], Field(min_length=1, max_length=1024)]
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=MOST_LOGPROBS)] | None = None
    tools: Annotated[list[Tool], Field(max_length=MOST_TOOLS)] | None = None
    tool_choice: Literal["none", "auto", "required"] | NamedTool | None = None
    parallel_tool_calls: bool | None = None
    response_format: ResponseFormat | None = None
    add_generation_prompt: bool = True
    store: Literal[False] | None = None
    modalities: list[Literal["text"]] | None = None
    reasoning_effort: Literal["none"] | None = None

    @property
    def limit(self) -> int | None:
        """Tokens to generate at most, under either of its names."""
        return self.max_tokens if self.max_completion_tokens is None else self.max_completion_tokens


class ScoreRequest(Body):
    """`POST /admin/score`: texts to score after a prefix, or after a chat."""

    texts: Annotated[list[str], Field(min_length=1, max_length=1024)]
    prefix: str | None = None
    messages: Annotated[list[Message], Field(min_length=1, max_length=1024)] | None = None
    model: str | None = None
    priority: Annotated[int, Field(ge=-(2**31), lt=2**31)] = 0
    session_id: Annotated[str, Field(max_length=512)] | None = None
    cache_salt: Annotated[str, Field(min_length=1, max_length=512)] | None = None

    @model_validator(mode="after")
    def _one_prefix(self) -> "ScoreRequest":
        if (self.prefix is None) == (self.messages is None):
            raise ValueError("give one of `prefix` and `messages`")
        return self


class TokenizeRequest(Body):
    """`POST /tokenize`, vLLM's fields: a text, or a chat."""

    model: str | None = None
    prompt: str | None = None
    messages: Annotated[list[Message], Field(min_length=1, max_length=1024)] | None = None
    tools: Annotated[list[Tool], Field(max_length=MOST_TOOLS)] | None = None
    add_generation_prompt: bool = True
    add_special_tokens: bool | None = None
    return_token_strs: bool | None = None

    @model_validator(mode="after")
    def _one_text(self) -> "TokenizeRequest":
        if (self.prompt is None) == (self.messages is None):
            raise ValueError("give one of `prompt` and `messages`")
        return self


class DetokenizeRequest(Body):
    """`POST /detokenize`, vLLM's fields."""

    model: str | None = None
    tokens: Annotated[list[Annotated[int, Field(ge=0)]], Field(max_length=1 << 20)]
