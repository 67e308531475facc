"""One load as it runs: keeps its schedule whatever the answers do, and leaves nothing behind when it is closed."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Literal

from midwatch_contracts.clock import Clock
from midwatch_contracts.entity import Entity
from midwatch_lab.load.arrivals import BLOCK, stream
from midwatch_lab.load.chat import Stream, body
from midwatch_lab.load.distributions import Distribution
from midwatch_lab.load.errors import HttpError, TraceError
from midwatch_lab.load.sent import Sent
from midwatch_lab.load.spec import AnyLoad, ClosedLoad, SessionsLoad, TraceLoad
from midwatch_lab.load.statistics import Statistics
from midwatch_lab.load.texts import Message, Texts
from midwatch_lab.load.traffic import Arrival, Call, Session, arrivals, calls

Ask = Callable[[str, bytes, Stream], Awaitable[int]]
FindModel = Callable[[str, float], Awaitable[str]]
"""Base URL and timeout (s) to the name of a model."""
Resolve = Callable[[Entity], str | None]
"""A Service to its base URL, such as `http://127.0.3.1:8000`; None while there is none."""
State = Literal["idle", "running", "done", "failed"]

_OK, _NOT_FOUND = 200, 404
_AT_ONCE = 256
"""Arrivals of one moment that begin before others may run."""
_PAUSE_S = 0.2
"""How long a closed-loop client waits after a failure, lest it spin on a server that refuses."""


@dataclass(frozen=True)
class World:
    """What a load reaches.

    `clock` tells when requests leave; timeouts are on the wall clock. `resolve` finds the target's address (the
    request fails while there is none), `ask` makes one request, `model` finds the model's name, and `stopwatch` times
    the first token, in seconds.
    """

    clock: Clock
    resolve: Resolve
    ask: Ask
    model: FindModel
    stopwatch: Callable[[], float]


class Load:
    """One running load."""

    def __init__(self, world: World, spec: AnyLoad) -> None:
        self.spec = spec
        self.statistics = Statistics()
        self.sent = Sent()
        self.state: State = "idle"
        self._world = world
        self._texts = Texts(spec.seed, spec.chars_per_token)
        self._model: str | None = spec.model
        self._naming = asyncio.Lock()
        self._open: set[asyncio.Task[None]] = set()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin."""
        self.state = "running"
        self._task = asyncio.create_task(self._run(), name=f"load of {self.spec.target}")

    async def wait(self) -> None:
        """Return once the load has ended by itself: its requests are answered, or it failed."""
        if self._task is not None:
            await asyncio.shield(self._task)

    async def close(self) -> None:
        """Stop, and close the connections of what is in flight."""
        tasks = [*self._open, *([self._task] if self._task else [])]
        for task in tasks:
            task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError):
                await task
        if self.state == "running":
            self.state = "idle"

    def describe(self) -> dict[str, Any]:
        """Return the statistics under their names on the wire."""
        now, seen, spec = self._world.clock.now(), self.statistics, self.spec
        by_answers = isinstance(spec, ClosedLoad | SessionsLoad | TraceLoad)
        return {
            "target": str(spec.target),
            "shape": spec.shape,
            "preset": spec.preset,
            "state": self.state,
            "sent": seen.sent,
            "completed": seen.completed,
            "failed": seen.failed,
            "timed_out": seen.timed_out,
            "in_flight": seen.in_flight,
            "offered_rate": seen.sent_per_s(now) if by_answers else spec.rate,
            "sent_per_s": seen.sent_per_s(now),
            "ttft_p95_s": seen.ttft_p95_s(now),
            "completed_per_s": seen.completed_per_s(now),
            "last_error": seen.last_error,
            "traffic": self.sent.describe(),
        }

    async def _run(self) -> None:
        try:
            if isinstance(self.spec, ClosedLoad):
                works = calls(self.spec)
                await asyncio.gather(*(self._client(self.spec, n, works) for n in range(self.spec.concurrency)))
            else:
                await self._schedule()
            if self._open:
                await asyncio.wait(self._open)
            self.state = "done"
        except TraceError as error:
            self.state, self.statistics.last_error = "failed", str(error)

    async def _schedule(self) -> None:
        """Begin each arrival when it is due: one that is late is made up for, not added to every later one."""
        clock, began, count = self._world.clock, self._world.clock.now(), 0
        for arrival in arrivals(self.spec):
            if arrival is None:
                await clock.sleep(0)
                continue
            if count == self.spec.requests:
                return
            count += 1
            due = began + arrival.at_s
            if due > clock.now() or not count % _AT_ONCE:
                await clock.sleep(max(0.0, due - clock.now()))
            self._begin(arrival, clock.now() - due)

    def _begin(self, arrival: Arrival, late_s: float) -> None:
        self.sent.arrival(arrival)
        if len(self._open) >= self.spec.max_in_flight:
            self.sent.dropped += 1
            return
        work = arrival.work
        self.sent.begin(work, late_s=late_s)
        task = asyncio.create_task(self._converse(work) if isinstance(work, Session) else self._one(work))
        self._open.add(task)
        task.add_done_callback(self._open.discard)

    async def _client(self, spec: ClosedLoad, number: int, works: Iterator[Call]) -> None:
        """Ask, think, and ask again; whoever comes to the load's last request is the last to ask."""
        for think_s in _pauses(spec.think_s, spec.seed, number):
            if spec.requests is not None and self.statistics.sent >= spec.requests:
                return
            if await self._request(*self._asked(next(works))):
                await self._world.clock.sleep(think_s)
            else:
                await self._world.clock.sleep(max(think_s, _PAUSE_S))

    async def _one(self, call: Call) -> None:
        await self._request(*self._asked(call))

    def _asked(self, call: Call) -> tuple[list[Message], int, int]:
        """Return messages, prompt tokens and answer tokens of a request, cut to the context."""
        most = self.spec.context
        if most is not None and call.prompt_tokens + call.output_tokens > most:
            self.sent.cut += 1
            output = min(call.output_tokens, most - 1)
            prompt = min(call.prompt_tokens, most - output)
            system = call.system and (call.system[0], min(call.system[1], prompt - 1))
            call = replace(call, prompt_tokens=prompt, output_tokens=output, system=system)
        return self._texts.messages(call), call.prompt_tokens, call.output_tokens

    async def _converse(self, session: Session) -> None:
        """Send a conversation's calls one after the other, each with all that was said before."""
        said: list[Message] = []
        if session.system is not None:
            said.append({"role": "system", "content": self._texts.system(session.system, session.client)})
        lengths = zip(
            session.person.tolist(),
            session.new_tokens.tolist(),
            session.prompt_tokens().tolist(),
            session.output_tokens.tolist(),
            session.pauses_s.tolist(),
            strict=True,
        )
        for number, (person, new, prompt, output, pause_s) in enumerate(lengths):
            await self._world.clock.sleep(pause_s)
            if self.spec.context is not None and prompt + output > self.spec.context:
                self.sent.cut += 1
                return
            self.sent.turns += person
            said.append({"role": "user", "content": self._texts.piece(f"{session.number}.{number}", new)})
            answer = await self._request(said, prompt, output)
            if answer is None:
                self.sent.broken += 1
                return
            said.append({"role": "assistant", "content": answer.text})

    async def _request(self, messages: Sequence[Message], prompt_tokens: int, output_tokens: int) -> Stream | None:
        """Make one request; return the answer if it came whole."""
        seen, spec, clock = self.statistics, self.spec, self._world.clock
        seen.send(clock.now())
        self.sent.call(prompt_tokens, output_tokens)
        answer = Stream(self._world.stopwatch, keep=isinstance(spec, SessionsLoad))
        try:
            async with asyncio.timeout(spec.timeout_s):
                status = await self._exchange(messages, output_tokens, answer)
        except TimeoutError:
            seen.timed_out += 1
            seen.first_token(clock.now(), spec.timeout_s if answer.ttft_s is None else answer.ttft_s)
            return None
        except (OSError, HttpError) as error:
            seen.failed += 1
            seen.last_error = str(error) or type(error).__name__
            return None
        finally:
            seen.in_flight -= 1
        if status != _OK or not answer.complete or answer.ttft_s is None:
            seen.failed += 1
            refused = f"HTTP status {status}{': ' if answer.refusal else ''}{answer.refusal}"
            seen.last_error = refused if status != _OK else "the stream ended without an answer"
            if status == _NOT_FOUND:
                self._model = spec.model
            return None
        seen.first_token(clock.now(), answer.ttft_s)
        seen.complete(clock.now())
        return answer

    async def _exchange(self, messages: Sequence[Message], output_tokens: int, answer: Stream) -> int:
        url = self._world.resolve(self.spec.target)
        if url is None:
            raise HttpError(f"{self.spec.target} has no address")
        async with self._naming:
            if self._model is None:
                self._model = await self._world.model(url, self.spec.timeout_s)
            model = self._model
        answer.began = answer.now()
        return await self._world.ask(url, body(model, messages, output_tokens), answer)


def _pauses(think_s: Distribution, seed: int, client: int) -> Iterator[float]:
    rng = stream(seed, "think", str(client))
    while True:
        yield from think_s.draw(BLOCK, rng).tolist()
