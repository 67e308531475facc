"""`POST /v1/chat/completions`: from a checked request to an answer, streamed or whole."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from midwatch_serving import protocol, tools
from midwatch_serving.answer import Answer, EventStream, Job, failed_event, new_id, sse
from midwatch_serving.bodies import read_body
from midwatch_serving.chat_grammar import answer_grammar
from midwatch_serving.errors import RequestError
from midwatch_serving.intake import check_served, constraints, sampling_params
from midwatch_serving.logprobs import chat_logprobs
from midwatch_serving.protocol_chat import ChatRequest
from midwatch_serving.service import Service
from midwatch_serving.stream import Output
from midwatch_serving.tool_reader import CallPart, Reader
from midwatch_serving.tools import Choice


class ChatEndpoint:
    """Answers chat completions. A client that goes away takes its request with it."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def post(self, request: Request) -> Response:
        """Serve one request."""
        asked: ChatRequest = protocol.parse(ChatRequest, await read_body(request))
        service = self._service
        check_served(service, asked.model)
        asked.check_stream_options()
        if asked.top_logprobs is not None and not asked.logprobs:
            raise RequestError("`top_logprobs` needs `logprobs`: true", param="top_logprobs")
        choice = tools.chosen(asked.tools, asked.tool_choice)
        prompt = tuple(
            service.engine.tokenizer.chat_prompt(
                [message.for_template() for message in asked.messages],
                tools=[] if choice == "none" else [tool.model_dump(exclude_none=True) for tool in asked.tools or ()],
                add_generation_prompt=asked.add_generation_prompt,
            )
        )
        answer = Answer(service, new_id("chatcmpl-", asked.request_id), await self._jobs(asked, choice, prompt), asked)
        writer = _Writer(service, asked, choice, answer)
        if asked.stream:
            return EventStream(answer, writer.events(), failed_event)
        pieces = await answer.whole(request.receive)
        return Response(orjson.dumps(writer.completion(pieces)), media_type="application/json")

    async def _jobs(self, asked: ChatRequest, choice: Choice, prompt: tuple[int, ...]) -> list[Job]:
        count = asked.n or 1
        params = sampling_params(
            self._service,
            asked,
            len(prompt),
            max_tokens=asked.limit,
            logprobs=(asked.top_logprobs or 0) if asked.logprobs else None,
        )
        parallel = asked.parallel_tool_calls is not False
        answer = answer_grammar(asked.response_format, asked.structured_outputs, param="response_format")
        grammar = tools.grammar(asked.tools or (), choice, parallel=parallel, answer=answer)
        return [
            Job(prompt, replace(params, seed=(params.seed + index) % 2**64), constraint)
            for index, constraint in enumerate(await constraints(self._service, grammar, count))
        ]


@dataclass
class _Choice:
    """One choice of a streamed answer."""

    reader: Reader
    begun: bool = False


