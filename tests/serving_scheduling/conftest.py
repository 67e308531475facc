"""What the scheduling tests share: a scheduler over a fake executor, driven by hand."""

from collections.abc import Callable
from dataclasses import dataclass
from zlib import crc32

import pytest

from midwatch_contracts.clock import VirtualClock
from midwatch_serving.batch import Batch
from midwatch_serving.block_manager import BlockManager
from midwatch_serving.fake_executor import FakeExecutor
from midwatch_serving.limits import Limits
from midwatch_serving.prefix_cache import PrefixCache
from midwatch_serving.sampling import SamplingParams
from midwatch_serving.scheduler import Scheduler
from midwatch_serving.sequence import Sequence
from midwatch_serving.work import work_of


@dataclass
class Bench:
    """A scheduler and what runs its steps."""

    scheduler: Scheduler
    executor: FakeExecutor

    @property
    def prefix(self) -> PrefixCache:
        return self.scheduler.blocks.prefix

    def add(
        self,
        name: str,
        prompt: int | tuple[int, ...],
        output: int = 3,
        *,
        priority: int = 0,
        salt: str | None = None,
        score_from: int | None = None,
        promised: bool = False,
    ) -> Sequence:
        """Add a request; a prompt given as a length is one of its own, which shares nothing."""
        tokens = (
            prompt
            if isinstance(prompt, tuple)
            else tuple(1000 + crc32(name.encode()) % 10_000 * 1000 + i for i in range(prompt))
        )
        sequence = Sequence(
            name, tokens, SamplingParams(output, ignore_eos=True), 0.0,
            priority=priority, cache_salt=salt, score_from=score_from,
        )  # fmt: skip
        self.scheduler.add(sequence, promised=promised)
        return sequence

    def step(self) -> list[tuple[str, int, int]]:
        """Take a step; return (id, start, count) of its chunks."""
        assert self.scheduler.has_work
        batch = self.schedule()
        result = self.executor.execute(work_of(batch))
        self.scheduler.complete(batch, result.tokens, result.scores)
        self.scheduler.check_integrity()
        return [(c.sequence.id, c.start, c.count) for c in batch.chunks]

    def schedule(self) -> Batch:
        batch = self.scheduler.schedule()
        self.scheduler.check_integrity()
        return batch

    def finish(self) -> None:
        """Serve until nothing is left."""
        while self.scheduler.has_work:
            self.step()


MakeBench = Callable[..., Bench]


@pytest.fixture
def bench() -> MakeBench:
    """`bench(blocks=16, size=4, caching=True, reservation="as_it_grows", **limits)`."""

    def make(
        *, blocks: int = 64, size: int = 4, caching: bool = True, max_len: int = 128, reservation: str = "as_it_grows",
        max_num_seqs: int = 4, max_num_batched_tokens: int = 64, **limits: bool | str | float | None,
    ) -> Bench:  # fmt: skip
        scheduler = Scheduler(
            BlockManager(blocks, size, enable_prefix_caching=caching),
            Limits(max_num_seqs, max_num_batched_tokens),
            max_model_len=max_len,
            clock=VirtualClock(),
            reservation=reservation,
        )
        scheduler.set_limits(**limits)
        return Bench(scheduler, FakeExecutor(num_blocks=blocks, block_size=size))

    return make
