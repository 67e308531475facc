"""Continuous batching under two limits, over paged blocks, with preemption by recompute (Orca, vLLM).

Pure: it reads the time from its clock, and does nothing else with the world. Who goes first and who gives way is the
policy's (`policies`); what is taken at all is decided in `admission`; blocks and cached prefixes are the block
manager's. Both queues are kept in the order of service, and nobody who waits overtakes the first of the queue. A
sequence starts once there is room for all its tokens so far (vLLM's `scheduler_reserve_full_isl`). Blocks for what it
will generate are taken as it grows; when they run out, a victim gives up its blocks and later computes its tokens
again, or finds them in the prefix cache.

A new step is chosen only after the one before was booked with `complete` or `complete_steps`. In between, sequences may
be added and finished: what a step computes for one that is gone is dropped.

Seams for mechanisms that are not here: speculative decoding gives a decoding sequence a `count` above 1 in `schedule`
and takes several tokens a chunk in `_book`; swapping puts its choice beside `_preempt`; pins with a time to live hold
blocks back in `PrefixCache.evict`; offline work is a policy whose `rank` puts it last and whose `victim` takes it
first; adapters join `root_hash` and a limit in `_admit`.
"""

from bisect import bisect_left, insort
from collections.abc import Mapping
from dataclasses import replace
from operator import attrgetter
from typing import Any

from midwatch_contracts.clock import Clock
from midwatch_serving.admission import check_length, check_room
from midwatch_serving.batch import Batch, Chunk
from midwatch_serving.block_manager import BlockManager
from midwatch_serving.errors import IntegrityError, QueueFull, RequestError
from midwatch_serving.horizon import check_steps, grow_and_register, steps_ahead
from midwatch_serving.integrity import check_queues
from midwatch_serving.limits import Limits
from midwatch_serving.policies import RESERVATIONS, SchedulingPolicy, scheduling_policy
from midwatch_serving.sequence import FinishReason, Sequence, State
from midwatch_serving.waiting_queue import WaitingQueue

__all__ = ["Batch", "Chunk", "Limits", "Scheduler"]

_rank = attrgetter("rank")
_chunk_rank = attrgetter("sequence.rank")
_NO_SCORES: Mapping[int, tuple[float, ...]] = {}


