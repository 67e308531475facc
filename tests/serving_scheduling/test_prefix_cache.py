"""Computed prefixes are found again: by content and salt, shared while in use, and forgotten the oldest first."""

from collections.abc import Callable
from typing import Any

import pytest

from midwatch_serving.errors import IntegrityError
from midwatch_serving.prefix_cache import block_hash, root_hash

Bench = Any
MakeBench = Callable[..., Bench]

TEXT = tuple(range(10, 30))
"""Five blocks of four."""


def test_a_prompt_that_was_computed_before_is_computed_only_in_its_last_block(bench: MakeBench) -> None:
    b = bench()
    b.add("first", TEXT)
    b.finish()
    second = b.add("second", TEXT)
    assert b.step() == [("second", 16, 4)]  # a whole hit would leave no token to sample from
    assert second.num_cached == 16
    assert (b.prefix.queries, b.prefix.hits) == (40, 16)


def test_a_longer_prompt_and_a_next_turn_build_on_what_is_there(bench: MakeBench) -> None:
    b = bench()
    first = b.add("first", TEXT, output=9)
    b.finish()
    turn = (*TEXT, *first.output, 7, 7)
    second = b.add("second", turn)
    b.step()
    assert second.num_cached == 28  # answers are cached as well as prompts; the last token was never computed
    assert len(turn) == 31


def test_running_sequences_share_blocks_and_the_last_to_leave_frees_them(bench: MakeBench) -> None:
    b = bench()
    first = b.add("first", TEXT, output=20)
    b.step()
    second = b.add("second", (*TEXT, 1, 2), output=3)
    b.step()
    assert second.block_table[:5] == first.block_table[:5]
    assert b.scheduler.blocks.num_blocks - b.scheduler.blocks.num_free == 7
    b.scheduler.finish(first, "abort")
    b.scheduler.check_integrity()
    assert b.prefix.num_idle == 0
    b.finish()
    assert b.scheduler.blocks.num_free == b.scheduler.blocks.num_blocks
    assert b.prefix.num_idle == len(b.prefix)


def test_blocks_are_found_only_once_they_are_computed(bench: MakeBench) -> None:
    b = bench(max_num_batched_tokens=8)
    b.add("first", TEXT)
    batch = b.schedule()
    assert len(b.prefix) == 0
    b.scheduler.complete(batch, [0])
    assert len(b.prefix) == 2  # of five
    b.add("second", TEXT[:8] + (0,) * 8)
    b.scheduler.set_limits(max_num_batched_tokens=64)
    assert b.step() == [("first", 8, 12), ("second", 8, 8)]


def test_requests_of_one_batch_do_not_wait_for_each_other(bench: MakeBench) -> None:
    b = bench()
    both = [b.add("a", TEXT), b.add("b", TEXT)]
    assert b.step() == [("a", 0, 20), ("b", 0, 20)]
    assert not set(both[0].block_table) & set(both[1].block_table)
    b.finish()
    assert both[0].output == both[1].output
    assert len(b.prefix) == 5
    assert b.scheduler.blocks.num_free == b.scheduler.blocks.num_blocks


@pytest.mark.parametrize(("salt", "cached"), [("mine", 16), ("theirs", 0), (None, 0)])
def test_only_requests_of_the_same_salt_share(bench: MakeBench, salt: str | None, cached: int) -> None:
    b = bench()
    b.add("first", TEXT, salt="mine")
    b.finish()
    second = b.add("second", TEXT, salt=salt)
    b.step()
    assert second.num_cached == cached


def test_a_block_is_known_by_everything_before_it_too(bench: MakeBench) -> None:
    b = bench()
    b.add("first", TEXT)
    b.finish()
    second = b.add("second", (0, *TEXT[1:]))
    b.step()
    assert second.num_cached == 0
    assert block_hash(root_hash(None), [1, 2]) != block_hash(root_hash("x"), [1, 2])
    assert block_hash(root_hash(""), [1, 2]) != block_hash(root_hash(None), [1, 2])


