"""Ten thousand random steps with everything that can happen to a request: books balance, answers stay exact."""

import random
import zlib
from array import array
from collections import Counter

import pytest

from midwatch_contracts.clock import VirtualClock
from midwatch_serving.block_manager import BlockManager
from midwatch_serving.errors import QueueFull, RequestError
from midwatch_serving.fake_executor import FakeExecutor
from midwatch_serving.limits import Limits
from midwatch_serving.sampling import SamplingParams
from midwatch_serving.scheduler import Scheduler
from midwatch_serving.sequence import Sequence, State
from midwatch_serving.work import work_of

STEPS_A_RUN = 250
RUNS = 40
VOCAB, EOS, BLOCKS, MAX_LEN = 11, 5, 14, 40


def expected_output(sequence: Sequence) -> list[int]:
    """What the fake executor generates for the prompt alone, as far as the sequence came."""
    context = list(sequence.prompt)
    for _ in sequence.output:
        context.append(zlib.crc32(array("q", context).tobytes()) % VOCAB)
    return context[len(sequence.prompt) :]


def expected_scores(sequence: Sequence) -> list[float]:
    first, prompt = sequence.score_from or 1, sequence.prompt
    return [
        -1.0 - (zlib.crc32(array("q", prompt[:p]).tobytes()) ^ prompt[p]) % 1000 / 1000
        for p in range(first, len(prompt))
    ]


