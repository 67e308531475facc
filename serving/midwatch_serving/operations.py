"""What an operator does to a running engine: pause, sleep, drain, reset and cancel.

Meanings as vLLM's. Requests under way are aborted (`abort`), finished first (`wait`), or kept in the queue with their
tokens (`keep`); kept ones give up their blocks and go on, after the wake-up, to the very tokens they would have had.
Everything belongs to the event loop; one operation runs at a time, and none on an engine that is dead (EngineDead).
"""

import asyncio
import logging
from collections.abc import Sequence as Items
from dataclasses import dataclass
from typing import Literal, Protocol

from midwatch_contracts.clock import Clock
from midwatch_serving.engine import Engine
from midwatch_serving.errors import EngineDead, RequestError, ServingError

log = logging.getLogger("midwatch.serving")

Mode = Literal["abort", "wait", "keep"]
MODES: tuple[Mode, ...] = ("abort", "wait", "keep")
SLEEP_STATES = ("awake", "weights_offloaded", "discard_all")
"""By level of sleep, 0 being awake; vLLM's names."""


class Sleeper(Protocol):
    """What can give memory back: `SleepableExecutor`."""

    levels: tuple[int, ...]

    def sleep(self, level: int) -> None:
        """Give memory back, between steps."""
        ...

    def wake_up(self) -> None:
        """Take it again; called in a thread."""
        ...


@dataclass(frozen=True)
class Drain:
    """A drain under way. `deadline` in Unix seconds: what runs then is aborted; None waits for ever."""

    grace_s: float | None
    deadline: float | None


