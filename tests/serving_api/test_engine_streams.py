"""How the engine hands out tokens: beside the next step, within bounds, and not a step more than needed."""

import asyncio
import json
import threading
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from midwatch_contracts.clock import VirtualClock
from midwatch_serving.block_manager import BlockManager
from midwatch_serving.byte_tokenizer import ByteTokenizer
from midwatch_serving.constraints import Grammar, Grammars
from midwatch_serving.engine import Engine
from midwatch_serving.errors import EngineDead, RequestError
from midwatch_serving.executor import CpuExecutor
from midwatch_serving.limits import Limits
from midwatch_serving.metrics import CacheInfo, Metrics
from midwatch_serving.model import Model
from midwatch_serving.sampling import Constraint, Sample, SamplingParams
from midwatch_serving.scheduler import Scheduler
from midwatch_serving.stream import Inbox, Output, Stream
from midwatch_serving.throttle import Throttle
from midwatch_serving.work import Executor, StepResult, Work

pytestmark = pytest.mark.anyio

DEADLINE_S = 20


class Counting:
    """Says a, b, c …, and counts its steps; `before` is called in the step's thread with the step's number."""

    def __init__(self, before: Callable[[int], None] | None = None) -> None:
        self.steps = 0
        self._before = before

    def execute(self, work: list[Work]) -> StepResult:
        self.steps += 1
        if self._before is not None:
            self._before(self.steps)
        letters = [None if w.output_index is None else Sample(ord("a") + w.output_index % 26) for w in work]
        return StepResult(letters, 0.0)


@asynccontextmanager
async def running(executor: Executor, *, blocks: int = 64, seqs: int = 4) -> AsyncGenerator[Engine]:
    clock = VirtualClock(auto=True)
    scheduler = Scheduler(BlockManager(blocks, 4), Limits(seqs, 64), max_model_len=4096, clock=clock)
    metrics = Metrics(scheduler, model_name="m", max_model_len=4096, cache=CacheInfo(4, blocks, blocks))
    engine = Engine(scheduler, executor, ByteTokenizer(), metrics=metrics, clock=clock, throttle=Throttle(None))
    loop = asyncio.create_task(engine.run())
    try:
        async with asyncio.timeout(DEADLINE_S):
            yield engine
    finally:
        loop.cancel()
        await asyncio.wait({loop})


async def whole(stream: Stream) -> tuple[str, Output]:
    pieces = [piece async for piece in stream]
    return "".join(piece.text for piece in pieces), pieces[-1]


async def test_a_token_is_handed_out_while_the_next_step_computes() -> None:
    taken = [threading.Event() for _ in range(6)]
    in_time: list[bool] = []

    def wait_for_the_token_before(step: int) -> None:
        if step > 1:
            in_time.append(taken[step - 2].wait(5))

    async with running(Counting(wait_for_the_token_before)) as engine:
        stream = engine.submit("a", (1,), SamplingParams(5))
        async for piece in stream:
            taken[len(piece.text) and ord(piece.text) - ord("a")].set()
    assert in_time == [True] * 4


@pytest.mark.parametrize(
    ("params", "text", "reason", "steps"),
    [
        (SamplingParams(20, stop=("cd",)), "ab", "cd", 4),
        (SamplingParams(20, stop=("zz", "b")), "a", "b", 2),
        (SamplingParams(20, stop_token_ids=(ord("c"),)), "ab", ord("c"), 3),
        (SamplingParams(2, stop=("b",)), "a", "b", 2),
    ],
)
async def test_an_answer_that_a_stop_ends_costs_no_step_more(
    params: SamplingParams, text: str, reason: str | int, steps: int
) -> None:
    executor = Counting()
    async with running(executor) as engine:
        said, last = await whole(engine.submit("a", (1,), params))
    assert (said, last.finish_reason, last.stop_reason) == (text, "stop", reason)
    assert executor.steps == steps


async def test_a_stop_token_within_min_tokens_ends_nothing() -> None:
    async with running(Counting()) as engine:
        params = SamplingParams(40, stop_token_ids=(ord("b"),), min_tokens=4)
        said, last = await whole(engine.submit("a", (1,), params))
    assert said == "abcdefghijklmnopqrstuvwxyza"
    assert last.stop_reason == ord("b")


