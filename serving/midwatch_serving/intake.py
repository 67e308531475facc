"""From a checked body to what the engine is asked for: model, sampling parameters, grammar."""

import asyncio
import secrets
from typing import Any

import orjson

from midwatch_serving.constraints import Grammar, choice
from midwatch_serving.errors import RequestError
from midwatch_serving.protocol import Sampled, StructuredOutputs
from midwatch_serving.sampling import Constraint, SamplingParams
from midwatch_serving.service import Service

ANY_OBJECT: dict[str, Any] = {"type": "object"}


def check_served(service: Service, model: str | None) -> None:
    """Refuse a request for another model, or one that comes while the server ends.

    Raises:
        RequestError: 404 or 503.
    """
    if model is not None and model != service.model_name:
        raise RequestError(
            f"there is no model {model!r} here: this server has {service.model_name!r}",
            status=404,
            param="model",
            code="model_not_found",
        )
    if not service.healthy:
        why = service.engine.gate.refusal or "the server is shutting down: ask another replica"
        raise RequestError(why, status=503, code="draining")


def check_tokens(service: Service, tokens: list[int], param: str) -> None:
    """Refuse token ids that the model does not have.

    Raises:
        RequestError: names the first of them.
    """
    vocab = service.engine.tokenizer.vocab_size
    for index, token in enumerate(tokens):
        if not 0 <= token < vocab:
            raise RequestError(
                f"`{param}.{index}`: there is no token {token}: ids go from 0 to {vocab - 1}", param=f"{param}.{index}"
            )


def sampling_params(
    service: Service, asked: Sampled, prompt_tokens: int, *, max_tokens: int | None, logprobs: int | None
) -> SamplingParams:
    """Return the engine's parameters; without `max_tokens` the answer may fill the room there is.

    Raises:
        RequestError: names the field.
    """
    room = max(1, service.engine.scheduler.capacity - prompt_tokens)
    limit = room if max_tokens is None else max_tokens
    if asked.min_tokens > limit:
        raise RequestError(f"min_tokens={asked.min_tokens} is more than max_tokens={limit}", param="min_tokens")
    bias = tuple((int(token), value) for token, value in (asked.logit_bias or {}).items())
    check_tokens(service, [token for token, _ in bias], "logit_bias")
    check_tokens(service, asked.stop_token_ids or [], "stop_token_ids")
    return SamplingParams(
        max_tokens=limit,
        temperature=_or(asked.temperature, 1.0),
        top_p=_or(asked.top_p, 1.0),
        top_k=max(0, asked.top_k or 0),
        min_p=_or(asked.min_p, 0.0),
        seed=secrets.randbits(63) if asked.seed is None else asked.seed % 2**64,
        presence_penalty=_or(asked.presence_penalty, 0.0),
        frequency_penalty=_or(asked.frequency_penalty, 0.0),
        repetition_penalty=_or(asked.repetition_penalty, 1.0),
        logit_bias=bias,
        logprobs=logprobs,
        stop=asked.stops,
        stop_token_ids=tuple(asked.stop_token_ids or ()),
        ignore_eos=asked.ignore_eos,
        min_tokens=asked.min_tokens,
    )


def _or(value: float | None, default: float) -> float:
    return default if value is None else float(value)


def structured(asked: StructuredOutputs | None) -> Grammar | None:
    """Return the grammar of `structured_outputs`.

    Raises:
        RequestError: when not exactly one of its fields is given.
    """
    if asked is None:
        return None
    given = [name for name in ("json", "regex", "choice", "grammar", "json_object") if _given(asked, name)]
    if len(given) != 1:
        raise RequestError(
            "`structured_outputs`: give one of json, regex, choice, grammar and json_object", param="structured_outputs"
        )
    param = f"structured_outputs.{given[0]}"
    if asked.json_ is not None:
        return json_schema(asked.json_, param)
    if asked.regex is not None:
        return Grammar("regex", asked.regex, param)
    if asked.choice is not None:
        return choice(asked.choice, param)
    if asked.grammar is not None:
        return Grammar("lark", asked.grammar, param)
    return json_schema(ANY_OBJECT, param)


def _given(asked: StructuredOutputs, name: str) -> bool:
    return getattr(asked, "json_" if name == "json" else name) is not None


def json_schema(schema: dict[str, Any] | str, param: str, *, strict: bool = True) -> Grammar:
    """Return the grammar of a JSON schema, given as an object or as text.

    Raises:
        RequestError: when the text is no JSON object.
    """
    if isinstance(schema, str):
        try:
            schema = orjson.loads(schema)
        except orjson.JSONDecodeError as error:
            raise RequestError(f"`{param}` is no JSON: {error}", param=param) from error
    if not isinstance(schema, dict):
        raise RequestError(f"`{param}` is no JSON object", param=param)
    return Grammar("json_schema", orjson.dumps(schema).decode(), param, lenient=not strict)


async def constraints(service: Service, grammar: Grammar | None, count: int) -> list[Constraint | None]:
    """Return a matcher for each of `count` sequences, compiled beside the event loop; None where nothing binds.

    Raises:
        RequestError: when the grammar is no good.
    """
    if grammar is None:
        return [None] * count
    return [*await asyncio.to_thread(service.engine.grammars.compile, grammar, count)]
