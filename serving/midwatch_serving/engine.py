"""The engine: one loop that schedules a step, runs it in a thread, and hands out the tokens of the step before.

Scheduler, streams and metrics belong to the event loop; the thread sees copies only. So a request can be added or
aborted while a step runs: its blocks are free at once, and no one can be given them before the next step is scheduled.

Between two steps only what decides the next batch is done: booking tokens, ends of answers, the schedule. Turning
tokens into text and events happens while the next step computes. A stop string is looked for before the schedule all
the same, where a request has one, so that no step is computed for an answer that has ended.
"""

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from midwatch_contracts.clock import Clock
from midwatch_serving.constraints import Grammars
from midwatch_serving.errors import EngineDead
from midwatch_serving.gate import Gate
from midwatch_serving.metrics import Metrics
from midwatch_serving.sampling import Constraint, Sample, SamplingParams
from midwatch_serving.scheduler import Batch, Scheduler
from midwatch_serving.sequence import FinishReason, Sequence
from midwatch_serving.stream import Inbox, Output, Stream
from midwatch_serving.throttle import Throttle
from midwatch_serving.tokenizer import Tokenizer
from midwatch_serving.tracing import NoTracing, Tracing
from midwatch_serving.work import Executor, StepResult, Work, work_of

log = logging.getLogger("midwatch.serving")

QUIET_S = 5.0
"""Seconds between two log lines about preemptions."""


