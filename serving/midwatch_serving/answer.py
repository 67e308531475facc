"""One HTTP request's sequences: submitted together, read from one inbox, and ended together when the client goes."""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import orjson
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from midwatch_serving import protocol
from midwatch_serving.errors import EngineDead, RequestError
from midwatch_serving.protocol import Caller
from midwatch_serving.sampling import Constraint, SamplingParams
from midwatch_serving.sequence import Sequence
from midwatch_serving.service import Service
from midwatch_serving.stream import Inbox, Output, Stream


@dataclass(frozen=True)
class Job:
    """One sequence to serve."""

    prompt: tuple[int, ...]
    params: SamplingParams
    constraint: Constraint | None = None
    score_from: int | None = None


class Answer:
    """The pieces of a request's sequences, in the order in which they come."""

    def __init__(self, service: Service, request_id: str, jobs: list[Job], caller: Caller) -> None:
        """Submit the jobs, all of them or none.

        Raises:
            RequestError: when one cannot be served, or the queue has no room for all.
        """
        self.id = request_id
        self.created = int(service.clock.now())
        self.inbox = Inbox(len(jobs))
        self.streams: list[Stream] = []
        self._engine = service.engine
        self._metrics = service.metrics
        try:
            if len(jobs) > 1:
                self._engine.scheduler.check_room(len(jobs))
            for index, job in enumerate(jobs):
                self.streams.append(
                    self._engine.submit(
                        request_id if len(jobs) == 1 else f"{request_id}-{index}",
                        job.prompt,
                        job.params,
                        inbox=self.inbox,
                        index=index,
                        priority=caller.priority,
                        session_id=caller.session_id or caller.prompt_cache_key,
                        cache_salt=caller.cache_salt,
                        constraint=job.constraint,
                        score_from=job.score_from,
                    )
                )
        except (RequestError, EngineDead):
            self.abort()
            raise

    @property
    def sequences(self) -> list[Sequence]:
        """The sequences, in the order of the jobs."""
        return [stream.sequence for stream in self.streams]

    def abort(self) -> None:
        """End what is not finished."""
        for stream in self.streams:
            self._engine.abort(stream.sequence.id)

    @contextlib.asynccontextmanager
    async def watched(self, receive: Receive) -> AsyncGenerator[None]:
        """End the request when its client goes away, or when its answer could not be sent; its inbox then ends too."""

        async def watch() -> None:
            while (await receive())["type"] != "http.disconnect":
                pass
            self.abort()

        task = asyncio.create_task(watch())
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            self.abort()
            self._metrics.answered(self.sequences)

    async def whole(self, receive: Receive) -> list[list[Output]]:
        """Return each sequence's pieces, once all have ended.

        Raises:
            RequestError: 503 when one was aborted.
        """
        pieces: list[list[Output]] = [[] for _ in self.streams]
        async with self.watched(receive):
            while some := await self.inbox.take():
                for piece in some:
                    pieces[piece.index].append(piece)
                    if piece.finish_reason == "abort":
                        raise RequestError("the request was aborted before it was finished", status=503, code="aborted")
        return pieces


class EventStream(Response):
    """Server-sent events of one answer; watches for the client's going from the first moment, queued or not."""

    def __init__(
        self, answer: Answer, events: AsyncIterator[bytes], failed: Callable[[EngineDead | RequestError], bytes]
    ) -> None:
        """`events` gives complete events, several at a time where a client lags; `failed` makes one of an error."""
        super().__init__(media_type="text/event-stream", headers={"cache-control": "no-cache"})
        del self.headers["content-length"]
        self._answer = answer
        self._events = events
        self._failed = failed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send head, events and end."""
        del scope
        async with self._answer.watched(receive):
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            try:
                async for event in self._events:
                    await send({"type": "http.response.body", "body": event, "more_body": True})
            except (EngineDead, RequestError) as error:
                await send({"type": "http.response.body", "body": self._failed(error), "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})


def new_id(prefix: str, asked: str | None) -> str:
    """Return the id of a request: the client's own behind the prefix, or a random one."""
    return prefix + (asked or secrets.token_hex(12))


def sse(event: dict[str, Any]) -> bytes:
    """Return an object as a server-sent event."""
    return b"data: " + orjson.dumps(event) + b"\n\n"


def failed_event(error: EngineDead | RequestError) -> bytes:
    """Return an error as an event of a stream that has begun."""
    if isinstance(error, RequestError):
        return sse(protocol.error_body(str(error), status=error.status, param=error.param, code=error.code))
    return sse(protocol.error_body(str(error), status=500, code="engine_dead"))
