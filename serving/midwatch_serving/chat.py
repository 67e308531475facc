"""`POST /v1/chat/completions`: from a checked request to an answer, streamed or whole."""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from midwatch_serving import protocol
from midwatch_serving.errors import EngineDead, RequestError
from midwatch_serving.protocol import ChatRequest
from midwatch_serving.sampling import SamplingParams
from midwatch_serving.service import Service
from midwatch_serving.stream import Stream

MAX_BODY = 1 << 20
"""Bytes; a prompt of the longest context is far smaller."""


async def read_body(request: Request) -> bytes:
    """Return the request's body.

    Raises:
        RequestError: when it is larger than `MAX_BODY`.
    """
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > MAX_BODY:
            raise RequestError(f"the body is larger than {MAX_BODY} bytes", status=413)
    return bytes(body)


class ChatEndpoint:
    """Answers chat completions. A client that goes away takes its request with it."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def post(self, request: Request) -> Response:
        """Serve one request."""
        asked: ChatRequest = protocol.parse(ChatRequest, await read_body(request))
        service = self._service
        if asked.model != service.model_name:
            raise RequestError(
                f"there is no model {asked.model!r} here: this server has {service.model_name!r}",
                status=404,
                param="model",
                code="model_not_found",
            )
        if asked.stream_options is not None and not asked.stream:
            raise RequestError("`stream_options` needs `stream`: true", param="stream_options")
        if not service.healthy:
            raise RequestError("the server is shutting down: ask another replica", status=503, code="draining")
        prompt = tuple(
            service.engine.tokenizer.chat_prompt([{"role": m.role, "content": m.text} for m in asked.messages])
        )
        stream = service.engine.submit(f"chatcmpl-{secrets.token_hex(12)}", prompt, self._params(asked, len(prompt)))
        if asked.stream:
            return _EventStream(service, stream, with_usage=asked.with_usage)
        return await self._whole(request, stream)

    def _params(self, asked: ChatRequest, prompt_tokens: int) -> SamplingParams:
        room = max(1, self._service.engine.scheduler.capacity - prompt_tokens)
        limit = room if asked.limit is None else asked.limit
        if asked.min_tokens > limit:
            raise RequestError(f"min_tokens={asked.min_tokens} is more than max_tokens={limit}", param="min_tokens")
        return SamplingParams(
            max_tokens=limit,
            temperature=1.0 if asked.temperature is None else asked.temperature,
            top_p=1.0 if asked.top_p is None else asked.top_p,
            seed=secrets.randbits(63) if asked.seed is None else asked.seed,
            stop=asked.stops,
            ignore_eos=asked.ignore_eos,
            min_tokens=asked.min_tokens,
        )

    async def _whole(self, request: Request, stream: Stream) -> Response:
        service, sequence = self._service, stream.sequence
        text: list[str] = []
        reason: str | None = None
        async with _abort_on_disconnect(service, stream, request.receive):
            async for piece in stream:
                text.append(piece.text)
                reason = piece.finish_reason
        if reason == "abort":
            message = "the request was aborted before it was finished"
            return JSONResponse(protocol.error_body(message, status=503, code="aborted"), 503)
        counts = protocol.usage(len(sequence.prompt), len(sequence.output))
        body = protocol.completion(
            sequence.id,
            int(sequence.arrived),
            service.model_name,
            text="".join(text),
            reason=str(reason),
            counts=counts,
        )
        return Response(orjson.dumps(body), media_type="application/json")


class _EventStream(Response):
    """Server-sent events of one answer; watches for the client's going from the first moment, queued or not."""

    def __init__(self, service: Service, stream: Stream, *, with_usage: bool) -> None:
        super().__init__(media_type="text/event-stream", headers={"cache-control": "no-cache"})
        del self.headers["content-length"]
        self._service = service
        self._stream = stream
        self._with_usage = with_usage

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send head, events and end."""
        del scope
        async with _abort_on_disconnect(self._service, self._stream, receive):
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            async for event in self._events():
                await send({"type": "http.response.body", "body": event, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _events(self) -> AsyncIterator[bytes]:
        sequence = self._stream.sequence
        first = True
        try:
            async for piece in self._stream:
                if first and piece.finish_reason != "abort":
                    yield self._event(delta={"role": "assistant", "content": ""})
                    first = False
                if piece.text:
                    yield self._event(delta={"content": piece.text})
                if piece.finish_reason is not None:
                    yield self._event(delta={}, reason=piece.finish_reason)
        except EngineDead as error:
            yield _sse(protocol.error_body(str(error), status=500, code="engine_dead"))
            return
        if self._with_usage:
            yield self._event(delta=None, counts=protocol.usage(len(sequence.prompt), len(sequence.output)))
        yield b"data: [DONE]\n\n"

    def _event(self, **fields: Any) -> bytes:
        sequence = self._stream.sequence
        return _sse(protocol.chunk(sequence.id, int(sequence.arrived), self._service.model_name, **fields))


def _sse(event: dict[str, Any]) -> bytes:
    return b"data: " + orjson.dumps(event) + b"\n\n"


@contextlib.asynccontextmanager
async def _abort_on_disconnect(service: Service, stream: Stream, receive: Receive) -> AsyncGenerator[None]:
    """End the request when its client goes away, or when its answer could not be sent; its stream then ends too."""
    request_id = stream.sequence.id

    async def watch() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        service.engine.abort(request_id)

    task = asyncio.create_task(watch())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        service.engine.abort(request_id)
