"""Notes when each step of an executor began and ended, and what CPU time it took, for those who measure."""

import time
from dataclasses import dataclass

from midwatch_serving.step_shape import StepShape, shape_of_work
from midwatch_serving.work import Executor, StepResult, Work


@dataclass(frozen=True)
class Step:
    """One step that was computed; seconds, `began` and `ended` on the performance counter."""

    shape: StepShape
    began: float
    ended: float
    cpu_s: float

    @property
    def wall_s(self) -> float:
        """From begin to end."""
        return self.ended - self.began


class WatchedExecutor:
    """Forwards to an executor and keeps a list of its steps, which the caller empties."""

    def __init__(self, executor: Executor) -> None:
        self.steps: list[Step] = []
        self._executor = executor

    def execute(self, work: list[Work]) -> StepResult:
        """Compute one step."""
        began = time.perf_counter()
        result = self._executor.execute(work)
        self.steps.append(Step(shape_of_work(work), began, time.perf_counter(), result.cpu_s))
        return result

    def take(self) -> list[Step]:
        """Return the steps since the last call."""
        steps, self.steps = self.steps, []
        return steps
