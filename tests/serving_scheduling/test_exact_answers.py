"""Answers are equal, token by token, whatever the schedule: alone, batched, chunked, preempted, after prefix hits.

Each way of computing is a `Subject`; add one to `SUBJECTS` and it is held to the same.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import platformdirs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from midwatch_contracts.clock import VirtualClock
from midwatch_serving.block_manager import BlockManager
from midwatch_serving.byte_tokenizer import VOCAB_SIZE
from midwatch_serving.executor import CpuExecutor
from midwatch_serving.kernels.cpu import available
from midwatch_serving.limits import Limits
from midwatch_serving.loading import Arithmetic
from midwatch_serving.model import ModelConfig, tiny
from midwatch_serving.sampling import SamplingParams
from midwatch_serving.scheduler import Scheduler
from midwatch_serving.sequence import Sequence
from midwatch_serving.work import Executor, work_of

MAX_LEN = 128
CACHE_TOKENS = 4096
"""Room of an executor's cache; a schedule uses a part of it, with whatever earlier schedules left there."""


@dataclass(frozen=True)
class Request:
    """What is asked, in a form that can be looked up. `text` and `length` choose a prefix that others share."""

    text: int
    length: int
    tail: tuple[int, ...]
    params: SamplingParams
    score: bool
    step: int = 0
    priority: int = 0
    salt: str | None = None

    @property
    def prompt(self) -> tuple[int, ...]:
        start = self.text * 100
        return (*((i * i * 7 + start) % 251 for i in range(self.length)), *self.tail)

    def sequence(self, name: str) -> Sequence:
        score_from = len(self.prompt) // 2 if self.score and len(self.prompt) > 1 else None
        return Sequence(name, self.prompt, self.params, 0.0, cache_salt=self.salt, score_from=score_from)


