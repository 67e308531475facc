"""`POST /v1/completions`: plain prompts, continued or, with `echo` and no token to generate, scored."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from midwatch_serving import protocol
from midwatch_serving.answer import Answer, EventStream, Job, failed_event, new_id, sse
from midwatch_serving.bodies import read_body
from midwatch_serving.errors import RequestError
from midwatch_serving.intake import check_served, check_tokens, constraints, sampling_params, structured
from midwatch_serving.logprobs import CompletionLogprobs
from midwatch_serving.protocol_completions import CompletionRequest
from midwatch_serving.sampling import SamplingParams, TokenLogprobs
from midwatch_serving.sequence import Sequence
from midwatch_serving.service import Service
from midwatch_serving.stream import Output
from midwatch_serving.tokenizer import text_prompt

MOST_SEQUENCES = 256
"""Prompts times `n`, of one request."""


@dataclass(frozen=True)
class _Prompt:
    tokens: tuple[int, ...]
    text: str


@dataclass
class _Echo:
    """A prompt as it is repeated before the answer, with its tokens' log-probabilities where they are asked for."""

    text: str
    tokens: tuple[int, ...] = ()
    logprobs: tuple[TokenLogprobs | None, ...] = ()


class CompletionsEndpoint:
    """Answers completions. A client that goes away takes its request with it."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def post(self, request: Request) -> Response:
        """Serve one request."""
        asked: CompletionRequest = protocol.parse(CompletionRequest, await read_body(request))
        self._check(asked)
        prompts = [
            self._prompt(prompt, index, special=asked.add_special_tokens is not False)
            for index, prompt in enumerate(asked.prompts)
        ]
        request_id = new_id("cmpl-", asked.request_id)
        echoes = [_Echo(prompt.text) for prompt in prompts] if asked.echo else []
        scored: Answer | None = None
        try:
            if asked.echo and (asked.logprobs is not None or asked.max_tokens == 0):
                scored = await self._score(asked, prompts, request_id, request)
                echoes = [_echo(asked, *pair) for pair in zip(prompts, scored.sequences, strict=True)]
            if asked.max_tokens == 0:
                return _json(_Writer(self._service, asked, _required(scored), echoes).scored())
            answer = Answer(self._service, request_id, await self._jobs(asked, prompts), asked)
        except RequestError as error:
            if error.param == "messages":  # the scheduler's word for a prompt
                raise RequestError(str(error), status=error.status, param="prompt", code=error.code) from error
            raise
        writer = _Writer(self._service, asked, answer, echoes)
        if asked.stream:
            return EventStream(answer, writer.events(), failed_event)
        return _json(writer.completion(await answer.whole(request.receive)))

    def _check(self, asked: CompletionRequest) -> None:
        check_served(self._service, asked.model)
        asked.check_stream_options()
        if asked.best_of is not None and asked.best_of != (asked.n or 1):
            raise RequestError("`best_of` is served only where it equals `n`", param="best_of")
        if asked.max_tokens == 0 and (not asked.echo or asked.stream):
            raise RequestError("`max_tokens`: 0 scores a prompt: it needs `echo`, and no `stream`", param="max_tokens")
        if len(asked.prompts) * (asked.n or 1) > MOST_SEQUENCES:
            raise RequestError(f"prompts times `n` are more than {MOST_SEQUENCES}", param="n")

    def _prompt(self, prompt: str | list[int], index: int, *, special: bool) -> _Prompt:
        tokenizer = self._service.engine.tokenizer
        if isinstance(prompt, str):
            return _Prompt(tuple(text_prompt(tokenizer, prompt, special=special)), prompt)
        check_tokens(self._service, prompt, f"prompt.{index}")
        return _Prompt(tuple(prompt), tokenizer.decode(prompt))

    async def _score(
        self, asked: CompletionRequest, prompts: list[_Prompt], request_id: str, request: Request
    ) -> Answer:
        """Score every token of the prompts but each first one."""
        for index, prompt in enumerate(prompts):
            if len(prompt.tokens) < 2:  # noqa: PLR2004 (a first token has no probability)
                raise RequestError(
                    f"`prompt.{index}` has {len(prompt.tokens)} token(s): nothing of it can be scored", param="prompt"
                )
        params = SamplingParams(max_tokens=1, logprobs=asked.logprobs or 0)
        jobs = [Job(prompt.tokens, params, score_from=1) for prompt in prompts]
        answer = Answer(self._service, f"{request_id}-prompt", jobs, asked)
        await answer.whole(request.receive)
        answer.id = request_id
        return answer

    async def _jobs(self, asked: CompletionRequest, prompts: list[_Prompt]) -> list[Job]:
        count = asked.n or 1
        bound = iter(await constraints(self._service, structured(asked.structured_outputs), len(prompts) * count))
        jobs: list[Job] = []
        for prompt in prompts:
            params = sampling_params(
                self._service, asked, len(prompt.tokens), max_tokens=asked.max_tokens, logprobs=asked.logprobs
            )
            jobs += [
                Job(prompt.tokens, replace(params, seed=(params.seed + index) % 2**64), next(bound))
                for index in range(count)
            ]
        return jobs


def _echo(asked: CompletionRequest, prompt: _Prompt, sequence: Sequence) -> _Echo:
    if asked.logprobs is None:
        return _Echo(prompt.text)
    return _Echo(prompt.text, prompt.tokens, (None, *sequence.logprobs))


def _required(answer: Answer | None) -> Answer:
    if answer is None:
        raise RequestError("`max_tokens`: 0 needs `echo`", param="max_tokens")
    return answer


def _json(body: dict[str, Any]) -> Response:
    return Response(orjson.dumps(body), media_type="application/json")


class _Writer:
    """Writes one answer, whole or as events."""

    def __init__(self, service: Service, asked: CompletionRequest, answer: Answer, echoes: list[_Echo]) -> None:
        self._answer = answer
        self._asked = asked
        self._echoes = echoes
        self._prompts = len(asked.prompts)
        self._each = answer.count // self._prompts
        self._logprobs = [CompletionLogprobs(service.engine.tokenizer) for _ in range(answer.count)]
        self._head: dict[str, Any] = {
            "id": answer.id,
            "object": "text_completion",
            "created": answer.created,
            "model": service.model_name,
        }
        self._text_head = b"data: " + orjson.dumps(self._head)[:-1] + b',"choices":[{"index":'

    def scored(self) -> dict[str, Any]:
        """Return the answer to a request that generates nothing."""
        ends = [[Output("", finish_reason="length", index=index)] for index in range(self._prompts)]
        return self.completion(ends)

    def completion(self, pieces: list[list[Output]]) -> dict[str, Any]:
        """Return the answer to a request that is not streamed."""
        return self._head | {
            "choices": [self._choice(index, some) for index, some in enumerate(pieces)],
            "usage": self._usage(),
        }

    def _usage(self) -> dict[str, Any]:
        return self._answer.usage(self._each)

    def _choice(self, index: int, pieces: list[Output], *, first: bool = True) -> dict[str, Any]:
        """Return a choice, or a piece of one, from consecutive pieces of its sequence."""
        text = "".join(piece.text for piece in pieces)
        tokens = [token for piece in pieces for token in piece.token_ids]
        found: list[TokenLogprobs | None] = [logprobs for piece in pieces for logprobs in piece.logprobs]
        if first and self._echoes:
            echo = self._echoes[index // self._each]
            text = echo.text + text
            tokens, found = [*echo.tokens, *tokens], [*echo.logprobs, *found]
        logprobs = None if self._asked.logprobs is None else self._logprobs[index].piece(tokens, found)
        return {
            "index": index,
            "text": text,
            "logprobs": logprobs,
            "finish_reason": pieces[-1].finish_reason,
            "stop_reason": pieces[-1].stop_reason,
        }

    async def events(self) -> AsyncIterator[bytes]:
        """Yield the events of a streamed answer, as many at a time as there are."""
        begun = [False] * self._answer.count
        plain = self._asked.logprobs is None
        while pieces := await self._answer.take():
            events: list[bytes] = []
            for piece in pieces:
                if plain and begun[piece.index] and piece.finish_reason is None:
                    if piece.text:
                        text = orjson.dumps(piece.text)
                        events.append(b"%b%d%b%b%b" % (self._text_head, piece.index, _BEFORE_TEXT, text, _AFTER_TEXT))
                    continue
                choice = self._choice(piece.index, [piece], first=not begun[piece.index])
                begun[piece.index] = True
                events.append(sse(self._head | {"choices": [choice]}))
            if events:
                yield b"".join(events)
        if self._asked.with_usage:
            yield sse(self._head | {"choices": [], "usage": self._usage()})
        yield b"data: [DONE]\n\n"


_BEFORE_TEXT = b',"text":'
_AFTER_TEXT = b',"logprobs":null,"finish_reason":null}]}\n\n'