class World:
    """A scheduler, a fake executor, and dice."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)  # noqa: S311 (dice of a test)
        self.size = self.dice.choice([1, 2, 4])
        blocks = BLOCKS * 4 // self.size
        self.scheduler = Scheduler(
            BlockManager(blocks, self.size, enable_prefix_caching=self.dice.random() < 0.8),
            Limits(3, 12),
            max_model_len=MAX_LEN,
            clock=VirtualClock(),
            eos=frozenset({EOS}),
            reservation=self.dice.choice(["as_it_grows", "as_it_grows", "as_it_grows", "whole_request"]),
        )
        self.executor = FakeExecutor(num_blocks=blocks, block_size=self.size, vocab=VOCAB)
        self.seen = Counter[str]()
        self.taken: list[Sequence] = []
        self.shared = [tuple(self.dice.randrange(VOCAB) for _ in range(20)) for _ in range(2)]
        self.steps = 0

    def request(self) -> Sequence:
        dice = self.dice
        tail = tuple(dice.randrange(VOCAB) for _ in range(dice.randrange(8)))
        prompt = dice.choice(self.shared)[: dice.randrange(21)] + tail
        params = SamplingParams(
            dice.randint(1, 25), ignore_eos=dice.random() < 0.5, min_tokens=dice.choice([0, 0, 4]),
            stop_token_ids=dice.choice([(), (), (3,)]),
        )  # fmt: skip
        return Sequence(
            str(dice.randrange(200)),
            prompt,
            params,
            0.0,
            priority=dice.choice([0, 0, 0, -1, 2]),
            cache_salt=dice.choice([None, None, None, "theirs"]),
            score_from=dice.choice([None, None, None, dice.randrange(12)]),
        )

    def add(self) -> None:
        sequence = self.request()
        before = self.scheduler.sequences()
        try:
            self.scheduler.add(sequence)
        except QueueFull as refusal:
            self.seen[refusal.reason] += 1
        except RequestError:
            self.seen["refused"] += 1
        else:
            self.taken.append(sequence)
            return
        assert self.scheduler.sequences() == before

    def change_limits(self) -> None:
        dice = self.dice
        chunked = dice.random() < 0.7
        self.scheduler.set_limits(
            max_num_seqs=dice.randint(1, 5),
            max_num_batched_tokens=dice.randint(5, 20) if chunked else MAX_LEN,
            enable_chunked_prefill=chunked,
            long_prefill_token_threshold=dice.choice([0, 3]) if chunked else 0,
            scheduling_policy=dice.choice(["fcfs", "priority"]),
            max_num_queued_reqs=dice.choice([None, None, 6]),
            max_num_queued_tokens=dice.choice([None, None, 60]),
            watermark=dice.choice([0.0, 0.0, 0.3]),
        )

    def end_someone(self) -> None:
        alive = self.scheduler.sequences()
        if alive:
            sequence = self.dice.choice(alive)
            self.seen[f"ended {sequence.state.value}"] += 1
            self.scheduler.finish(sequence, self.dice.choice(["abort", "stop", "error"]))

    def reset(self) -> None:
        runs = bool(self.scheduler.running)
        forced = self.dice.random() < 0.5
        assert self.scheduler.reset_prefix_cache(reset_running_requests=forced) is (forced or not runs)
        self.seen["reset"] += 1

    def act(self) -> None:
        drawn = self.dice.random()
        if drawn < 0.30:
            self.add()
        elif drawn < 0.36:
            self.end_someone()
        elif drawn < 0.40:
            self.change_limits()
        elif drawn < 0.42:
            self.reset()
        self.scheduler.check_integrity()

    def step(self) -> None:
        """One step, or several at once; now and then someone goes, or comes, while it runs."""
        batch = self.scheduler.schedule()
        self.scheduler.check_integrity()
        assert batch.num_tokens <= self.scheduler.limits.max_num_batched_tokens
        assert len({c.sequence.id for c in batch.chunks}) == len(batch.chunks)
        self.seen["preempted"] += len(batch.preempted)
        result = self.executor.execute(work_of(batch))
        if self.dice.random() < 0.05:
            self.end_someone()
        if self.dice.random() < 0.05:
            self.add()
        grown = self.scheduler.complete(batch, result.tokens, result.scores)
        assert all(s.output or s.scores for s in grown)
        self.scheduler.check_integrity()
        self.steps += 1

    def check_answers(self) -> None:
        for sequence in self.taken:
            assert sequence.output == expected_output(sequence)
            if sequence.score_from is not None and sequence.finish_reason == "stop" and sequence.scores:
                whole = expected_scores(sequence)
                assert sequence.scores == whole[: len(sequence.scores)]
                self.seen["scored"] += sequence.scores == whole
            if sequence.finish_reason == "length":
                assert len(sequence.output) == sequence.params.max_tokens


def play(seed: int) -> tuple[World, int]:
    world = World(seed)
    while world.steps < STEPS_A_RUN:
        world.act()
        if world.scheduler.has_work:
            world.step()
    played = world.steps
    world.scheduler.set_limits(max_num_queued_reqs=None)
    while world.scheduler.has_work:
        world.step()
        assert world.steps < 10 * STEPS_A_RUN, "requests starve"
    return world, played


@pytest.fixture(scope="module")
def worlds() -> list[tuple[World, int]]:
    return [play(seed) for seed in range(RUNS)]


def test_ten_thousand_steps_leave_no_block_behind(worlds: list[tuple[World, int]]) -> None:
    assert sum(played for _, played in worlds) >= 10_000
    for world, _ in worlds:
        blocks = world.scheduler.blocks
        assert all(s.state is State.FINISHED and not s.block_table for s in world.taken)
        assert blocks.num_free == blocks.num_blocks
        assert world.scheduler.reset_prefix_cache()
        assert len(blocks.prefix) == blocks.prefix.num_idle == 0
        world.scheduler.check_integrity()
        assert world.scheduler.num_prefill_tokens == 0


def test_every_answer_of_ten_thousand_steps_is_what_its_prompt_alone_yields(worlds: list[tuple[World, int]]) -> None:
    for world, _ in worlds:
        world.check_answers()


def test_all_that_can_happen_did_happen(worlds: list[tuple[World, int]]) -> None:
    seen = sum((world.seen for world, _ in worlds), Counter[str]())
    for what in ("preempted", "refused", "max_num_queued_reqs", "max_num_queued_tokens", "reset", "scored"):
        assert seen[what] > 20, what
    assert seen["ended running"] > 100 < seen["ended waiting"]
    caches = [world.scheduler.blocks.prefix for world, _ in worlds]
    assert sum(cache.hits for cache in caches) > 1000
    assert sum(cache.evictions for cache in caches) > 1000
    reasons = Counter(s.finish_reason for world, _ in worlds for s in world.taken)
    assert set(reasons) == {"stop", "length", "abort", "error"}
