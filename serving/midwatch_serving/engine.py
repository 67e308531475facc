"""The engine: one loop that schedules a step, runs it in a thread, and hands out the tokens.

Scheduler, streams and metrics belong to the event loop; the thread sees copies only. So a request can be added or
aborted while a step runs: its blocks are free at once, and no one can be given them before the next step is scheduled.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from midwatch_contracts.clock import Clock
from midwatch_serving.detokenizer import Detokenizer
from midwatch_serving.errors import EngineDead
from midwatch_serving.gate import Gate
from midwatch_serving.metrics import Metrics
from midwatch_serving.sampling import SamplingParams
from midwatch_serving.scheduler import Batch, Scheduler
from midwatch_serving.sequence import FinishReason, Sequence
from midwatch_serving.throttle import Throttle
from midwatch_serving.tokenizer import Tokenizer
from midwatch_serving.work import Executor, StepResult, Work, work_of

log = logging.getLogger("midwatch.serving")

QUIET_S = 5.0
"""Seconds between two log lines about preemptions."""


@dataclass(frozen=True)
class Output:
    """A piece of an answer. `tokens` generated since the piece before; `finish_reason` on the last one."""

    text: str
    tokens: int
    finish_reason: FinishReason | None = None


class Stream:
    """The answer to one request, piece by piece; ends after the piece that carries a finish reason."""

    def __init__(self, sequence: Sequence, tokenizer: Tokenizer) -> None:
        self.sequence = sequence
        self.detokenizer = Detokenizer(tokenizer, sequence.params.stop, sequence.params.min_tokens)
        self._pieces: asyncio.Queue[Output] = asyncio.Queue()

    def put(self, piece: Output) -> None:
        """Add a piece."""
        self._pieces.put_nowait(piece)

    async def __aiter__(self) -> AsyncIterator[Output]:
        while True:
            piece = await self._pieces.get()
            if piece.finish_reason == "error":
                raise EngineDead("the engine stopped while it served this request: see the server's log")
            yield piece
            if piece.finish_reason is not None:
                return


class Engine:
    """Serves requests until it is cancelled, or dies of an error of its own."""

    def __init__(
        self,
        scheduler: Scheduler,
        executor: Executor,
        tokenizer: Tokenizer,
        *,
        metrics: Metrics,
        clock: Clock,
        throttle: Throttle,
    ) -> None:
        self.scheduler = scheduler
        self.tokenizer = tokenizer
        self.gate = Gate()
        self.dead = False
        self.idle = asyncio.Event()
        """Set while there is no request."""
        self.idle.set()
        self._executor = executor
        self._metrics = metrics
        self._clock = clock
        self._throttle = throttle
        self._streams: dict[str, Stream] = {}
        self._work = asyncio.Event()
        self._preempted = 0
        self._preempted_said = float("-inf")

    def submit(self, request_id: str, prompt: tuple[int, ...], params: SamplingParams) -> Stream:
        """Queue a request and return its answer to come.

        Raises:
            RequestError: when it can never be served, or none is taken at present.
            EngineDead: when nothing can be served any more.
        """
        if self.dead:
            raise EngineDead("the engine stopped after an error: see the server's log, and restart it")
        self.gate.enter()
        sequence = Sequence(request_id, prompt, params, arrived=self._clock.now())
        self.scheduler.add(sequence)
        stream = self._streams[request_id] = Stream(sequence, self.tokenizer)
        self.idle.clear()
        self._work.set()
        return stream

    def abort(self, request_id: str) -> None:
        """End a request wherever it is and free its blocks; one that has ended already is left alone."""
        sequence = self.scheduler.get(request_id)
        if sequence is not None:
            self.scheduler.finish(sequence, "abort")
            self._end(sequence, text="", tokens=0)

    def abort_all(self) -> int:
        """End every request; return how many there were."""
        everyone = self.scheduler.sequences()
        for sequence in everyone:
            self.abort(sequence.id)
        return len(everyone)

    async def run(self) -> None:
        """Serve. Raises what killed the engine, after every open request was told."""
        with ThreadPoolExecutor(1, thread_name_prefix="step") as thread:
            try:
                while True:
                    await self._work.wait()
                    self._work.clear()
                    while self.scheduler.has_work:
                        async with self.gate.step():
                            if self.scheduler.has_work:  # the last request may have gone while steps were held
                                await self._step(thread)
                    self.scheduler.check_integrity()
            finally:
                self.dead = True
                for stream in list(self._streams.values()):
                    self.scheduler.finish(stream.sequence, "error")
                    self._end(stream.sequence, text="", tokens=0)

    async def _step(self, thread: ThreadPoolExecutor) -> None:
        batch = self.scheduler.schedule()
        self._metrics.scheduled(batch)
        self._say_preemptions(batch)
        started = self._clock.now()
        result = await asyncio.get_running_loop().run_in_executor(thread, self._execute, work_of(batch))
        await self._clock.sleep(self._throttle.charge(result.cpu_s, started, self._clock.now()))
        for sequence in self.scheduler.complete(batch, result.tokens):
            self._deliver(sequence)

    def _execute(self, work: list[Work]) -> StepResult:
        return self._executor.execute(work)

    def _deliver(self, sequence: Sequence) -> None:
        self._metrics.token(sequence)
        detokenizer = self._streams[sequence.id].detokenizer
        text = detokenizer.feed(sequence.output[-1])
        if detokenizer.stopped:
            if sequence.finish_reason is None:
                self.scheduler.finish(sequence, "stop")
            sequence.finish_reason = "stop"
        if sequence.finish_reason is None:
            self._streams[sequence.id].put(Output(text, tokens=1))
        else:
            self._end(sequence, text=text + detokenizer.flush(), tokens=1)

    def _end(self, sequence: Sequence, *, text: str, tokens: int) -> None:
        self._metrics.finished(sequence)
        self._streams.pop(sequence.id).put(Output(text, tokens, sequence.finish_reason))
        if not self._streams:
            self.idle.set()

    def _say_preemptions(self, batch: Batch) -> None:
        self._preempted += len(batch.preempted)
        now = self._clock.now()
        if self._preempted and now - self._preempted_said >= QUIET_S:
            log.warning(
                "preempted %d request(s): no free KV block, %d of %d in use",
                self._preempted,
                self.scheduler.blocks.num_blocks - self.scheduler.blocks.num_free,
                self.scheduler.blocks.num_blocks,
            )
            self._preempted, self._preempted_said = 0, now
