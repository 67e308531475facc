"""The OpenAI chat protocol, as far as it is served: requests checked whole, answers as their client reads them."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from midwatch_serving.errors import RequestError

ERROR_TYPES = {
    400: "invalid_request_error",
    404: "not_found_error",
    405: "invalid_request_error",
    412: "precondition_failed",
    413: "invalid_request_error",
    422: "invalid_request_error",
    428: "precondition_required",
    503: "service_unavailable",
}


class _Body(BaseModel):
    """Closed and strict: what is not served is refused, so that no option is dropped in silence."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class TextPart(_Body):
    """One part of a message's content."""

    type: Literal["text"]
    text: str


class Message(_Body):
    """One turn."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[TextPart]

    @property
    def text(self) -> str:
        """The content as one text."""
        return self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)


class StreamOptions(_Body):
    """Options of a streamed answer."""

    include_usage: bool = False


class ChatRequest(_Body):
    """`POST /v1/chat/completions`. Options that are served only at their default say so in their type."""

    model: str
    messages: Annotated[list[Message], Field(min_length=1, max_length=1024)]
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2, allow_inf_nan=False)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    seed: Annotated[int, Field(ge=0, lt=2**63)] | None = None
    stop: (
        Annotated[str, Field(min_length=1)]
        | Annotated[list[Annotated[str, Field(min_length=1)]], Field(max_length=4)]
        | None
    ) = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    ignore_eos: bool = False
    min_tokens: Annotated[int, Field(ge=0)] = 0
    user: str | None = None
    n: Literal[1] | None = None
    logprobs: Literal[False] | None = None
    frequency_penalty: Literal[0] | None = None
    presence_penalty: Literal[0] | None = None

    @property
    def limit(self) -> int | None:
        """Tokens to generate at most, under either of its names."""
        return self.max_tokens if self.max_completion_tokens is None else self.max_completion_tokens

    @property
    def with_usage(self) -> bool:
        """Whether a streamed answer ends with its usage."""
        return self.stream_options is not None and self.stream_options.include_usage

    @property
    def stops(self) -> tuple[str, ...]:
        """Stop strings as a tuple."""
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())


class ConfigPatch(_Body):
    """`PATCH /admin/config`."""

    values: dict[str, int | None]


def parse(model: type[BaseModel], body: bytes, *, status: int = 400) -> Any:
    """Read and check a JSON body.

    Raises:
        RequestError: names the first field at fault and the reason.
    """
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        param = ".".join(str(part) for part in first["loc"]) or None
        where = f"`{param}`" if param else "the body"
        if first["type"] == "extra_forbidden":
            raise RequestError(
                f"{where} is not served here: leave it out. Known fields: {', '.join(model.model_fields)}",
                status=status,
                param=param,
                code="unsupported_parameter",
            ) from error
        raise RequestError(f"{where}: {first['msg']}", status=status, param=param) from error


def error_body(message: str, *, status: int, param: str | None = None, code: str | None = None) -> dict[str, Any]:
    """Return OpenAI's error shape."""
    kind = ERROR_TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error")  # noqa: PLR2004 (HTTP)
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def usage(prompt: int, completion: int) -> dict[str, int]:
    """Return the usage object."""
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def completion(
    request_id: str, created: int, model: str, *, text: str, reason: str, counts: dict[str, int]
) -> dict[str, Any]:
    """Return the answer to a request that is not streamed."""
    message = {"role": "assistant", "content": text, "refusal": None}
    return {
        "id": request_id,
        "object": "chat.completion",
        "created": created,
        "model": model,
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": reason}],
        "usage": counts,
    }


def chunk(
    request_id: str,
    created: int,
    model: str,
    *,
    delta: dict[str, str] | None,
    reason: str | None = None,
    counts: dict[str, int] | None = None,
) -> dict[str, Any]:
    """Return one event of a streamed answer; without a delta it carries the usage only."""
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
    return {
        "id": request_id,
        "object": "chat.completion.chunk",
        "created": created,
        "model": model,
        "choices": [] if delta is None else [choice],
    } | ({} if counts is None else {"usage": counts})