class Scheduler:
    """Decides what each step computes."""

    def __init__(
        self,
        blocks: BlockManager,
        limits: Limits,
        *,
        max_model_len: int,
        clock: Clock,
        eos: frozenset[int] = frozenset(),
        reservation: str = "as_it_grows",
    ) -> None:
        self.blocks = blocks
        self.limits = limits
        self.max_model_len = max_model_len
        self.running: list[Sequence] = []
        self.waiting = WaitingQueue()
        self.rejections = {"max_num_queued_reqs": 0, "max_num_queued_tokens": 0}
        """Requests refused because too much was queued, by the limit (`vllm:admission_rejections`)."""
        self.num_prefill_tokens = 0
        """Prompt tokens of the requests that have no token yet."""
        self._policy: SchedulingPolicy = scheduling_policy(limits.scheduling_policy)
        self._reservation = RESERVATIONS[reservation]
        self._clock = clock
        self._eos = eos
        self._arrivals = 0
        self._by_id: dict[str, Sequence] = {}

    @property
    def has_work(self) -> bool:
        """Whether any sequence runs or waits."""
        return bool(self._by_id)

    @property
    def capacity(self) -> int:
        """Tokens, prompt and output, that one request can have at most."""
        return min(self.max_model_len, self.blocks.num_blocks * self.blocks.block_size + 1)

    def add(self, sequence: Sequence, *, promised: bool = False) -> None:
        """Queue a new sequence; one that was `promised` room by `check_room` comes in however full it is by now.

        Raises:
            RequestError: when it could not be served even alone, or its id is taken.
            QueueFull: when too much is queued.
        """
        if sequence.id in self._by_id:
            raise RequestError(f"a request with the id {sequence.id} is being served already", param="id")
        room = max(sequence.most_cached, self._reservation.tokens(sequence, self.max_model_len))
        check_length(
            sequence,
            self.blocks.blocks_for(room),
            max_model_len=self.max_model_len,
            num_blocks=self.blocks.num_blocks,
            block_size=self.blocks.block_size,
        )
        self._policy.check(sequence)
        if not promised:
            self.check_room()
        self._arrivals += 1
        sequence.order = self._arrivals
        sequence.rank = self._policy.rank(sequence)
        self._by_id[sequence.id] = sequence
        self.waiting.push(sequence)
        self.num_prefill_tokens += len(sequence.prompt)

    def check_room(self, new: int = 1) -> None:
        """Refuse `new` requests while too much is queued, and count the refusal; all of them or none.

        Raises:
            QueueFull: names the limit.
        """
        try:
            check_room(self.limits, new=new, requests=len(self._by_id), tokens=self.num_prefill_tokens)
        except QueueFull as refusal:
            self.rejections[refusal.reason] += 1
            raise

    def get(self, sequence_id: str) -> Sequence | None:
        """Return a sequence that runs or waits."""
        return self._by_id.get(sequence_id)

    def sequences(self) -> list[Sequence]:
        """Return those that run, then those that wait, each in the order of service."""
        return [*self.running, *self.waiting]

    def set_limits(self, **changes: Any) -> None:
        """Change limits (fields of `Limits`) from the next step on. Nobody who runs is stopped by a lower one.

        Raises:
            ConfigError: when there is no such policy.
        """
        limits = replace(self.limits, **changes)
        policy = scheduling_policy(limits.scheduling_policy)
        if policy is not self._policy:
            self._policy = policy
            for sequence in self.running:
                sequence.rank = policy.rank(sequence)
            self.running.sort(key=_rank)
            self.waiting.rank_anew(policy.rank)
        self.limits = limits

    def reset_prefix_cache(self, *, reset_running_requests: bool = False) -> bool:
        """Forget every cached prefix; return False, and forget nothing, while anyone holds blocks.

        With `reset_running_requests`, those that run are preempted first (vLLM's parameter): call it between steps.
        """
        if reset_running_requests:
            while self.running:
                self._preempt(self.running[-1])
        return self.blocks.reset()

    def schedule(self) -> Batch:
        """Choose the tokens of the next step: first what runs, then, with what is left of the budget, what waits."""
        batch = Batch()
        budget, most = self.limits.max_num_batched_tokens, self.limits.long_prefill_token_threshold
        running, block_size, chunks = self.running, self.blocks.block_size, batch.chunks
        index = 0
        while index < len(running) and budget:
            sequence = running[index]
            start = sequence.num_computed
            left = len(sequence.prompt) + len(sequence.output) - start
            count = left if left == 1 else min(left, budget, most or left)
            end = start + count
            if end > len(sequence.block_table) * block_size and not self._make_room(index, end, batch):
                continue  # it gave way itself: another stands at its place
            chunks.append(Chunk(sequence, start, count, count == left and sequence.score_from is None))
            budget -= count
            index += 1
        if budget and self.waiting and not batch.preempted:
            self._admit(batch, budget)
        if not chunks and self._by_id:
            raise IntegrityError("there is work and none of it can be scheduled, though each fits alone")
        return batch

    def complete(
        self, batch: Batch, tokens: list[int], scores: Mapping[int, tuple[float, ...]] = _NO_SCORES
    ) -> list[Sequence]:
        """Book the step's result: `tokens[i]` is the token chosen for `batch.chunks[i]` (ignored where none was due).

        `scores` holds, by index of the chunk, what a scoring request is given. Returns the sequences that got a token
        or ended, in the order of the batch. A sequence that ended while the step ran is passed over.
        """
        return self._book(batch, tokens, scores, self._clock.now())

    def horizon(self, batch: Batch) -> int:
        """Return for how many steps, this one included, the batch stays what it is.

        That is a set of one-token decodes: nobody computes a prompt, nobody who waits can be admitted, nobody reaches
        `max_tokens` before the last of these steps, and the free blocks suffice. It holds unless a request arrives, is
        aborted, or samples an end token before. Ask right after `schedule`; O(batch).
        """
        limits, candidate = self.limits, None
        # What a running sequence files, someone who waits may find: one block less to take. But where sequences grow,
        # the one that has filled a block takes the next at once, so that room for blocks is no greater than before.
        hits_help = self.waiting and not (limits.enable_chunked_prefill and self._reservation.grows)
        if hits_help and len(self.running) < limits.max_num_seqs and len(batch.chunks) < limits.max_num_batched_tokens:
            candidate = self.waiting.first
        return steps_ahead(batch, self.blocks, candidate)

    def complete_steps(self, batch: Batch, tokens: list[list[int]], times: list[float]) -> list[Sequence]:
        """Book up to `horizon(batch)` steps at once: `tokens[step][i]` for `batch.chunks[i]`, `times` when each ended.

        The outcome equals that of `schedule` and `complete` step by step. Returns as `complete`.

        Raises:
            IntegrityError: when the steps go beyond the horizon; nothing is booked then.
        """
        if len(tokens) > 1:
            columns = check_steps(batch, tokens, times, self._eos)
            grow_and_register(batch, columns, self.blocks)
            for chunk in batch.chunks:
                sequence = chunk.sequence
                if sequence.state is State.RUNNING:
                    if sequence.last_token is None:
                        self._first_token(sequence, times[0])
                    sequence.last_token = times[-2]
            batch = Batch([Chunk(c.sequence, c.start + len(tokens) - 1, 1, samples=True) for c in batch.chunks])
        return self._book(batch, tokens[-1], _NO_SCORES, times[-1])

    def finish(self, sequence: Sequence, reason: FinishReason, at: float | None = None) -> None:
        """End a sequence wherever it is and free its blocks; ending it twice does nothing.

        `at` is when, in Unix seconds; by default it is now.
        """
        if sequence.state is State.FINISHED:
            return
        if sequence.state is State.RUNNING:
            self._stop_running(sequence)
        else:
            self.waiting.remove(sequence)
        if sequence.first_token is None:
            self.num_prefill_tokens -= len(sequence.prompt)
        self.blocks.free(sequence)
        del self._by_id[sequence.id]
        sequence.state = State.FINISHED
        sequence.finish_reason = reason
        sequence.finished = self._clock.now() if at is None else at

    def check_integrity(self) -> None:
        """Check that blocks, queues and sequences agree.

        Raises:
            IntegrityError: says what does not.
        """
        everyone = self.sequences()
        self.blocks.check_integrity(everyone)
        self.waiting.check_integrity()
        check_queues(self.running, list(self.waiting), set(self._by_id), self._policy, self.blocks)
        if self.num_prefill_tokens != sum(len(s.prompt) for s in everyone if s.first_token is None):
            raise IntegrityError("the prompt tokens that wait are miscounted")

    def _make_room(self, index: int, num_tokens: int, batch: Batch) -> bool:
        sequence = self.running[index]
        while not self.blocks.grow(sequence, num_tokens):
            victim = self._policy.victim(self.running[index:])
            self._preempt(victim)
            batch.preempted.append(victim)
            if victim is sequence:
                return False
        return True

    def _preempt(self, victim: Sequence) -> None:
        self._stop_running(victim)
        self.blocks.free(victim)
        victim.num_computed = 0
        victim.scores.clear()  # they are computed again
        victim.preemptions += 1
        victim.state = State.WAITING
        self.waiting.push(victim)

    def _stop_running(self, sequence: Sequence) -> None:
        del self.running[bisect_left(self.running, sequence.rank, key=_rank)]

    def _admit(self, batch: Batch, budget: int) -> None:
        limits, blocks = self.limits, self.blocks
        most = limits.long_prefill_token_threshold
        while self.waiting and budget and len(self.running) < limits.max_num_seqs:
            sequence = self.waiting.first
            cached = blocks.prefix.match(sequence)
            room = self._reservation.tokens(sequence, self.max_model_len)
            spare = int(limits.watermark * blocks.num_blocks) if self.running else 0
            if not blocks.fits(room, cached, spare=spare):
                break
            start = len(cached) * blocks.block_size
            left = sequence.num_tokens - start
            count = min(left, budget, most or left)
            if count < left and not limits.enable_chunked_prefill:
                break
            self.waiting.pop()
            blocks.take(sequence, room, cached)
            sequence.num_computed = start
            sequence.state = State.RUNNING
            insort(self.running, sequence, key=_rank)
            if sequence.first_scheduled is None:
                self._first_scheduled(sequence, batch)
            batch.chunks.append(Chunk(sequence, start, count, count == left and sequence.score_from is None))
            budget -= count
            if self.running[-1] is not sequence:  # it goes before others: the next step will have it there too
                batch.chunks.sort(key=_chunk_rank)

    def _first_scheduled(self, sequence: Sequence, batch: Batch) -> None:
        sequence.first_scheduled = self._clock.now()
        sequence.num_cached = sequence.num_computed
        batch.admitted.append(sequence)
        if self.blocks.prefix.enabled:
            self.blocks.prefix.queries += sequence.num_tokens
            self.blocks.prefix.hits += sequence.num_cached

    def _book(
        self, batch: Batch, tokens: list[int], scores: Mapping[int, tuple[float, ...]], now: float
    ) -> list[Sequence]:
        grown: list[Sequence] = []
        block_size, prefix, caches = self.blocks.block_size, self.blocks.prefix, self.blocks.prefix.enabled
        for index, (chunk, token) in enumerate(zip(batch.chunks, tokens, strict=True)):
            sequence, start = chunk.sequence, chunk.start
            if sequence.state is not State.RUNNING:
                continue
            end = sequence.num_computed = start + chunk.count
            if caches and end // block_size != start // block_size:
                prefix.register(sequence, start // block_size, end // block_size)
            if chunk.samples:
                sequence.output.append(token)
                if sequence.last_token is None:
                    self._first_token(sequence, now)
                else:
                    sequence.token_gap = now - sequence.last_token
                sequence.last_token = now
                grown.append(sequence)
                reason = sequence.end(self._eos)
                if reason is not None:
                    self.finish(sequence, reason, now)
            elif sequence.score_from is not None:
                sequence.scores.extend(scores.get(index, ()))
                if end == len(sequence.prompt):
                    grown.append(sequence)
                    self.finish(sequence, "stop", now)
        return grown

    def _first_token(self, sequence: Sequence, now: float) -> None:
        sequence.first_token = now
        self.num_prefill_tokens -= len(sequence.prompt)
