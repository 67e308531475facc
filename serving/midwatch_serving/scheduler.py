"""Continuous batching under two limits, over paged blocks, with preemption by recompute.

Pure: it reads the time from its clock, and does nothing else with the world. The order of service is that of arrival;
every running sequence arrived before every waiting one, which `check_integrity` holds. Admission looks at the free
blocks as vLLM does with `scheduler_reserve_full_isl`: a sequence starts once the blocks for all its tokens so far are
free. Blocks for what it will generate are taken as it grows; when they run out, the latest arrival gives up its blocks
and later computes its tokens again.

Policies that issue 4 adds come in here: `_admit` is where a queue order or an early rejection would choose, `_victim`
where a priority would.
"""

from bisect import insort
from collections import deque
from dataclasses import dataclass, field, replace

from midwatch_contracts.clock import Clock
from midwatch_serving.block_manager import BlockManager
from midwatch_serving.errors import IntegrityError, RequestError
from midwatch_serving.sequence import FinishReason, Sequence, State


@dataclass(frozen=True)
class Limits:
    """What may be changed while it runs. Both under vLLM's names."""

    max_num_seqs: int
    max_num_batched_tokens: int


@dataclass(frozen=True)
class Chunk:
    """`count` tokens of a sequence from position `start` on, computed in one step."""

    sequence: Sequence
    start: int
    count: int
    samples: bool
    """Whether these are the last tokens there are, so that the next one can be chosen."""


