"""One simulated replica: the real scheduler over its blocks, and a cost model in the place of the model."""

from dataclasses import dataclass, field
from itertools import pairwise

from midwatch_serving.batch import Batch
from midwatch_serving.block_manager import BlockManager
from midwatch_serving.cost_model import CostModel
from midwatch_serving.deployment import Deployment
from midwatch_serving.latency import Gaps
from midwatch_serving.scheduler import Scheduler
from midwatch_serving.sequence import Sequence
from midwatch_serving.step_shape import shape_of_batch
from midwatch_serving.throttle import Throttle


@dataclass
class StepClock:
    """Virtual seconds that the simulation sets."""

    time: float = 0.0

    def now(self) -> float:
        """Return the virtual time."""
        return self.time

    async def sleep(self, seconds: float) -> None:
        """Let the time pass at once: nothing else happens meanwhile in a simulation."""
        self.time += seconds


@dataclass
class Replica:
    """Takes requests, and computes runs of steps that end at `free_at`. Seconds are virtual."""

    deployment: Deployment
    cost: CostModel
    single_steps: bool = False
    """Take one step a run, however far the scheduler can see; for tests."""
    free_at: float = 0.0
    steps: int = 0
    runs: int = 0
    preemptions: int = 0
    gaps: Gaps = field(default_factory=Gaps)
    _pending: tuple[Batch, list[float]] | None = None

    def __post_init__(self) -> None:
        d = self.deployment
        self._clock = StepClock()
        self._throttle = Throttle(d.cpu_limit)
        self.scheduler = Scheduler(
            BlockManager(d.num_blocks, d.block_size, enable_prefix_caching=d.enable_prefix_caching),
            d.limits,
            max_model_len=d.max_model_len,
            clock=self._clock,
        )

    @property
    def load(self) -> int:
        """Requests that run or wait."""
        return len(self.scheduler.running) + len(self.scheduler.waiting)

    @property
    def ready(self) -> bool:
        """Whether there is work and no run of steps under way."""
        return self._pending is None and self.scheduler.has_work

    def start(self, now: float, until: float) -> float:
        """Start a run of steps: as many as the batch stays the same for and that begin before `until`; return its end.

        `until` is when the next request may arrive, which can change the batch.
        """
        self._clock.time = now
        batch = self.scheduler.schedule()
        self.preemptions += len(batch.preempted)
        shape = shape_of_batch(batch)
        growth = self.cost.growth_s(shape)
        seconds = self.cost.step_s(shape)
        if now > self.free_at or not self.steps:
            now += self.cost.overhead.wake
        overhead = self.cost.overhead_s(shape)
        horizon = 1 if self.single_steps else self.scheduler.horizon(batch)
        limited = self._throttle.limit is not None
        times: list[float] = []
        while len(times) < horizon and (not times or now < until):
            computed = now + seconds
            if limited:
                computed += self._throttle.charge(seconds, now, computed)
            now = computed + overhead
            times.append(now)
            seconds += growth
        self._book_gaps(batch, times)
        self.steps += len(times)
        self.runs += 1
        self._pending = batch, times
        self.free_at = now
        return now

    def finish(self) -> list[Sequence]:
        """Book the run that has come to its end; return the requests that ended with it."""
        if self._pending is None:
            return []
        batch, times = self._pending
        self._pending = None
        self._clock.time = times[-1]
        row = [0] * len(batch.chunks)
        if len(times) == 1:
            grown = self.scheduler.complete(batch, row)
        else:
            grown = self.scheduler.complete_steps(batch, [row] * len(times), times)
        return [sequence for sequence in grown if sequence.finish_reason is not None]

    def _book_gaps(self, batch: Batch, times: list[float]) -> None:
        """Book the gaps between tokens; nobody ends before a run does, so they are certain at its start."""
        getting = [chunk.sequence for chunk in batch.chunks if chunk.samples]
        before: dict[float, int] = {}
        for sequence in getting:
            if sequence.last_token is not None:
                before[sequence.last_token] = before.get(sequence.last_token, 0) + 1
        for last, count in before.items():
            self.gaps.add(times[0] - last, count)
        for a, b in pairwise(times):
            self.gaps.add(b - a, len(getting))
