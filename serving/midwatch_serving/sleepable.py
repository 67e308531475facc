"""An executor that can give its memory back and take it again (vLLM's sleep mode, by level).

Level 1 keeps the weights and gives back the executor's own memory, which is the KV cache and its work space: on a CPU
there is no other memory to move weights to. Level 2 gives back the weights too; waking loads them again.
"""

import gc
from collections.abc import Callable

from midwatch_serving.errors import ServingError
from midwatch_serving.model import Model
from midwatch_serving.work import Executor, StepResult, Work

KEEP_WEIGHTS = 1
DISCARD_WEIGHTS = 2


class SleepableExecutor:
    """Forwards to an executor that is dropped for a sleep and built again. Weights come out bit for bit the same."""

    def __init__(
        self, model: Model, build: Callable[[Model], Executor], reload: Callable[[], Model] | None = None
    ) -> None:
        """Build the executor over `model`; `reload` reads its weights again, without it level 2 is not offered.

        Whoever keeps a reference to the model keeps its weights: hand it over.
        """
        self.levels: tuple[int, ...] = (KEEP_WEIGHTS,) if reload is None else (KEEP_WEIGHTS, DISCARD_WEIGHTS)
        self._build = build
        self._reload = reload
        self._model: Model | None = model
        self._executor: Executor | None = build(model)

    def execute(self, work: list[Work]) -> StepResult:
        """Compute one step.

        Raises:
            ServingError: while asleep; whoever lets steps run must wake it first.
        """
        if self._executor is None:
            raise ServingError("a step was to be computed by an executor that is asleep")
        return self._executor.execute(work)

    def sleep(self, level: int) -> None:
        """Give memory back, at one of `levels`; between steps only."""
        self._executor = None
        if level == DISCARD_WEIGHTS:
            self._model = None
        gc.collect()

    def wake_up(self) -> None:
        """Take the memory again; loads the weights where they were discarded. May take seconds; any thread."""
        if self._model is None and self._reload is not None:
            self._model = self._reload()
        if self._model is not None and self._executor is None:
            self._executor = self._build(self._model)