@dataclass
class Batch:
    """What one step computes, oldest sequence first, and who lost its blocks to make room."""

    chunks: list[Chunk] = field(default_factory=list[Chunk])
    preempted: list[Sequence] = field(default_factory=list[Sequence])
    admitted: list[Sequence] = field(default_factory=list[Sequence])
    """Those scheduled for the first time."""

    @property
    def num_tokens(self) -> int:
        """Tokens computed in this step."""
        return sum(chunk.count for chunk in self.chunks)


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
    ) -> None:
        self.blocks = blocks
        self.limits = limits
        self.max_model_len = max_model_len
        self.running: list[Sequence] = []
        self.waiting: deque[Sequence] = deque()
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

    def add(self, sequence: Sequence) -> None:
        """Queue a new sequence.

        Raises:
            RequestError: when it could not be served even alone, or its id is taken.
        """
        if sequence.id in self._by_id:
            raise RequestError(f"a request with the id {sequence.id} is being served already", param="id")
        if not sequence.prompt:
            raise RequestError("the prompt is empty: send at least one message", param="messages")
        asked = len(sequence.prompt) + sequence.params.max_tokens
        tokens = f"{len(sequence.prompt)} prompt tokens and max_tokens={sequence.params.max_tokens}"
        if asked > self.max_model_len:
            raise RequestError(
                f"{tokens} make {asked} tokens; the model takes {self.max_model_len} at most (max_model_len): "
                "shorten the messages or lower max_tokens",
                param="messages",
                code="context_length_exceeded",
            )
        need = self.blocks.blocks_for(sequence.most_cached)
        if need > self.blocks.num_blocks:
            raise RequestError(
                f"{tokens} need {need} KV blocks of {self.blocks.block_size} tokens; this server has "
                f"{self.blocks.num_blocks} in all (num_gpu_blocks_override): shorten the messages, lower max_tokens "
                "or give the server more blocks",
                param="messages",
                code="context_length_exceeded",
            )
        self._arrivals += 1
        sequence.order = self._arrivals
        self._by_id[sequence.id] = sequence
        self.waiting.append(sequence)

    def get(self, sequence_id: str) -> Sequence | None:
        """Return a sequence that runs or waits."""
        return self._by_id.get(sequence_id)

    def sequences(self) -> list[Sequence]:
        """Return those that run, then those that wait, each oldest first."""
        return [*self.running, *self.waiting]

    def set_limits(self, **changes: int) -> None:
        """Change limits from the next step on. Running sequences are not stopped by a lower `max_num_seqs`."""
        self.limits = replace(self.limits, **changes)

    def schedule(self) -> Batch:
        """Choose the tokens of the next step: first what runs, then, with what is left of the budget, what waits."""
        batch = Batch()
        budget = self.limits.max_num_batched_tokens
        for sequence in list(self.running):
            if budget == 0:
                break
            if sequence.state is not State.RUNNING:
                continue  # an older one took its blocks a moment ago
            count = min(sequence.num_tokens - sequence.num_computed, budget)
            if self._make_room(sequence, sequence.num_computed + count, batch):
                batch.chunks.append(self._chunk(sequence, count))
                budget -= count
        if not batch.preempted:
            self._admit(batch, budget)
        if self.has_work and not batch.chunks:
            raise IntegrityError("there is work and none of it can be scheduled, though each fits alone")
        return batch

    def complete(self, batch: Batch, tokens: list[int]) -> list[Sequence]:
        """Book the step's result: `tokens[i]` is the token chosen for `batch.chunks[i]` (ignored where none was due).

        Returns the sequences that got a token, those that it ended among them. A sequence that was aborted while the
        step ran is passed over.
        """
        now = self._clock.now()
        grown: list[Sequence] = []
        for chunk, token in zip(batch.chunks, tokens, strict=True):
            sequence = chunk.sequence
            if sequence.state is not State.RUNNING:
                continue
            sequence.num_computed = chunk.start + chunk.count
            if not chunk.samples:
                continue
            sequence.output.append(token)
            if sequence.last_token is None:
                sequence.first_token = now
            else:
                sequence.token_gap = now - sequence.last_token
            sequence.last_token = now
            grown.append(sequence)
            params = sequence.params
            if token in self._eos and not params.ignore_eos and len(sequence.output) > params.min_tokens:
                self.finish(sequence, "stop")
            elif len(sequence.output) >= params.max_tokens:
                self.finish(sequence, "length")
        return grown

    def finish(self, sequence: Sequence, reason: FinishReason) -> None:
        """End a sequence wherever it is and free its blocks; ending it twice does nothing."""
        if sequence.state is State.FINISHED:
            return
        (self.running if sequence.state is State.RUNNING else self.waiting).remove(sequence)
        self.blocks.free(sequence)
        del self._by_id[sequence.id]
        sequence.state = State.FINISHED
        sequence.finish_reason = reason
        sequence.finished = self._clock.now()

    def check_integrity(self) -> None:
        """Check that blocks, queues and sequences agree.

        Raises:
            IntegrityError: says what does not.
        """
        everyone = self.sequences()
        self.blocks.check_integrity(everyone)
        if {s.id for s in everyone} != set(self._by_id) or len(everyone) != len(self._by_id):
            raise IntegrityError("a sequence is in two queues, or in none")
        if [s.order for s in everyone] != sorted(s.order for s in everyone):
            raise IntegrityError("a sequence runs or waits before one that arrived earlier")
        for s in self.running:
            if s.state is not State.RUNNING or len(s.block_table) < self.blocks.blocks_for(s.num_computed):
                raise IntegrityError(f"{s.id} runs in state {s.state.value} with {len(s.block_table)} blocks")
        for s in self.waiting:
            if s.state is not State.WAITING or s.block_table or s.num_computed:
                raise IntegrityError(f"{s.id} waits in state {s.state.value} and holds {len(s.block_table)} blocks")

    def _make_room(self, sequence: Sequence, num_tokens: int, batch: Batch) -> bool:
        while not self.blocks.grow(sequence, num_tokens):
            victim = self._victim()
            self._preempt(victim)
            batch.preempted.append(victim)
            if victim is sequence:
                return False
        return True

    def _victim(self) -> Sequence:
        return self.running[-1]

    def _preempt(self, victim: Sequence) -> None:
        self.running.remove(victim)
        self.blocks.free(victim)
        victim.num_computed = 0
        victim.preemptions += 1
        victim.state = State.WAITING
        self.waiting.appendleft(victim)

    def _admit(self, batch: Batch, budget: int) -> None:
        while self.waiting and budget and len(self.running) < self.limits.max_num_seqs:
            sequence = self.waiting[0]
            if not self.blocks.fits(sequence.num_tokens):
                break
            self.waiting.popleft()
            self.blocks.grow(sequence, sequence.num_tokens)
            sequence.state = State.RUNNING
            insort(self.running, sequence, key=lambda s: s.order)
            if sequence.first_scheduled is None:
                sequence.first_scheduled = self._clock.now()
                batch.admitted.append(sequence)
            count = min(sequence.num_tokens, budget)
            batch.chunks.append(self._chunk(sequence, count))
            budget -= count

    @staticmethod
    def _chunk(sequence: Sequence, count: int) -> Chunk:
        start = sequence.num_computed
        return Chunk(sequence, start, count, samples=start + count == sequence.num_tokens)