@dataclass
class Subject:
    """One way of computing: an executor by block size, built once each."""

    name: str
    block_sizes: tuple[int, ...]
    """16 among them."""
    build: Callable[[int], Executor]
    _built: dict[int, Executor] = field(default_factory=dict[int, Executor], repr=False)
    _alone: dict[tuple[object, ...], tuple[list[int], list[float]]] = field(
        default_factory=dict[tuple[object, ...], tuple[list[int], list[float]]], repr=False
    )

    def executor(self, block_size: int) -> Executor:
        """Return an executor with `CACHE_TOKENS // block_size` blocks."""
        if block_size not in self._built:
            self._built[block_size] = self.build(block_size)
        return self._built[block_size]

    def alone(self, request: Request) -> tuple[list[int], list[float]]:
        """Serve a request by itself, its prompt in one step: what every schedule must yield."""
        key = (request.prompt, request.params, request.score)
        if key not in self._alone:
            size = self.block_sizes[-1]
            scheduler = Scheduler(
                BlockManager(CACHE_TOKENS // size, size),
                Limits(1, MAX_LEN),
                max_model_len=MAX_LEN,
                clock=VirtualClock(),
            )
            sequence = request.sequence("alone")
            scheduler.add(sequence)
            serve(scheduler, self.executor(size))
            self._alone[key] = (sequence.output, sequence.scores)
        return self._alone[key]


def serve(scheduler: Scheduler, executor: Executor) -> None:
    while scheduler.has_work:
        batch = scheduler.schedule()
        result = executor.execute(work_of(batch))
        scheduler.complete(batch, result.tokens, result.scores)


def reference(block_size: int) -> Executor:
    model = tiny(5, ModelConfig(layers=2, hidden=64, heads=4, kv_heads=2, ffn=96, vocab=VOCAB_SIZE))
    return CpuExecutor(model, num_blocks=CACHE_TOKENS // block_size, block_size=block_size, max_model_len=MAX_LEN)


def compiled(kind: str, threads: int) -> Subject:
    """The int8 kernels over a small model, compiled code kept where `midwatch serve` keeps it."""
    model = tiny(5, ModelConfig(layers=2, hidden=128, heads=4, kv_heads=2, ffn=192, vocab=VOCAB_SIZE))
    arithmetic = Arithmetic(kind, threads, platformdirs.user_cache_path("midwatch", appauthor=False) / "kernels")

    def build(block_size: int) -> Executor:
        if kind not in available():
            pytest.skip(f"this CPU has no {kind}")
        sizes = {"num_blocks": CACHE_TOKENS // block_size, "block_size": block_size, "max_model_len": MAX_LEN}
        return arithmetic.executor(model, **sizes, max_rows=MAX_LEN)

    return Subject(f"{kind}-{threads}", (16, 32, 64), build)


def subjects() -> list[Any]:
    """The best kernels of this CPU always, the others and two threads with the slow tests (each compiles for 10 s)."""
    best, *others = available() or ("portable",)
    slow = [(kind, 1) for kind in others] + [(best, 2)]
    return [
        pytest.param(Subject("reference", (1, 4, 16, 64), reference), id="reference"),
        pytest.param(compiled(best, 1), id=best),
        *(pytest.param(compiled(kind, n), id=f"{kind}-{n}-threads", marks=pytest.mark.slow) for kind, n in slow),
    ]


SUBJECTS = subjects()


@pytest.fixture(scope="module", params=SUBJECTS)
def subject(request: pytest.FixtureRequest) -> Subject:
    found: Subject = request.param
    return found


@dataclass
class Schedule:
    """How requests are served together."""

    size: int
    """Index into the subject's block sizes."""
    spare: int
    seqs: int
    budget: int
    threshold: int
    caching: bool
    chunked: bool
    policy: str
    resets: frozenset[int]
    """Steps before which every running sequence is thrown out and the cache emptied."""
    limits: dict[int, int]
    """New `max_num_seqs` from a step on."""


@dataclass
class Outcome:
    answers: list[tuple[list[int], list[float]]]
    preemptions: int
    hits: int


def play(subject: Subject, requests: list[Request], schedule: Schedule) -> Outcome:
    """Serve the requests, each from its step on."""
    size = subject.block_sizes[schedule.size % len(subject.block_sizes)]
    largest = max(len(r.prompt) + r.params.max_tokens for r in requests)
    blocks = BlockManager(-(-largest // size) + schedule.spare, size, enable_prefix_caching=schedule.caching)
    limits = Limits(
        schedule.seqs,
        schedule.budget if schedule.chunked else MAX_LEN,
        enable_chunked_prefill=schedule.chunked,
        long_prefill_token_threshold=schedule.threshold if schedule.chunked else 0,
        scheduling_policy=schedule.policy,
    )
    scheduler = Scheduler(blocks, limits, max_model_len=MAX_LEN, clock=VirtualClock())
    executor = subject.executor(size)
    sequences = [r.sequence(str(i)) for i, r in enumerate(requests)]
    step = 0
    while step <= max(r.step for r in requests) or scheduler.has_work:
        for sequence, request in zip(sequences, requests, strict=True):
            if request.step == step:
                sequence.priority = request.priority if schedule.policy == "priority" else 0
                scheduler.add(sequence)
        if step in schedule.limits:
            scheduler.set_limits(max_num_seqs=schedule.limits[step])
        if step in schedule.resets:
            assert scheduler.reset_prefix_cache(reset_running_requests=True)
        if scheduler.has_work:
            batch = scheduler.schedule()
            result = executor.execute(work_of(batch))
            scheduler.complete(batch, result.tokens, result.scores)
            scheduler.check_integrity()
        step += 1
    return Outcome([(s.output, s.scores) for s in sequences], sum(s.preemptions for s in sequences), blocks.prefix.hits)


@cache
def params(index: int) -> SamplingParams:
    """A few ways of sampling: greedy ones, and random ones by seed."""
    temperature, top_p = (0.0, 0.0, 0.7, 1.5)[index % 4], (1.0, 0.9)[index % 2]
    return SamplingParams(max_tokens=1 + index * 5 % 14, temperature=temperature, top_p=top_p, seed=index)


REQUEST = st.builds(
    Request,
    text=st.integers(0, 1),
    length=st.sampled_from([0, 8, 16, 33, 48, 64, 80]),
    tail=st.lists(st.integers(0, 250), min_size=1, max_size=9).map(tuple),
    params=st.integers(0, 27).map(params),
    score=st.sampled_from([False, False, False, True]),
    step=st.integers(0, 12),
    priority=st.integers(-1, 1),
    salt=st.sampled_from([None, None, "salt"]),
)
SCHEDULE = st.builds(
    Schedule,
    size=st.integers(0, 3),
    spare=st.integers(0, 4),
    seqs=st.integers(1, 7),
    budget=st.integers(7, 120),
    threshold=st.sampled_from([0, 0, 5, 20]),
    caching=st.sampled_from([True, True, False]),
    chunked=st.sampled_from([True, True, False]),
    policy=st.sampled_from(["fcfs", "priority"]),
    resets=st.frozensets(st.integers(0, 30), max_size=1),
    limits=st.dictionaries(st.integers(0, 20), st.integers(1, 7), max_size=2),
)


@pytest.mark.slow
@settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow])
@given(requests=st.lists(REQUEST, min_size=1, max_size=7), schedule=SCHEDULE)
def test_answers_are_equal_over_two_hundred_random_schedules(
    subject: Subject, requests: list[Request], schedule: Schedule
) -> None:
    assert play(subject, requests, schedule).answers == [subject.alone(request) for request in requests]


def test_preemption_chunks_and_prefix_hits_at_once_change_no_token(subject: Subject) -> None:
    """One schedule in which all of it certainly happens."""
    requests = [
        Request(text=i % 2, length=64, tail=(i,), params=SamplingParams(40, seed=i), score=False, step=3 * i)
        for i in range(6)
    ]
    schedule = Schedule(
        size=subject.block_sizes.index(16), spare=4, seqs=6, budget=20, threshold=16, caching=True, chunked=True,
        policy="fcfs", resets=frozenset(), limits={},
    )  # fmt: skip
    outcome = play(subject, requests, schedule)
    assert outcome.preemptions >= 3
    assert outcome.hits >= 2 * 64
    assert outcome.answers == [subject.alone(request) for request in requests]
    assert len({tuple(tokens) for tokens, _ in outcome.answers}) == 6  # the model listens to its prompt
