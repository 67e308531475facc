"""What the endpoints' bodies share: strict parsing, fields of generation, errors and usage in OpenAI's shapes.

Bodies are closed: what is not served is refused by name, so that no option is dropped in silence. A few fields are
labels that say who asks (`user`, `metadata` and the like); they change nothing in an answer and are taken.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from midwatch_serving.errors import RequestError
from midwatch_serving.sequence import Sequence

ERROR_TYPES = {
    400: "invalid_request_error",
    401: "invalid_request_error",
    404: "not_found_error",
    405: "invalid_request_error",
    412: "precondition_failed",
    413: "invalid_request_error",
    422: "invalid_request_error",
    428: "precondition_required",
    429: "rate_limit_error",
    503: "service_unavailable",
}
SERVER_ERROR = 500

MOST_CHOICES = 16
"""Sequences that one request may ask for (`n`, and prompts times `n`), which all sit in one inbox."""
MOST_LOGPROBS = 20
"""Likeliest tokens that are told at most (OpenAI's bound)."""

Label = Annotated[str, Field(max_length=512)]
Metadata = Annotated[dict[Annotated[str, Field(max_length=64)], Label], Field(max_length=16)]
TokenId = Annotated[int, Field(ge=0, lt=2**31)]


class Body(BaseModel):
    """Closed and strict."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class StreamOptions(Body):
    """Options of a streamed answer."""

    include_usage: bool = False
    include_obfuscation: Literal[False] | None = None


class StructuredOutputs(Body):
    """vLLM's `structured_outputs`: one of these binds the answer."""

    json_: Annotated[dict[str, JsonValue] | str | None, Field(alias="json")] = None
    regex: Annotated[str, Field(min_length=1)] | None = None
    choice: Annotated[list[Annotated[str, Field(min_length=1)]], Field(min_length=1, max_length=1024)] | None = None
    grammar: Annotated[str, Field(min_length=1)] | None = None
    json_object: Literal[True] | None = None


class Caller(Body):
    """Who asks, and what that means for the queue and the cache. Names as OpenAI's and vLLM's."""

    priority: Annotated[int, Field(ge=-(2**31), lt=2**31)] = 0
    session_id: Label | None = None
    cache_salt: Annotated[str, Field(min_length=1, max_length=512)] | None = None
    request_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9._:-]{1,128}$")] | None = None
    user: str | None = None
    safety_identifier: Label | None = None
    prompt_cache_key: Label | None = None
    metadata: Metadata | None = None
    service_tier: Literal["auto", "default"] | None = None


class Sampled(Body):
    """How tokens are chosen, and what ends an answer."""

    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    top_k: Annotated[int, Field(ge=-1, lt=2**31)] | None = None
    min_p: Annotated[float, Field(ge=0, le=1)] | None = None
    seed: Annotated[int, Field(ge=-(2**63), lt=2**63)] | None = None
    presence_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    frequency_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    repetition_penalty: Annotated[float, Field(gt=0, le=10)] | None = None
    logit_bias: (
        Annotated[
            dict[Annotated[str, Field(pattern=r"^\d{1,9}$")], Annotated[float, Field(ge=-100, le=100)]],
            Field(max_length=1024),
        ]
        | None
    ) = None
    stop: (
        Annotated[str, Field(min_length=1, max_length=1024)]
        | Annotated[list[Annotated[str, Field(min_length=1, max_length=1024)]], Field(max_length=16)]
        | None
    ) = None
    stop_token_ids: Annotated[list[TokenId], Field(max_length=1024)] | None = None
    ignore_eos: bool = False
    min_tokens: Annotated[int, Field(ge=0)] = 0
    structured_outputs: StructuredOutputs | None = None

    @property
    def stops(self) -> tuple[str, ...]:
        """Stop strings as a tuple."""
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())


class Generation(Caller, Sampled):
    """What chat and plain completions have in common."""

    model: str
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    n: Annotated[int, Field(ge=1, le=MOST_CHOICES)] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    skip_special_tokens: Literal[True] | None = None
    include_stop_str_in_output: Literal[False] | None = None

    @property
    def with_usage(self) -> bool:
        """Whether a streamed answer ends with its usage."""
        return self.stream_options is not None and self.stream_options.include_usage

    def check_stream_options(self) -> None:
        """Refuse options of a stream where none is asked for.

        Raises:
            RequestError: names the field.
        """
        if self.stream_options is not None and not self.stream:
            raise RequestError("`stream_options` needs `stream`: true", param="stream_options")


class ConfigPatch(Body):
    """`PATCH /admin/config`."""

    values: dict[str, Any]


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
            known = f". Known fields: {', '.join(model.model_fields)}" if len(first["loc"]) == 1 else ""
            raise RequestError(
                f"{where} is not served here: leave it out{known}",
                status=status,
                param=param,
                code="unsupported_parameter",
            ) from error
        raise RequestError(f"{where}: {first['msg']}", status=status, param=param) from error


def error_body(message: str, *, status: int, param: str | None = None, code: str | None = None) -> dict[str, Any]:
    """Return OpenAI's error shape."""
    kind = ERROR_TYPES.get(status, "server_error" if status >= SERVER_ERROR else "invalid_request_error")
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def usage(prompts: list[Sequence], completion: int) -> dict[str, Any]:
    """Return the usage object: a sequence for each prompt, and the tokens generated for all of them."""
    prompt = sum(len(sequence.prompt) for sequence in prompts)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": sum(sequence.num_cached for sequence in prompts)},
    }
