"""One load, served with a mechanism and without it, in one run on one executor.

A load is a list of requests that arrive by time, or by the tokens generated so far where it must meet the same moment
on both sides. Time is the CPU time of the thread that computes, so that a neighbour on the machine does not count, and
time in which nothing is to be computed is skipped.
"""

import asyncio
import statistics
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from midwatch_contracts.figure import Figure
from midwatch_serving.block_manager import BlockManager
from midwatch_serving.limits import Limits
from midwatch_serving.sampling import SamplingParams
from midwatch_serving.scheduler import Scheduler
from midwatch_serving.sequence import Sequence
from midwatch_serving.work import Executor, work_of

BLOCK_SIZE = 16
ROUNDS = 3


class ComputingClock:
    """The CPU time of this thread, and what was skipped."""

    def __init__(self) -> None:
        self._skipped = 0.0

    def now(self) -> float:
        """Return seconds since some moment."""
        return time.thread_time() + self._skipped

    def skip(self, seconds: float) -> None:
        """Let time pass at once."""
        self._skipped += seconds

    async def sleep(self, seconds: float) -> None:
        """Sleep for real."""
        await asyncio.sleep(seconds)


@dataclass(frozen=True)
class Arrival:
    """A request: when it comes, its prompt, what it asks for, and after how many tokens its client has enough."""

    prompt: tuple[int, ...]
    max_tokens: int
    enough: int
    at: float = 0.0
    """Seconds since the start."""
    after_tokens: int = 0
    """And not before this many tokens were generated in all."""


@dataclass(frozen=True)
class Side:
    """How a load is served."""

    limits: Limits
    num_blocks: int
    max_model_len: int
    enable_prefix_caching: bool = False
    reservation: str = "as_it_grows"


@dataclass(frozen=True)
class Served:
    """What came of a load: its requests in order of arrival, and the seconds between tokens of each."""

    sequences: list[Sequence]
    gaps: list[list[float]]
    seconds: float

    @property
    def num_tokens(self) -> int:
        """Tokens generated."""
        return sum(len(sequence.output) for sequence in self.sequences)


def serve(load: list[Arrival], side: Side, executor: Executor) -> Served:
    """Serve a load that is sorted by arrival, as fast as the executor computes."""
    clock = ComputingClock()
    scheduler = Scheduler(
        BlockManager(side.num_blocks, BLOCK_SIZE, enable_prefix_caching=side.enable_prefix_caching),
        side.limits,
        max_model_len=side.max_model_len,
        clock=clock,
        reservation=side.reservation,
    )
    sequences: list[Sequence] = []
    gaps: list[list[float]] = [[] for _ in load]
    coming = deque(load)
    generated, start = 0, clock.now()
    while coming or scheduler.has_work:
        while coming and coming[0].after_tokens <= generated and coming[0].at <= clock.now() - start:
            arrival = coming.popleft()
            params = SamplingParams(arrival.max_tokens, ignore_eos=True)
            arrived = clock.now() if arrival.after_tokens else start + arrival.at
            sequences.append(Sequence(str(len(sequences)), arrival.prompt, params, arrived))
            scheduler.add(sequences[-1])
        if not scheduler.has_work:
            clock.skip(max(0.0, coming[0].at - (clock.now() - start)))
            continue
        batch = scheduler.schedule()
        result = executor.execute(work_of(batch))
        for sequence in scheduler.complete(batch, result.tokens):
            generated += 1
            if sequence.token_gap is not None:
                gaps[int(sequence.id)].append(sequence.token_gap)
            if len(sequence.output) >= load[int(sequence.id)].enough:
                scheduler.finish(sequence, "stop")
    scheduler.check_integrity()
    return Served(sequences, gaps, clock.now() - start)


@dataclass(frozen=True)
class Ablation:
    """A mechanism, a load, the two sides, and how a side's outcome becomes a figure."""

    name: str
    unit: str
    load: list[Arrival]
    on: Side
    off: Side
    value: Callable[[Served], float]
    rounds: int = ROUNDS

    def run(self, executor: Executor) -> Figure:
        """Serve the load on both sides in turn."""
        values: dict[Side, list[float]] = {self.on: [], self.off: []}
        for _ in range(self.rounds):
            for side, found in values.items():
                found.append(self.value(serve(self.load, side, executor)))
        on, off = (statistics.median(found) for found in values.values())
        return Figure.beside(self.name, on, self.unit, baseline=off)
