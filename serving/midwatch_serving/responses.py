"""`POST /v1/responses`, and reading and deleting what it stored."""

from collections.abc import AsyncIterator
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from midwatch_serving import protocol, tools
from midwatch_serving.answer import Answer, EventStream, Job, new_id
from midwatch_serving.bodies import read_body
from midwatch_serving.chat_grammar import answer_grammar
from midwatch_serving.errors import EngineDead, RequestError
from midwatch_serving.intake import check_served, constraints, sampling_params
from midwatch_serving.logprobs import chat_logprobs
from midwatch_serving.protocol_responses import ResponsesRequest, called
from midwatch_serving.response_items import ResponseItems
from midwatch_serving.response_store import ResponseStore, StoredResponse
from midwatch_serving.service import Service
from midwatch_serving.stream import Output
from midwatch_serving.tools import Choice


class ResponsesEndpoint:
    """Answers responses. A client that goes away takes its request with it."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._store = ResponseStore()

    async def post(self, request: Request) -> Response:
        """Serve one request."""
        asked: ResponsesRequest = protocol.parse(ResponsesRequest, await read_body(request))
        check_served(self._service, asked.model)
        if asked.stream_options is not None and not asked.stream:
            raise RequestError("`stream_options` needs `stream`: true", param="stream_options")
        if asked.top_logprobs is not None and not asked.with_logprobs:
            raise RequestError("`top_logprobs` needs `include`: message.output_text.logprobs", param="top_logprobs")
        named = asked.tool_choice
        choice = tools.chosen(asked.chat_tools, named if named is None or isinstance(named, str) else named.as_chat())
        messages = [*self._before(asked.previous_response_id), *asked.messages()]
        system = [] if asked.instructions is None else [{"role": "system", "content": asked.instructions}]
        prompt = self._service.engine.tokenizer.chat_prompt(
            [*system, *messages],
            tools=[] if choice == "none" else [tool.model_dump(exclude_none=True) for tool in asked.chat_tools],
        )
        job = await self._job(asked, choice, tuple(prompt))
        answer = Answer(self._service, new_id("resp_", asked.request_id), [job], asked)
        writer = _Writer(self._service, asked, choice, answer, messages=messages, store=self._store)
        if asked.stream:
            return EventStream(answer, writer.events(), writer.failed)
        pieces = await answer.whole(request.receive)
        return Response(orjson.dumps(writer.response(pieces[0])), media_type="application/json")

    async def get(self, request: Request) -> Response:
        """Return a stored response."""
        return JSONResponse(self._stored(request.path_params["response_id"]).body)

    async def delete(self, request: Request) -> Response:
        """Forget a stored response."""
        response_id = request.path_params["response_id"]
        self._stored(response_id)
        self._store.delete(response_id)
        return JSONResponse({"id": response_id, "object": "response", "deleted": True})

    def _before(self, response_id: str | None) -> list[dict[str, Any]]:
        return [] if response_id is None else self._stored(response_id, "previous_response_id").messages

    def _stored(self, response_id: str, param: str | None = None) -> StoredResponse:
        found = self._store.get(response_id)
        if found is None:
            raise RequestError(
                f"there is no response {response_id!r}: this server holds its latest responses in memory, and only "
                "those that were not sent with `store`: false",
                status=404,
                param=param,
                code="response_not_found",
            )
        return found

    async def _job(self, asked: ResponsesRequest, choice: Choice, prompt: tuple[int, ...]) -> Job:
        form = None if asked.text is None or asked.text.format is None else asked.text.format.as_chat()
        grammar = tools.grammar(
            asked.chat_tools,
            choice,
            parallel=asked.parallel_tool_calls is not False,
            answer=answer_grammar(form, asked.structured_outputs, param="text.format"),
        )
        (constraint,) = await constraints(self._service, grammar, 1)
        params = sampling_params(
            self._service,
            asked,
            len(prompt),
            max_tokens=asked.max_output_tokens,
            logprobs=(asked.top_logprobs or 0) if asked.with_logprobs else None,
        )
        return Job(prompt, params, constraint)


class _Writer:
    """Writes one response, whole or as events, and stores it at its end."""

    def __init__(
        self,
        service: Service,
        asked: ResponsesRequest,
        choice: Choice,
        answer: Answer,
        *,
        messages: list[dict[str, Any]],
        store: ResponseStore,
    ) -> None:
        self._tokenizer = service.engine.tokenizer
        self._asked = asked
        self._answer = answer
        self._messages = messages
        self._store = store
        self._reader = tools.reader(asked.chat_tools, choice)
        self._items = ResponseItems(self._emit)
        self._events: list[bytes] = []
        self._number = 0
        self._told: dict[str, Any] = self._body(service.model_name)

    def response(self, pieces: list[Output]) -> dict[str, Any]:
        """Return the response to a request that is not streamed."""
        for piece in pieces:
            self._feed(piece)
        return self._ended(pieces[-1])

    async def events(self) -> AsyncIterator[bytes]:
        """Yield the events of a streamed response, as many at a time as there are."""
        started: dict[str, Any] = {**self._told, "status": "in_progress", "output": []}
        self._emit("created", {"response": started})
        self._emit("in_progress", {"response": started})
        while pieces := await self._answer.take():
            for piece in pieces:
                self._feed(piece)
                if piece.finish_reason is not None:
                    response = self._ended(piece)
                    self._emit(response["status"], {"response": response})
            if self._events:
                events, self._events = self._events, []
                yield b"".join(events)

    def failed(self, error: EngineDead | RequestError) -> bytes:
        """Return the events of an error after the stream has begun."""
        param, code = (error.param, error.code) if isinstance(error, RequestError) else (None, "engine_dead")
        self._events.clear()
        body = self._told | {"status": "failed", "error": {"code": "server_error", "message": str(error)}}
        self._emit("failed", {"response": body | {"output": self._items.output}})
        fields = {"type": "error", "message": str(error), "code": code, "param": param}
        event = orjson.dumps(fields | {"sequence_number": self._number})
        return b"".join(self._events) + b"event: error\ndata: " + event + b"\n\n"

    def _feed(self, piece: Output) -> None:
        logprobs: list[dict[str, Any]] = []
        if self._asked.with_logprobs and piece.token_ids:
            logprobs = chat_logprobs(self._tokenizer, piece.token_ids, piece.logprobs)["content"]
        parts = self._reader.feed(piece.text)
        if piece.finish_reason is not None:
            parts += self._reader.flush()
        if not parts and logprobs and not self._reader.called:
            parts = [""]
        for part in parts:
            self._items.feed(part, logprobs)
            logprobs = []

    def _ended(self, piece: Output) -> dict[str, Any]:
        """Close the items and return the response, which is stored if that is wanted."""
        reason = piece.finish_reason
        if not self._items.output:
            self._items.feed("", [])
        self._items.close("completed" if reason == "stop" else "incomplete")
        status = {"stop": "completed", "length": "incomplete"}.get(str(reason), "failed")
        counts = self._answer.usage(1)
        body = self._told | {
            "status": status,
            "output": self._items.output,
            "incomplete_details": {"reason": "max_output_tokens"} if status == "incomplete" else None,
            "error": {"code": "server_error", "message": "the request was aborted"} if status == "failed" else None,
            "usage": {
                "input_tokens": counts["prompt_tokens"],
                "input_tokens_details": counts["prompt_tokens_details"] | {"cache_write_tokens": 0},
                "output_tokens": counts["completion_tokens"],
                "output_tokens_details": {"reasoning_tokens": 0},
                "total_tokens": counts["total_tokens"],
            },
        }
        if self._asked.store is not False and status != "failed":
            self._store.put(body, [*self._messages, *_as_messages(self._items.output)])
        return body

    def _emit(self, kind: str, fields: dict[str, Any]) -> None:
        name = f"response.{kind}"
        event = orjson.dumps({"type": name, "sequence_number": self._number, **fields})
        self._events.append(b"event: " + name.encode() + b"\ndata: " + event + b"\n\n")
        self._number += 1

    def _body(self, model: str) -> dict[str, Any]:
        asked = self._asked
        echoed = {"instructions", "previous_response_id", "max_output_tokens", "user", "top_logprobs"}
        return asked.model_dump(include=echoed) | {
            "id": self._answer.id,
            "object": "response",
            "created_at": self._answer.created,
            "model": model,
            "error": None,
            "incomplete_details": None,
            "metadata": asked.metadata or {},
            "temperature": 1.0 if asked.temperature is None else asked.temperature,
            "top_p": 1.0 if asked.top_p is None else asked.top_p,
            "tools": [tool.model_dump() for tool in asked.tools or ()],
            "tool_choice": _dumped(asked.tool_choice) or ("auto" if asked.tools else "none"),
            "parallel_tool_calls": asked.parallel_tool_calls is not False,
            "text": _dumped(asked.text) or {"format": {"type": "text"}},
            "store": asked.store is not False,
            "truncation": "disabled",
            "background": False,
            "service_tier": "default",
            "usage": None,
        }


def _dumped(value: Any) -> Any:
    return value if value is None or isinstance(value, str) else value.model_dump(by_alias=True, exclude_none=True)


def _as_messages(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return output items as chat templates read them: one assistant's message with the text and the calls."""
    text = "".join(part["text"] for item in items if item["type"] == "message" for part in item["content"])
    calls = [called(item["call_id"], item["name"], item["arguments"]) for item in items if "call_id" in item]
    message: dict[str, Any] = {"role": "assistant", "content": text}
    return [message | {"tool_calls": calls} if calls else message]
