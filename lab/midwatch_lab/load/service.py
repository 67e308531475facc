"""The load generator: at most one load a Service, replaced as a whole, running in the lab's event loop."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any

from midwatch_contracts.clock import Clock
from midwatch_contracts.entity import Entity
from midwatch_lab.load.chat import Stream, ask, body, first_model
from midwatch_lab.load.errors import HttpError
from midwatch_lab.load.spec import LoadSpec
from midwatch_lab.load.statistics import Statistics
from midwatch_lab.load.traffic import gaps, prompts

Ask = Callable[[str, bytes, Stream], Awaitable[int]]
FindModel = Callable[[str, float], Awaitable[str]]
"""Base URL and timeout (s) to the name of a model."""
Resolve = Callable[[Entity], str | None]
"""A Service to its base URL, such as `http://127.0.3.1:8000`; None while there is none."""

_OK, _NOT_FOUND = 200, 404
_PAUSE_S = 0.2
"""How long a closed-loop client waits after a failure, lest it spin on a server that refuses."""


class Load:
    """One running load."""

    def __init__(self, clock: Clock, resolve: Resolve, spec: LoadSpec, ask: Ask, model: FindModel) -> None:
        self.spec = spec
        self.statistics = Statistics()
        self._clock, self._resolve, self._ask, self._find_model = clock, resolve, ask, model
        self._prompts = prompts(spec)
        self._model: str | None = spec.model
        self._requests: set[asyncio.Task[bool]] = set()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin."""
        self._task = asyncio.create_task(self._run(), name=f"load of {self.spec.target}")

    async def close(self) -> None:
        """Stop, and close the connections of what is in flight."""
        tasks: list[asyncio.Task[Any]] = [*self._requests, *([self._task] if self._task else [])]
        for task in tasks:
            task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError):
                await task

    def describe(self) -> dict[str, Any]:
        """Return the statistics under their names on the wire."""
        now, seen, spec = self._clock.now(), self.statistics, self.spec
        ttft = seen.ttft_p95_s(now)
        return {
            "target": str(spec.target),
            "sent": seen.sent,
            "completed": seen.completed,
            "failed": seen.failed,
            "timed_out": seen.timed_out,
            "in_flight": seen.in_flight,
            "offered_rate": spec.rate if spec.shape != "closed" else seen.sent_per_s(now),
            "sent_per_s": seen.sent_per_s(now),
            "ttft_p95_s": ttft,
            "completed_per_s": seen.completed_per_s(now),
            "last_error": seen.last_error,
        }

    async def _run(self) -> None:
        if self.spec.shape == "closed":
            await asyncio.gather(*(self._client() for _ in range(self.spec.concurrency)))
            return
        due = self._clock.now()
        for gap in gaps(self.spec):
            due += gap
            # Arrivals keep to their schedule: a late wake-up is made up for, not added to every later arrival.
            await self._clock.sleep(max(0.0, due - self._clock.now()))
            task = asyncio.create_task(self._request())
            self._requests.add(task)
            task.add_done_callback(self._requests.discard)

    async def _client(self) -> None:
        while True:
            if not await self._request():
                await self._clock.sleep(_PAUSE_S)

    async def _request(self) -> bool:
        """Make one request; say whether it was answered whole."""
        seen, spec = self.statistics, self.spec
        seen.send(self._clock.now())
        stream = Stream()
        try:
            async with asyncio.timeout(spec.timeout_s):
                status = await self._exchange(stream)
        except TimeoutError:
            seen.timed_out += 1
            seen.first_token(self._clock.now(), spec.timeout_s if stream.ttft_s is None else stream.ttft_s)
            return False
        except (OSError, HttpError) as error:
            seen.failed += 1
            seen.last_error = str(error) or type(error).__name__
            return False
        finally:
            seen.in_flight -= 1
        if status != _OK or not stream.complete or stream.ttft_s is None:
            seen.failed += 1
            seen.last_error = f"HTTP status {status}" if status != _OK else "the stream ended without an answer"
            if status == _NOT_FOUND:
                self._model = spec.model
            return False
        seen.first_token(self._clock.now(), stream.ttft_s)
        seen.complete(self._clock.now())
        return True

    async def _exchange(self, stream: Stream) -> int:
        url = self._resolve(self.spec.target)
        if url is None:
            raise HttpError(f"{self.spec.target} has no address")
        if self._model is None:
            self._model = await self._find_model(url, self.spec.timeout_s)
        stream.began = time.perf_counter()
        return await self._ask(url, body(self._model, next(self._prompts), self.spec.output_tokens), stream)


class LoadService:
    """The loads of a lab, by target.

    Args:
        clock: tells when requests leave; timeouts are on the wall clock.
        resolve: a Service to its base URL, or None while it has none (the request then fails).
        ask: makes one request; for tests and for simulated targets.
        model: finds the model's name; for tests.
    """

    def __init__(self, clock: Clock, resolve: Resolve, *, ask: Ask = ask, model: FindModel = first_model) -> None:
        self._clock, self._resolve, self._ask, self._model = clock, resolve, ask, model
        self._loads: dict[Entity, Load] = {}
        self._closing: set[asyncio.Task[None]] = set()

    def replace(self, raw: Mapping[str, Any]) -> None:
        """Start a load in place of the one of the same target; needs a running event loop.

        What the old load has in flight is cancelled. Counts start anew.

        Raises:
            SpecError: names the field at fault; the old load then goes on.
        """
        spec = LoadSpec.read(raw)
        before = self._loads.pop(spec.target, None)
        if before is not None:
            closing = asyncio.create_task(before.close())
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)
        load = Load(self._clock, self._resolve, spec, self._ask, self._model)
        self._loads[spec.target] = load
        if not spec.idle:
            load.start()

    def stats(self) -> list[dict[str, Any]]:
        """Return `{target, sent, completed, failed, timed_out, in_flight, offered_rate, ttft_p95_s, …}` of each."""
        return [load.describe() for load in self._loads.values()]

    async def close(self) -> None:
        """Stop all loads and wait until they have."""
        loads, self._loads = list(self._loads.values()), {}
        await asyncio.gather(*(load.close() for load in loads), *self._closing)
