"""The loop around the scheduler: a CPU limit is kept, a death is told to everyone, nothing is left behind."""

import asyncio

import pytest

from midwatch_contracts.clock import VirtualClock
from midwatch_serving.block_manager import BlockManager
from midwatch_serving.byte_tokenizer import ByteTokenizer
from midwatch_serving.engine import Engine
from midwatch_serving.errors import EngineDead
from midwatch_serving.metrics import CacheInfo, Metrics
from midwatch_serving.sampling import Sample, SamplingParams
from midwatch_serving.scheduler import Limits, Scheduler
from midwatch_serving.stream import Stream
from midwatch_serving.throttle import SLACK, Throttle
from midwatch_serving.work import Executor, StepResult, Work

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Constant:
    """Generates one letter for everyone, for a stated price of CPU."""

    def __init__(self, cpu_s: float = 0.0, dies_at: int | None = None) -> None:
        self.cpu_s = cpu_s
        self.steps = 0
        self.dies_at = dies_at

    def execute(self, work: list[Work]) -> StepResult:
        self.steps += 1
        if self.steps == self.dies_at:
            raise MemoryError("no more")
        return StepResult([Sample(ord("x")) if w.output_index is not None else None for w in work], self.cpu_s)


def engine(executor: Executor, clock: VirtualClock, *, limit: float | None = None) -> Engine:
    scheduler = Scheduler(BlockManager(8, 4), Limits(2, 16), max_model_len=64, clock=clock)
    metrics = Metrics(scheduler, model_name="m", max_model_len=64, cache=CacheInfo(4, 8, 8))
    return Engine(scheduler, executor, ByteTokenizer(), metrics=metrics, clock=clock, throttle=Throttle(limit))


async def text_of(stream: Stream) -> tuple[str, str | None]:
    pieces = [piece async for piece in stream]
    return "".join(piece.text for piece in pieces), pieces[-1].finish_reason


async def test_the_cpu_time_of_steps_over_wall_time_reaches_the_limit_and_stays_under_it() -> None:
    clock = VirtualClock(auto=True)
    executor = Constant(cpu_s=0.004)
    served = engine(executor, clock, limit=0.25)
    loop = asyncio.create_task(served.run())
    started = clock.now()
    assert await text_of(served.submit("a", (1,), SamplingParams(30))) == ("x" * 30, "length")
    wall = clock.now() - started
    assert executor.steps == 30
    assert 30 * 0.004 / 0.25 - SLACK <= wall <= 30 * 0.004 / 0.25 + 1e-6
    loop.cancel()
    await asyncio.wait({loop})


def test_a_late_wake_up_is_caught_up_but_idle_time_is_not_saved() -> None:
    busy = Throttle(0.5)
    now, cpu = 0.0, 0.0
    for _ in range(200):
        pause = busy.charge(0.01, started=now, now=now + 0.01)
        now += 0.01 + pause + (0.001 if pause else 0)  # every sleep is a millisecond late
        cpu += 0.01
    assert cpu / now == pytest.approx(0.5, rel=0.02)
    pause = busy.charge(1.0, started=now + 1000, now=now + 1001)
    assert pause == pytest.approx(1.0, abs=SLACK + 1e-9)


def test_without_a_limit_there_is_no_pause() -> None:
    free = Throttle(None)
    assert free.charge(5.0, 0.0, 5.0) == 0
    assert (free.periods, free.throttled_periods, free.throttled_s) == (0, 0, 0)


def test_periods_are_counted_once_each_and_as_throttled_where_the_limit_made_it_wait() -> None:
    busy = Throttle(0.25)
    assert busy.charge(0.01, started=0.01, now=0.02) == pytest.approx(0.01)
    assert (busy.periods, busy.throttled_periods) == (1, 1)
    assert busy.charge(0.001, started=0.05, now=0.06) == 0
    assert (busy.periods, busy.throttled_periods) == (1, 1), "in the same period"
    assert busy.charge(0.09, started=10.02, now=10.12) == pytest.approx(0.24)
    assert (busy.periods, busy.throttled_periods) == (5, 4), (
        "four from 10.0 s on, and three from 10.1 s on with waiting"
    )
    assert busy.charge(0.001, started=20.03, now=20.24) == 0
    assert (busy.periods, busy.throttled_periods) == (8, 4)
    assert busy.throttled_s == pytest.approx(0.25)


async def test_an_engine_that_dies_tells_every_request_and_takes_no_more() -> None:
    served = engine(Constant(dies_at=3), VirtualClock(auto=True))
    loop = asyncio.create_task(served.run())
    streams = [served.submit(name, (1, 2), SamplingParams(9)) for name in "abc"]
    for stream in streams:
        with pytest.raises(EngineDead):
            await text_of(stream)
    with pytest.raises(MemoryError):
        await loop
    with pytest.raises(EngineDead):
        served.submit("d", (1,), SamplingParams(1))
    served.scheduler.check_integrity()
    assert served.scheduler.blocks.num_free == 8


async def test_a_stop_string_ends_the_request_at_once_and_frees_its_blocks() -> None:
    served = engine(Constant(), VirtualClock(auto=True))
    loop = asyncio.create_task(served.run())
    stream = served.submit("a", (1,), SamplingParams(20, stop=("xxx",)))
    assert await text_of(stream) == ("", "stop")
    assert len(stream.sequence.output) == 3
    assert served.idle.is_set()
    assert served.scheduler.blocks.num_free == 8
    loop.cancel()
    await asyncio.wait({loop})


async def test_an_aborted_request_ends_its_stream_whether_it_runs_or_waits() -> None:
    served = engine(Constant(), VirtualClock(auto=True))  # not running: everyone waits
    streams = [served.submit(name, (1,), SamplingParams(5)) for name in "ab"]
    assert served.abort_all() == 2
    served.abort("a")
    assert [await text_of(stream) for stream in streams] == [("", "abort")] * 2
    assert served.idle.is_set()