def test_the_least_recently_used_is_forgotten_first_and_a_chain_from_its_end(bench: MakeBench) -> None:
    b = bench(blocks=8, max_num_seqs=1)
    old, young, other = (1,) * 13, (2,) * 13, (3,) * 13
    for name, prompt in (("old", old), ("young", young), ("old again", old)):
        b.add(name, prompt, output=1)
        b.finish()
    assert (b.prefix.num_idle, b.prefix.evictions) == (6, 0)
    b.add("other", other, output=1)  # takes four blocks, of which two are empty
    b.finish()
    assert b.prefix.evictions == 2
    again = [b.add(f"{prompt[0]} again", prompt, output=1) for prompt in (old, young)]
    b.finish()
    assert [sequence.num_cached for sequence in again] == [12, 4]


def test_a_resumed_sequence_finds_its_own_blocks(bench: MakeBench) -> None:
    b = bench(blocks=8)
    b.add("old", 8, output=18)
    new = b.add("new", 8, output=14)
    while not new.preemptions:
        b.step()
    generated = list(new.output)
    steps: list[tuple[str, int, int]] = []
    while b.scheduler.has_work:
        steps += b.step()
    resumed = next((start, count) for name, start, count in steps if name == "new")
    assert resumed[0] > 0
    assert sum(resumed) == 8 + len(generated)
    assert new.num_cached == 0  # that was at the first admission
    assert (b.prefix.queries, b.prefix.hits) == (16, 0)


@pytest.mark.parametrize(("score_from", "cached"), [(1, 0), (4, 0), (5, 4), (13, 12), (16, 12), (17, 16), (19, 16)])
def test_a_scoring_request_computes_every_position_that_scores_a_token(
    bench: MakeBench, score_from: int, cached: int
) -> None:
    b = bench(max_num_batched_tokens=7)
    whole = b.add("whole", TEXT, score_from=1)
    b.finish()
    part = b.add("part", TEXT, score_from=score_from)
    b.finish()
    assert (part.num_cached, part.finish_reason, part.output) == (cached, "stop", [])
    assert part.scores == whole.scores[score_from - 1 :]
    assert len(whole.scores) == 19


def test_a_reset_forgets_all_while_nobody_runs_and_nothing_else(bench: MakeBench) -> None:
    b = bench()
    b.add("first", TEXT, output=5)
    b.step()
    assert not b.scheduler.reset_prefix_cache()
    assert len(b.prefix) == 5
    assert b.scheduler.reset_prefix_cache(reset_running_requests=True)
    assert (len(b.prefix), b.scheduler.running, len(b.scheduler.waiting)) == (0, [], 1)
    assert b.step() == [("first", 0, 21)]
    b.finish()
    assert b.scheduler.reset_prefix_cache()
    assert (len(b.prefix), b.prefix.evictions) == (0, 0)
    b.scheduler.check_integrity()


def test_switched_off_it_keeps_and_counts_nothing(bench: MakeBench) -> None:
    b = bench(caching=False)
    for name in "ab":
        request = b.add(name, TEXT)
        b.finish()
        assert request.num_cached == 0
        assert request.block_hashes == []
    assert (len(b.prefix), b.prefix.queries, b.prefix.hits) == (0, 0, 0)


def test_integrity_names_a_block_that_holds_something_else(bench: MakeBench) -> None:
    b = bench()
    first = b.add("first", TEXT, output=9)
    b.step()
    first.block_table[0], first.block_table[1] = first.block_table[1], first.block_table[0]
    with pytest.raises(IntegrityError, match="holds other tokens than it says"):
        b.scheduler.check_integrity()


def test_integrity_names_a_block_that_is_shared_and_may_be_written(bench: MakeBench) -> None:
    b = bench()
    first = b.add("first", TEXT, output=9)
    b.step()
    first.num_computed = 14
    with pytest.raises(IntegrityError, match="may write to block"):
        b.scheduler.check_integrity()
