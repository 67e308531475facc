"""Advancing by the horizon is the same as single steps, and the horizon is the furthest there is."""

import zlib
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midwatch_contracts.clock import VirtualClock
from midwatch_serving.batch import Batch
from midwatch_serving.block_manager import BlockManager
from midwatch_serving.errors import IntegrityError
from midwatch_serving.limits import Limits
from midwatch_serving.sampling import SamplingParams
from midwatch_serving.scheduler import Scheduler
from midwatch_serving.sequence import Sequence, State

EOS = 3
START = 1000.0


@dataclass
class Arrival:
    """A request, or an abort of the request that came n-th, at a step."""

    step: int
    prompt: tuple[int, ...]
    max_tokens: int
    priority: int = 0
    min_tokens: int = 0
    ignore_eos: bool = True
    abort: int | None = None


def token_of(name: str, index: int, *, ends: bool) -> int:
    """Two letters only, so that sequences repeat one another and share blocks; now and then an end."""
    drawn = zlib.crc32(f"{name}/{index}".encode())
    return EOS if ends and drawn % 7 == 0 else drawn % 2


@dataclass
class Run:
    """One scheduler under a load, in steps of varying length on a clock that is set by hand."""

    scheduler: Scheduler
    clock: VirtualClock
    arrivals: list[Arrival]
    ends: bool
    step: int = 0
    finished: list[str] = field(default_factory=list[str])
    everyone: list[Sequence] = field(default_factory=list[Sequence])
    history: dict[int, object] = field(default_factory=dict[int, object])

    def time_of(self, step: int) -> float:
        return START + step + 0.25 * (step % 3)

    def arrive(self) -> None:
        for arrival in self.arrivals:
            if arrival.step != self.step:
                continue
            if arrival.abort is not None:
                if arrival.abort < len(self.everyone):
                    self.scheduler.finish(self.everyone[arrival.abort], "abort", self.time_of(self.step))
                continue
            params = SamplingParams(
                arrival.max_tokens, min_tokens=arrival.min_tokens, ignore_eos=arrival.ignore_eos
            )  # fmt: skip
            name = str(len(self.everyone))
            sequence = Sequence(name, arrival.prompt, params, self.time_of(self.step), priority=arrival.priority)
            self.everyone.append(sequence)
            self.scheduler.add(sequence)

    def next_event(self) -> int:
        return min((a.step for a in self.arrivals if a.step > self.step), default=10**9)

    def tokens(self, batch: Batch, ahead: int) -> list[int]:
        return [
            token_of(
                c.sequence.id,
                len(c.sequence.output) + ahead,
                ends=self.ends and not c.sequence.params.ignore_eos,
            )
            for c in batch.chunks
        ]

    def state(self) -> object:
        """All there is to compare: queues, tables, tokens, times, free and idle blocks in their order."""
        blocks, prefix = self.scheduler.blocks, self.scheduler.blocks.prefix
        return (
            [s.id for s in self.scheduler.running],
            [s.id for s in self.scheduler.waiting],
            [(list(s.block_table), list(s.output), s.num_computed, s.preemptions, s.state) for s in self.everyone],
            [(s.first_token, s.last_token, s.token_gap, s.finished, s.finish_reason) for s in self.everyone],
            [s.first_scheduled for s in self.everyone],
            vars(blocks)["_free"].copy(),
            list(vars(prefix)["_idle"]),
            dict(vars(prefix)["_block_of"]),
            (prefix.evictions, prefix.queries, prefix.hits),
            list(self.finished),
        )

    def book(self, grown: list[Sequence], steps: int) -> None:
        self.step += steps
        self.finished += [s.id for s in grown if s.state is State.FINISHED]
        self.scheduler.check_integrity()
        self.history[self.step] = self.state()

    def single_step(self) -> None:
        self.set_clock(self.step)
        batch = self.scheduler.schedule()
        tokens = self.tokens(batch, 0)
        self.set_clock(self.step + 1)
        self.book(self.scheduler.complete(batch, tokens), 1)

    def leap(self) -> int:
        self.set_clock(self.step)
        batch = self.scheduler.schedule()
        steps = min(self.scheduler.horizon(batch), self.next_event() - self.step)
        tokens = [self.tokens(batch, ahead) for ahead in range(steps)]
        early = [
            ahead
            for ahead, row in enumerate(tokens)
            if any(
                t == EOS and len(c.sequence.output) + ahead >= c.sequence.params.min_tokens
                for t, c in zip(row, batch.chunks, strict=True)
            )
        ]
        steps = min([steps, *(ahead + 1 for ahead in early)])
        times = [self.time_of(self.step + 1 + ahead) for ahead in range(steps)]
        self.book(self.scheduler.complete_steps(batch, tokens[:steps], times), steps)
        return steps

    def set_clock(self, step: int) -> None:
        vars(self.clock)["_now"] = self.time_of(step)

    def until_done(self, *, leaps: bool) -> int:
        turns = 0
        self.arrive()
        while self.scheduler.has_work or self.next_event() < 10**9:
            if not self.scheduler.has_work:
                self.step = self.next_event()
            elif leaps:
                self.leap()
            else:
                self.single_step()
            turns += 1
            assert turns < 5000, "requests starve"
            self.arrive()
        return turns