class _Writer:
    """Writes one answer, whole or as events."""

    def __init__(self, service: Service, asked: ChatRequest, choice: Choice, answer: Answer) -> None:
        self._tokenizer = service.engine.tokenizer
        self._model = service.model_name
        self._answer = answer
        self._with_usage = asked.with_usage
        self._with_logprobs = bool(asked.logprobs)
        self._readers = [tools.reader(asked.tools or (), choice) for _ in range(answer.count)]
        self._plain = choice == "none" and not asked.logprobs
        head = self._head("chat.completion.chunk")
        self._text_head = b"data: " + orjson.dumps(head)[:-1] + b',"choices":[{"index":'
        self._head_fields = head

    def completion(self, pieces: list[list[Output]]) -> dict[str, Any]:
        """Return the answer to a request that is not streamed."""
        return self._head("chat.completion") | {
            "choices": [self._choice(index, some) for index, some in enumerate(pieces)],
            "usage": self._answer.usage(self._answer.count),
        }

    def _choice(self, index: int, pieces: list[Output]) -> dict[str, Any]:
        reader = self._readers[index]
        parts = [*reader.feed("".join(piece.text for piece in pieces)), *reader.flush()]
        text = "".join(part for part in parts if isinstance(part, str))
        message: dict[str, Any] = {"role": "assistant", "content": text, "refusal": None}
        if reader.called:
            message |= {"content": text or None, "tool_calls": _whole_calls(parts)}
        tokens = [token for piece in pieces for token in piece.token_ids]
        found = [logprobs for piece in pieces for logprobs in piece.logprobs]
        return {
            "index": index,
            "message": message,
            "logprobs": chat_logprobs(self._tokenizer, tokens, found) if self._with_logprobs else None,
            "finish_reason": _reason(pieces[-1], reader),
            "stop_reason": pieces[-1].stop_reason,
        }

    async def events(self) -> AsyncIterator[bytes]:
        """Yield the events of a streamed answer, as many at a time as there are."""
        choices = [_Choice(reader) for reader in self._readers]
        while pieces := await self._answer.take():
            yield b"".join([self._piece(piece, choices[piece.index]) for piece in pieces])
        if self._with_usage:
            yield sse(self._head_fields | {"choices": [], "usage": self._answer.usage(self._answer.count)})
        yield b"data: [DONE]\n\n"

    def _piece(self, piece: Output, choice: _Choice) -> bytes:
        if self._plain and choice.begun and piece.text and piece.finish_reason is None:
            text = orjson.dumps(piece.text)
            # The common case, without building the object: one dump of the text between two prepared halves.
            return b"%b%d%b%b%b" % (self._text_head, piece.index, _BEFORE_TEXT, text, _AFTER_TEXT)
        events: list[bytes] = []
        if not choice.begun and piece.finish_reason != "abort":
            events.append(self._event(piece.index, {"role": "assistant", "content": ""}))
            choice.begun = True
        parts = choice.reader.feed(piece.text)
        if piece.finish_reason is not None:
            parts += choice.reader.flush()
        deltas = [{"content": p} if isinstance(p, str) else {"tool_calls": [_call_delta(p)]} for p in parts]
        logprobs = None
        if self._with_logprobs and piece.token_ids:
            logprobs = chat_logprobs(self._tokenizer, piece.token_ids, piece.logprobs)
            deltas = deltas or [{}]
        for delta in deltas:
            events.append(self._event(piece.index, delta, logprobs=logprobs))
            logprobs = None
        if piece.finish_reason is not None:
            events.append(self._event(piece.index, {}, reason=_reason(piece, choice.reader), stop=piece.stop_reason))
        return b"".join(events)

    def _event(
        self,
        index: int,
        delta: dict[str, Any],
        *,
        logprobs: dict[str, Any] | None = None,
        reason: str | None = None,
        stop: str | int | None = None,
    ) -> bytes:
        choice: dict[str, Any] = {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": reason}
        if reason is not None:
            choice["stop_reason"] = stop
        return sse(self._head_fields | {"choices": [choice]})

    def _head(self, kind: str) -> dict[str, Any]:
        answer = self._answer
        return {"id": answer.id, "object": kind, "created": answer.created, "model": self._model}


_BEFORE_TEXT = b',"delta":{"content":'
_AFTER_TEXT = b'},"logprobs":null,"finish_reason":null}]}\n\n'


def _reason(piece: Output, reader: Reader) -> str | None:
    return "tool_calls" if reader.called and piece.finish_reason == "stop" else piece.finish_reason


def _call_delta(part: CallPart) -> dict[str, Any]:
    if part.name is None:
        return {"index": part.index, "function": {"arguments": part.arguments}}
    function = {"name": part.name, "arguments": part.arguments}
    return {"index": part.index, "id": part.id, "type": "function", "function": function}


def _whole_calls(parts: list[str | CallPart]) -> list[dict[str, Any]]:
    calls: list[dict[str, Any]] = []
    for part in parts:
        if not isinstance(part, CallPart):
            continue
        if part.name is not None:
            calls.append({"id": part.id, "type": "function", "function": {"name": part.name, "arguments": ""}})
        calls[part.index]["function"]["arguments"] += part.arguments
    return calls