class Operations:
    """The states that an operator puts the engine in."""

    def __init__(self, engine: Engine, clock: Clock, sleeper: Sleeper | None = None) -> None:
        self.level = 0
        """Level of sleep, 0 while awake."""
        self.drain: Drain | None = None
        self._engine = engine
        self._clock = clock
        self._sleeper = sleeper
        self._settling = False
        self._one = asyncio.Lock()
        self._deadline: asyncio.Task[None] | None = None

    @property
    def is_sleeping(self) -> bool:
        """Whether memory is given back."""
        return self.level > 0

    @property
    def is_paused(self) -> bool:
        """Whether no step runs, asleep or paused."""
        return self._engine.gate.held

    async def pause(self, mode: Mode = "abort", *, clear_cache: bool = True) -> None:
        """Hold steps. New requests wait; unless they are kept, or `clear_cache` is off, cached prefixes are forgotten.

        Raises:
            RequestError: 409 while asleep.
        """
        async with self._one:
            if self.is_sleeping:
                raise RequestError("the engine is asleep: wake it first", status=409, code="asleep")
            await self._settle(mode)
            if clear_cache and mode != "keep":
                self._engine.scheduler.reset_prefix_cache()

    async def resume(self) -> None:
        """Let steps run again.

        Raises:
            RequestError: 409 while asleep.
        """
        async with self._one:
            if self.is_sleeping:
                raise RequestError("the engine is asleep: wake it with POST /wake_up", status=409, code="asleep")
            self._engine.gate.release()

    async def sleep(self, level: int = 1, mode: Mode = "abort") -> None:
        """Give back the KV cache (level 1), and the weights (level 2); level 0 only pauses. New requests are refused.

        Raises:
            RequestError: 501 where the executor cannot; 409 when it sleeps at another level already, or `wait` is
                asked for while paused.
        """
        if level == 0:
            await self.pause(mode)
            return
        async with self._one:
            if self._sleeper is None or level not in self._sleeper.levels:
                raise RequestError(f"this server's executor has no sleep of level {level}", status=501)
            if self.level == level:
                return
            if self.is_sleeping:
                raise RequestError(f"the engine sleeps at level {self.level}: wake it first", status=409, code="asleep")
            await self._settle(mode)
            self._engine.scheduler.reset_prefix_cache(reset_running_requests=True)
            self._sleeper.sleep(level)
            self.level = level
            self._refuse_or_not()
            log.info("asleep at level %d (%s)", level, SLEEP_STATES[level])

    async def wake_up(self) -> None:
        """Take the memory again and let steps run; awake already, it only ends a pause.

        Raises:
            RequestError: 503 when the weights cannot be loaded again.
        """
        async with self._one:
            self._check_alive()
            if self._sleeper is not None and self.is_sleeping:
                try:
                    await asyncio.to_thread(self._sleeper.wake_up)
                except ServingError as error:
                    raise RequestError(f"still asleep, for it cannot wake: {error}", status=503) from error
                log.info("awake again")
            self.level = 0
            self._refuse_or_not()
            self._engine.gate.release()

    async def reset_prefix_cache(self, *, reset_running_requests: bool = False) -> bool:
        """Forget every cached prefix, between two steps; False, and nothing forgotten, while requests hold blocks.

        With `reset_running_requests` those are preempted, and compute their tokens again.
        """
        async with self._one:
            held = self._engine.gate.held
            await self._engine.gate.hold()
            try:
                return self._engine.scheduler.reset_prefix_cache(reset_running_requests=reset_running_requests)
            finally:
                if not held:
                    self._engine.gate.release()

    def start_drain(self, grace_s: float | None = None) -> None:
        """Refuse new requests and let the others finish; abort what is left after `grace_s` seconds.

        Asked again, the later grace counts.
        """
        self._end_deadline()
        deadline = None if grace_s is None else self._clock.now() + grace_s
        self.drain = Drain(grace_s, deadline)
        self._refuse_or_not()
        log.info("draining: %d request(s) under way", len(self._engine.scheduler.sequences()))
        if grace_s is not None:
            self._deadline = asyncio.create_task(self._abort_after(grace_s), name="drain")

    def end_drain(self) -> None:
        """Take new requests again."""
        self._end_deadline()
        self.drain = None
        self._refuse_or_not()

    def cancel(self, ids: Items[str] | None = None) -> tuple[list[str], list[str]]:
        """Abort the requests of these ids, or all; return those cancelled, and those that were not there."""
        scheduler = self._engine.scheduler
        wanted = [sequence.id for sequence in scheduler.sequences()] if ids is None else list(dict.fromkeys(ids))
        there = [request_id for request_id in wanted if scheduler.get(request_id) is not None]
        for request_id in there:
            self._engine.abort(request_id)
        return there, [request_id for request_id in wanted if request_id not in set(there)]

    async def _settle(self, mode: Mode) -> None:
        """End or keep what is under way as `mode` says, then hold steps. New requests are refused meanwhile."""
        self._check_alive()
        if mode == "wait" and self.is_paused and self._engine.scheduler.has_work:
            raise RequestError("requests cannot finish while paused: resume first, or use mode=keep", status=409)
        self._settling = True
        self._refuse_or_not()
        try:
            if mode == "abort":
                self._engine.abort_all()
            elif mode == "wait":
                await self._engine.idle.wait()
            await self._engine.gate.hold()
        finally:
            self._settling = False
            self._refuse_or_not()

    def _check_alive(self) -> None:
        if self._engine.dead:
            raise EngineDead("the engine stopped after an error: see the server's log, and restart it")

    def _refuse_or_not(self) -> None:
        gate = self._engine.gate
        if self.drain is not None:
            gate.refusal = "the server is draining: ask another replica, or undo it with DELETE /admin/drain"
        elif self.is_sleeping:
            gate.refusal = f"the engine is asleep (level {self.level}): wake it with POST /wake_up"
        elif self._settling:
            gate.refusal = "the engine is being paused: try again in a moment"
        else:
            gate.refusal = None

    async def _abort_after(self, grace_s: float) -> None:
        await self._clock.sleep(grace_s)
        aborted = self._engine.abort_all()
        if aborted:
            log.warning("drained: aborted %d request(s) that were not finished in time", aborted)

    def _end_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