@dataclass
class Setup:
    """What a scheduler is built with; `spare` blocks beyond what the longest request needs."""

    policy: str
    caching: bool
    size: int
    spare: int
    seqs: int
    reservation: str = "as_it_grows"
    chunked: bool = True

    def run(self, arrivals: list[Arrival], *, ends: bool) -> Run:
        largest = max((len(a.prompt) + a.max_tokens for a in arrivals if a.abort is None), default=1)
        clock = VirtualClock(START)
        scheduler = Scheduler(
            BlockManager(-(-largest // self.size) + self.spare, self.size, enable_prefix_caching=self.caching),
            Limits(
                self.seqs,
                9 if self.chunked else max(largest, self.seqs),
                enable_chunked_prefill=self.chunked,
                scheduling_policy=self.policy,
            ),
            max_model_len=64,
            clock=clock,
            eos=frozenset({EOS}),
            reservation=self.reservation,
        )
        return Run(scheduler, clock, arrivals, ends)


def setups(policies: list[str], caching: list[bool]) -> st.SearchStrategy[Setup]:
    return st.builds(
        Setup,
        policy=st.sampled_from(policies),
        caching=st.sampled_from(caching),
        size=st.sampled_from([1, 2, 4, 8]),
        spare=st.integers(0, 12),
        seqs=st.integers(1, 5),
    )


REQUEST = st.builds(
    Arrival,
    step=st.integers(0, 40),
    prompt=st.lists(st.integers(0, 1), min_size=1, max_size=14).map(tuple),
    max_tokens=st.integers(1, 30),
    min_tokens=st.sampled_from([0, 0, 3]),
    ignore_eos=st.booleans(),
)
ABORT = st.builds(
    Arrival, step=st.integers(0, 60), prompt=st.just((0,)), max_tokens=st.just(1), abort=st.integers(0, 6)
)
LOAD = st.lists(st.one_of(REQUEST, REQUEST, REQUEST, ABORT), min_size=1, max_size=10)


@settings(max_examples=300)
@given(
    load=LOAD,
    priorities=st.lists(st.integers(-1, 1), min_size=10, max_size=10),
    setup=setups(["fcfs", "priority"], [False, True]),
)
def test_advancing_by_the_horizon_equals_single_steps(load: list[Arrival], priorities: list[int], setup: Setup) -> None:
    for arrival, priority in zip(load, priorities, strict=False):
        arrival.priority = priority if setup.policy == "priority" else 0
    single, leaping = setup.run(load, ends=True), setup.run(load, ends=True)
    single.until_done(leaps=False)
    leaping.until_done(leaps=True)
    assert leaping.finished == single.finished
    for step, state in leaping.history.items():
        assert state == single.history[step], f"after step {step}"


@settings(max_examples=200)
@given(load=st.lists(REQUEST, min_size=1, max_size=8), setup=setups(["fcfs"], [False]))
def test_the_horizon_is_the_largest_there_is(load: list[Arrival], setup: Setup) -> None:
    """Without cached prefixes and right after no preemption: the step behind it is another batch."""
    for arrival in load:
        arrival.step = 0
    single = setup.run(load, ends=False)
    single.arrive()
    batches: list[tuple[list[tuple[str, int]], int, bool]] = []
    while single.scheduler.has_work:
        batch = single.scheduler.schedule()
        shape = [(c.sequence.id, c.count) for c in batch.chunks]
        decodes = all(c.count == 1 and c.samples for c in batch.chunks)
        batches.append((shape, single.scheduler.horizon(batch), decodes and not batch.preempted))
        single.book(single.scheduler.complete(batch, single.tokens(batch, 0)), 1)
    for index, (shape, horizon, steady) in enumerate(batches):
        same = 1
        while steady and index + same < len(batches) and batches[index + same][0] == shape:
            same += 1
        assert horizon == (same if steady else 1), f"at step {index} of {batches}"


def decoding(*, caching: bool = False) -> tuple[Scheduler, Sequence]:
    scheduler = Scheduler(
        BlockManager(8, 4, enable_prefix_caching=caching), Limits(2, 16), max_model_len=64, clock=VirtualClock(),
        eos=frozenset({EOS}),
    )  # fmt: skip
    sequence = Sequence("a", (1, 2), SamplingParams(20), 0.0)
    scheduler.add(sequence)
    scheduler.complete(scheduler.schedule(), [0])
    return scheduler, sequence


@pytest.mark.parametrize(
    ("tokens", "says"),
    [
        ([[0]] * 20, "cannot take as many"),
        ([[0], [EOS], [0]], "samples an end token before"),
        ([[0], [0, 0]], "need a token for each"),
    ],
)
def test_more_than_the_horizon_is_refused_and_changes_nothing(tokens: list[list[int]], says: str) -> None:
    scheduler, sequence = decoding()
    batch = scheduler.schedule()
    with pytest.raises(IntegrityError, match=says):
        scheduler.complete_steps(batch, tokens, [float(i) for i in range(len(tokens))])
    assert (sequence.output, sequence.num_computed, len(sequence.block_table)) == ([0], 2, 1)
    scheduler.complete(batch, [0])
    scheduler.check_integrity()


def test_a_prompt_under_way_or_a_free_place_in_the_batch_leave_one_step() -> None:
    scheduler, _ = decoding()
    assert scheduler.horizon(scheduler.schedule()) == 19
    scheduler.add(Sequence("b", (1,) * 20, SamplingParams(5), 0.0))
    assert scheduler.horizon(scheduler.schedule()) == 1


def test_a_block_that_lets_the_first_of_the_queue_in_is_not_stepped_over() -> None:
    """A prompt too long for what is left of the budget fits once another request has computed its first block."""
    scheduler = Scheduler(
        BlockManager(64, 4, enable_prefix_caching=True),
        Limits(5, 16, enable_chunked_prefill=False),
        max_model_len=16,
        clock=VirtualClock(),
    )
    for name, prompt in (("a", (0, 0)), ("b", (0, 2)), ("c", (0, 3))):
        scheduler.add(Sequence(name, prompt, SamplingParams(13), 0.0))
    scheduler.complete(scheduler.schedule(), [1, 1, 1])
    scheduler.add(Sequence("long", (0, 0, 1, 1, *range(4, 14)), SamplingParams(1), 0.0))
    batch = scheduler.schedule()
    assert ([c.sequence.id for c in batch.chunks], scheduler.horizon(batch)) == (["a", "b", "c"], 2)
    scheduler.complete_steps(batch, [[1, 1, 1]] * 2, [1.0, 2.0])
    assert [(c.sequence.id, c.start) for c in scheduler.schedule().chunks][-1] == ("long", 4)


def test_a_scoring_request_leaves_one_step() -> None:
    scheduler, _ = decoding()
    scheduler.add(Sequence("b", (1, 2), SamplingParams(1), 0.0, score_from=1))
    assert scheduler.horizon(scheduler.schedule()) == 1


def test_a_sequence_that_was_aborted_meanwhile_gets_nothing_of_many_steps() -> None:
    scheduler, gone = decoding(caching=True)
    stays = Sequence("b", (1, 2), SamplingParams(20), 0.0)
    scheduler.add(stays)
    scheduler.complete(scheduler.schedule(), [0, 0])
    batch = scheduler.schedule()
    steps = scheduler.horizon(batch)
    scheduler.finish(gone, "abort")
    assert scheduler.complete_steps(batch, [[0, 0]] * steps, [float(i) for i in range(steps)]) == [stays]
    assert (len(gone.output), len(stays.output)) == (2, 1 + steps)
    scheduler.check_integrity()
