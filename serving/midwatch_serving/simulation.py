"""A load on a deployment in virtual time: the real scheduler, a cost model for the steps, no waiting and no randomness.

An event is the arrival of a request, a step, or the end of a request. The loop goes from one end of a run of steps, or
arrival, to the next; within a run the scheduler's horizon says that nothing can change.
"""

import heapq
import time
from collections import deque
from dataclasses import dataclass, field

from midwatch_serving.cost_model import CostModel
from midwatch_serving.deployment import Deployment, chooser
from midwatch_serving.errors import IntegrityError, RequestError, WorkloadError
from midwatch_serving.latency import Gaps, Objectives, Report, Timing, report
from midwatch_serving.replica import Replica
from midwatch_serving.sampling import SamplingParams
from midwatch_serving.sequence import Sequence
from midwatch_serving.workload import Request, Workload, prompts

TOKENS = range(32, 127)
"""Any tokens will do; prompts differ where the load does not say that they begin alike."""
_CHECK_EVERY = 256


@dataclass(frozen=True)
class Outcome:
    """What came of a load."""

    report: Report
    timings: list[Timing]
    """Of the requests that were served, in the order of arrival."""
    rejected: int
    steps: int
    events: int
    preemptions: int
    wall_s: float
    """Real seconds that the simulation took."""
    per_replica: list[int] = field(default_factory=list[int])
    """Requests that each replica was given."""

    @property
    def events_per_s(self) -> float:
        """Simulated events in a real second."""
        return self.events / max(self.wall_s, 1e-9)

    @property
    def tokens_per_s(self) -> float:
        """Simulated tokens, prompts and answers, in a real second."""
        return (self.report.prompt_tokens + self.report.output_tokens) / max(self.wall_s, 1e-9)


class Simulation:
    """One load on one deployment; `run` it once."""

    def __init__(
        self,
        workload: Workload,
        deployment: Deployment,
        cost: CostModel,
        *,
        seed: int = 0,
        single_steps: bool = False,
    ) -> None:
        self._requests = workload.requests
        self._concurrency = workload.concurrency
        self._cost = cost
        self._choose = chooser(deployment.balancer)
        closed_fleet = workload.concurrency is not None and deployment.replicas > 1
        # In a closed loop the end of a request elsewhere is an arrival that no replica can see coming.
        self.replicas = [
            Replica(deployment, cost, single_steps=single_steps or closed_fleet) for _ in range(deployment.replicas)
        ]
        shared = deployment.enable_prefix_caching
        self._prompts = prompts(workload, TOKENS, seed) if shared else [(0,) * r.prompt_tokens for r in self._requests]
        self._arrivals: list[tuple[float, int]] = []
        self._later: deque[int] = deque()
        self._sequences: dict[str, int] = {}
        self._ended: dict[int, Sequence] = {}
        self._rejected = 0
        self._given = [0] * deployment.replicas
        if self._concurrency is None:
            self._arrivals = [(r.arrival_s + self._wire(r), index) for index, r in enumerate(self._requests)]
            heapq.heapify(self._arrivals)
        else:
            self._later = deque(range(len(self._requests)))
            for _ in range(min(self._concurrency, len(self._requests))):
                self._next_of_loop(0.0)

    def run(self, *, objectives: Objectives | None = None, wall_limit_s: float | None = None) -> Outcome:
        """Serve every request and return what it was like.

        Raises:
            WorkloadError: when it takes longer than `wall_limit_s` real seconds.
        """
        began = time.monotonic()
        busy: list[tuple[float, int]] = []
        turns = 0
        while busy or self._arrivals:
            turns += 1
            if wall_limit_s is not None and not turns % _CHECK_EVERY and time.monotonic() - began > wall_limit_s:
                raise WorkloadError(
                    f"the simulation takes longer than {wall_limit_s:g} s, with {len(self._ended)} of "
                    f"{len(self._requests)} requests served: ask for fewer requests or tokens"
                )
            now = min(busy[0][0] if busy else float("inf"), self._arrivals[0][0] if self._arrivals else float("inf"))
            while busy and busy[0][0] <= now:
                self._end_run(self.replicas[heapq.heappop(busy)[1]], now)
            while self._arrivals and self._arrivals[0][0] <= now:
                self._arrive(*heapq.heappop(self._arrivals))
            until = self._arrivals[0][0] if self._arrivals else float("inf")
            for index, replica in enumerate(self.replicas):
                if replica.ready:
                    heapq.heappush(busy, (replica.start(now, until), index))
        return self._outcome(objectives or Objectives(), time.monotonic() - began)

    def _wire(self, request: Request) -> float:
        return self._cost.wire.request + self._cost.wire.prompt_token * request.prompt_tokens

    def _next_of_loop(self, now: float) -> None:
        if self._later:
            index = self._later.popleft()
            heapq.heappush(self._arrivals, (now + self._wire(self._requests[index]), index))

    def _arrive(self, at: float, index: int) -> None:
        chosen = self._choose([replica.load for replica in self.replicas])
        request = self._requests[index]
        params = SamplingParams(max_tokens=request.output_tokens, ignore_eos=True)
        sequence = Sequence(f"{index}", self._prompts[index], params, arrived=at)
        self._given[chosen] += 1
        try:
            self.replicas[chosen].scheduler.add(sequence)
        except RequestError:
            self._rejected += 1
            self._next_of_loop(at)

    def _end_run(self, replica: Replica, now: float) -> None:
        for sequence in replica.finish():
            self._ended[int(sequence.id)] = sequence
            self._next_of_loop(now + self._cost.wire.token * len(sequence.output))

    def _timing(self, index: int, sequence: Sequence) -> Timing:
        request = self._requests[index]
        first, end, scheduled = sequence.first_token, sequence.finished, sequence.first_scheduled
        if first is None or end is None or scheduled is None:
            raise IntegrityError(f"request {index} ended without a token")
        wire = self._wire(request)
        count = len(sequence.output)
        return Timing(
            arrived=sequence.arrived - wire,
            ttft=first - sequence.arrived + wire + self._cost.wire.token,
            e2e=end - sequence.arrived + wire + self._cost.wire.token * count,
            prompt_tokens=request.prompt_tokens,
            output_tokens=count,
            queue=scheduled - sequence.arrived,
        )

    def _outcome(self, objectives: Objectives, wall_s: float) -> Outcome:
        timings = [self._timing(index, sequence) for index, sequence in sorted(self._ended.items())]
        gaps = Gaps()
        for replica in self.replicas:
            gaps.extend(replica.gaps)
        gaps.seconds = [seconds + self._cost.wire.token for seconds in gaps.seconds]
        steps = sum(replica.steps for replica in self.replicas)
        duration = max((t.arrived + t.e2e for t in timings), default=0.0)
        return Outcome(
            report=report(timings, gaps, failed=self._rejected, duration_s=duration, objectives=objectives),
            timings=timings,
            rejected=self._rejected,
            steps=steps,
            events=steps + 2 * len(timings) + self._rejected,
            preemptions=sum(replica.preemptions for replica in self.replicas),
            wall_s=wall_s,
            per_replica=self._given,
        )