async def test_a_client_that_does_not_read_is_dropped_and_the_others_are_served() -> None:
    async with running(Counting(), blocks=1024) as engine:
        idle = engine.submit("idle", (1,), SamplingParams(2000), inbox=Inbox(backlog=50))
        text, last = await whole(engine.submit("reads", (1,), SamplingParams(600)))
        assert (len(text), last.finish_reason) == (600, "length")
        assert idle.sequence.finish_reason == "abort"
        assert len(idle.sequence.output) <= 52
        assert await whole(idle) == ("", Output("", finish_reason="abort"))
        assert engine.scheduler.blocks.num_free == 1024


async def test_one_inbox_holds_several_sequences_and_ends_with_the_last() -> None:
    async with running(Counting()) as engine:
        inbox = Inbox(3)
        for index in range(3):
            engine.submit(str(index), (1,), SamplingParams(2 + index), inbox=inbox, index=index)
        engine.abort("1")
        texts = ["", "", ""]
        ends: list[tuple[int, str]] = []
        while pieces := await inbox.take():
            for piece in pieces:
                texts[piece.index] += piece.text
                if piece.finish_reason is not None:
                    ends.append((piece.index, piece.finish_reason))
    assert texts == ["ab", "", "abcd"]
    assert ends == [(1, "abort"), (0, "length"), (2, "length")]


async def test_what_was_generated_before_a_death_is_still_handed_out() -> None:
    def die(step: int) -> None:
        if step == 4:
            raise MemoryError("no more")

    pieces: list[Output] = []
    async with running(Counting(die)) as engine:
        stream = engine.submit("a", (1,), SamplingParams(9))

        async def read() -> None:
            async for piece in stream:
                pieces.append(piece)  # noqa: PERF401 (the error must not lose them)

        with pytest.raises(EngineDead):
            await read()
    assert "".join(piece.text for piece in pieces) == "abc"


class Broken:
    """A grammar that fails at its second token."""

    ended = False
    error: str | None = None

    def mask(self, logits: object) -> None:
        del logits

    def accept(self, token: int) -> None:
        if token == ord("b"):
            self.ended, self.error = True, "it grew beyond bounds"


async def test_a_grammar_that_fails_ends_its_own_request_with_the_reason() -> None:
    broken = Broken()

    class Telling(Counting):
        def execute(self, work: list[Work]) -> StepResult:
            result = super().execute(work)
            for w, sample in zip(work, result.samples, strict=True):
                if w.constraint is not None and sample is not None:
                    w.constraint.accept(sample.token)
            return result

    async with running(Telling()) as engine:
        other = engine.submit("other", (1,), SamplingParams(5))
        stream = engine.submit("a", (1,), SamplingParams(5), constraint=broken)
        with pytest.raises(RequestError, match="beyond bounds"):
            await whole(stream)
        assert (await whole(other))[0] == "abcde"
        assert engine.scheduler.blocks.num_free == 64


TEXT = {"type": "string", "minLength": 9, "maxLength": 9}
SCHEMA = {"type": "object", "properties": {"a": TEXT, "b": TEXT}, "required": ["a", "b"], "additionalProperties": False}


async def test_answers_under_a_grammar_are_equal_alone_and_preempted_with_their_log_probabilities(model: Model) -> None:
    grammars = Grammars(ByteTokenizer())
    params = SamplingParams(60, temperature=1.0, logprobs=2, presence_penalty=0.5)

    def constraint() -> Constraint:
        return grammars.compile(Grammar("json_schema", json.dumps(SCHEMA), "schema"))[0]

    async def answers(blocks: int, seqs: int) -> tuple[list[str], list[object], int]:
        executor = CpuExecutor(model, num_blocks=blocks, block_size=4, max_model_len=128)
        async with running(executor, blocks=blocks, seqs=seqs) as engine:
            streams = [
                engine.submit(str(i), tuple(range(65, 75)), replace(params, seed=i), constraint=constraint())
                for i in range(6)
            ]
            texts = [(await whole(stream))[0] for stream in streams]
            preempted = sum(stream.sequence.preemptions for stream in streams)
            assert all(len(s.sequence.logprobs) == len(s.sequence.output) for s in streams)
            return texts, [s.sequence.logprobs for s in streams], preempted

    alone = await answers(64, 1)
    crowded = await answers(24, 6)
    assert alone[2] == 0
    assert crowded[2] > 0
    assert crowded[:2] == alone[:2]
    assert len(set(alone[0])) > 1
