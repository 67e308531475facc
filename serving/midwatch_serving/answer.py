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
    """The pieces of a request's sequences, in the order in which they come.

    Of sequences with the same prompt, where prefixes are cached, only the first is submitted at once. The others follow
    when it has its first token: its prompt is in the cache then, and is not computed again.
    """

    def __init__(self, service: Service, request_id: str, jobs: list[Job], caller: Caller) -> None:
        """Submit the jobs, all of them or none.

        Raises:
            RequestError: when one cannot be served, or the queue has no room for all.
        """
        self.id = request_id
        self.created = int(service.clock.now())
        self.count = len(jobs)
        self._inbox = Inbox(len(jobs))
        self._engine = service.engine
        self._metrics = service.metrics
        self._jobs = jobs
        self._caller = caller
        self._streams: dict[int, Stream] = {}
        self._followers = self._same_prompts()
        following = {index for indices in self._followers.values() for index in indices}
        if len(jobs) > 1:
            self._engine.scheduler.check_room(len(jobs))
        try:
            for index in range(len(jobs)):
                if index not in following:
                    self._submit(index)
        except (RequestError, EngineDead):
            self.abort()
            raise

    def _same_prompts(self) -> dict[int, list[int]]:
        """Return, by the index of a first job, those behind it that wait for it."""
        blocks = self._engine.scheduler.blocks
        first: dict[tuple[int, ...], int] = {}
        followers: dict[int, list[int]] = {}
        for index, job in enumerate(self._jobs):
            leader = first.setdefault(job.prompt, index)
            if leader != index and blocks.prefix.enabled and len(job.prompt) > blocks.block_size:
                followers.setdefault(leader, []).append(index)
        return followers

    def _submit(self, index: int) -> None:
        job, caller = self._jobs[index], self._caller
        self._streams[index] = self._engine.submit(
            self.id if self.count == 1 else f"{self.id}-{index}",
            job.prompt,
            job.params,
            inbox=self._inbox,
            index=index,
            priority=caller.priority,
            session_id=caller.session_id or caller.prompt_cache_key,
            cache_salt=caller.cache_salt,
            constraint=job.constraint,
            score_from=job.score_from,
            promised=self.count > 1,
        )

    @property
    def sequences(self) -> list[Sequence]:
        """The sequences that were submitted, in the order of the jobs."""
        return [self._streams[index].sequence for index in sorted(self._streams)]

    def usage(self, each: int) -> dict[str, Any]:
        """Return the usage object; of `each` sequences that answer one prompt the first counts it."""
        return protocol.usage(
            [stream.sequence for index, stream in self._streams.items() if index % each == 0],
            sum(len(sequence.output) for sequence in self.sequences),
        )

    async def take(self) -> list[Output]:
        """Return the pieces that wait, at least one; an empty list once every sequence has ended.

        Raises:
            EngineDead: when the engine stopped meanwhile.
            RequestError: when a sequence could not be served to its end.
        """
        pieces = await self._inbox.take()
        for piece in pieces if self._followers else ():
            if piece.finish_reason == "abort":
                self._drop_followers()
            for index in self._followers.pop(piece.index, ()):
                self._submit(index)
        return pieces

    def _drop_followers(self) -> None:
        self._inbox.open -= sum(map(len, self._followers.values()))
        self._followers.clear()

    def abort(self) -> None:
        """End what is not finished."""
        self._drop_followers()
        for stream in self._streams.values():
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
        pieces: list[list[Output]] = [[] for _ in self._jobs]
        async with self.watched(receive):
            while some := await self.take():
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