@dataclass
class _Booked:
    """A token that was booked and is not handed out yet."""

    stream: Stream
    sample: Sample
    text: str | None = None
    """The text it made certain, where it had to be known at once."""
    stop_reason: str | int | None = None


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
        tracing: Tracing | None = None,
        inline: bool = False,
    ) -> None:
        """With `inline` steps run in the event loop, for an executor that does not compute and so takes no time."""
        self.scheduler = scheduler
        self.tokenizer = tokenizer
        self.grammars = Grammars(tokenizer)
        self.gate = Gate()
        self.dead = False
        self.idle = asyncio.Event()
        """Set while there is no request."""
        self.idle.set()
        self._executor = executor
        self._metrics = metrics
        self._clock = clock
        self.throttle = throttle
        self._inline = inline
        self._tracing = NoTracing() if tracing is None else tracing
        self._streams: dict[str, Stream] = {}
        self._booked: list[_Booked] = []
        self._work = asyncio.Event()
        self._preempted = 0
        self._preempted_said = float("-inf")

    def submit(
        self,
        request_id: str,
        prompt: tuple[int, ...],
        params: SamplingParams,
        *,
        inbox: Inbox | None = None,
        index: int = 0,
        priority: int = 0,
        session_id: str | None = None,
        cache_salt: str | None = None,
        constraint: Constraint | None = None,
        score_from: int | None = None,
        promised: bool = False,
    ) -> Stream:
        """Queue a request and return its answer to come, into an `inbox` that several may share, under its `index`.

        Raises:
            RequestError: when it can never be served, or none is taken at present.
            EngineDead: when nothing can be served any more.
        """
        if self.dead:
            raise EngineDead("the engine stopped after an error: see the server's log, and restart it")
        self.gate.enter()
        sequence = Sequence(
            request_id,
            prompt,
            params,
            arrived=self._clock.now(),
            priority=priority,
            session_id=session_id,
            cache_salt=cache_salt,
            constraint=constraint,
            score_from=score_from,
        )
        self.scheduler.add(sequence, promised=promised)
        stream = self._streams[request_id] = Stream(sequence, self.tokenizer, inbox, index)
        self._tracing.submitted(sequence)
        self.idle.clear()
        self._work.set()
        return stream

    def abort(self, request_id: str) -> None:
        """End a request wherever it is and free its blocks; one that has ended already is left alone."""
        sequence = self.scheduler.get(request_id)
        if sequence is not None:
            self.scheduler.finish(sequence, "abort")
            self._close(self._streams[request_id])

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
                        if self.gate.held:
                            self._hand_out()
                        async with self.gate.step():
                            if self.scheduler.has_work:  # the last request may have gone while steps were held
                                await self._step(thread)
                    self._hand_out()
                    self.scheduler.check_integrity()
            finally:
                self.dead = True
                self._hand_out()
                for stream in list(self._streams.values()):
                    self.scheduler.finish(stream.sequence, "error")
                    self._close(stream)

    async def _step(self, thread: ThreadPoolExecutor) -> None:
        batch = self.scheduler.schedule()
        started = self._clock.now()
        work = work_of(batch)
        loop = asyncio.get_running_loop()
        computing = None if self._inline else loop.run_in_executor(thread, self._execute, work)
        self._metrics.scheduled(batch)
        self._say_preemptions(batch)
        self._hand_out()
        result = self._execute(work) if computing is None else await computing
        now = self._clock.now()
        ended = now if result.lasts_s is None else max(now, started + result.lasts_s)
        pause = ended - now + self.throttle.charge(result.cpu_s, started, ended)
        if pause > 0 or computing is None:
            await self._clock.sleep(pause)
        self._metrics.stepped(self._clock.now() - started, result.cpu_s)
        self._book(batch, result)

    def _execute(self, work: list[Work]) -> StepResult:
        return self._executor.execute(work)

    def _book(self, batch: Batch, result: StepResult) -> None:
        """Give the step's tokens to their sequences, and end those that they end."""
        samples = {c.sequence.id: s for c, s in zip(batch.chunks, result.samples, strict=True) if s is not None}
        for sequence in self.scheduler.complete(batch, result.tokens, result.scores):
            if sequence.score_from is None:
                self._booked.append(self._judge(self._streams[sequence.id], samples[sequence.id]))
        for index, chunk in enumerate(batch.chunks):
            sequence = chunk.sequence
            if sequence.score_from is None or sequence.id not in self._streams:
                continue
            found = result.score_logprobs.get(index, ())
            del sequence.logprobs[len(sequence.scores) - len(found) :]  # after a preemption they come once more
            sequence.logprobs += found
            if sequence.finish_reason is not None:
                self._close(self._streams[sequence.id])

    def _judge(self, stream: Stream, sample: Sample) -> _Booked:
        """End a sequence for what the scheduler does not know: stop tokens, its grammar, stop strings.

        A reason of these outranks `length`, when the last token is also the one that completes the answer.
        """
        sequence, booked = stream.sequence, _Booked(stream, sample)
        if sample.logprobs is not None:
            sequence.logprobs.append(sample.logprobs)
        params, constraint = sequence.params, sequence.constraint
        if sample.token in params.stop_token_ids and len(sequence.output) > params.min_tokens:
            booked.text, booked.stop_reason = "", sample.token
            self._finish(sequence, "stop")
            return booked
        if params.stop:
            detokenizer = stream.detokenizer
            booked.text = detokenizer.feed(sample.token)
            if detokenizer.stopped:
                booked.stop_reason = detokenizer.stopped_by
                self._finish(sequence, "stop")
        if constraint is not None and constraint.ended:
            self._finish(sequence, "stop" if constraint.error is None else "error")
        return booked

    def _finish(self, sequence: Sequence, reason: FinishReason) -> None:
        self.scheduler.finish(sequence, reason)
        sequence.finish_reason = reason

    def _hand_out(self) -> None:
        """Put what was booked into the inboxes, as text."""
        booked, self._booked = self._booked, []
        for b in booked:
            stream, sequence = b.stream, b.stream.sequence
            self._metrics.token(sequence)
            text = stream.detokenizer.feed(b.sample.token) if b.text is None else b.text
            logprobs = () if b.sample.logprobs is None else (b.sample.logprobs,)
            if sequence.finish_reason is not None:
                text += stream.detokenizer.flush()
                self._close(stream, Output(text, (b.sample.token,), logprobs, stop_reason=b.stop_reason))
                continue
            stream.inbox.put(Output(text, (b.sample.token,), logprobs, index=stream.index))
            if stream.inbox.full:
                log.warning("aborted %s: its client does not read", sequence.id)
                stream.inbox.drop(stream.index)
                self.abort(sequence.id)

    def _close(self, stream: Stream, last: Output | None = None) -> None:
        """Put the last piece of a sequence that has ended."""
        sequence = stream.sequence
        self._metrics.finished(sequence)
        self._tracing.finished(sequence)
        del self._streams[sequence.id]
        last = Output("") if last is None else last
        error = None if sequence.constraint is None else sequence.constraint.error
        stream.inbox.put(
            Output(
                last.text, last.token_ids, last.logprobs, sequence.finish_reason, last.stop_reason, stream.index, error
            )
        )
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
