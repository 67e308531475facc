"""What is taken into the queue and when one of it may start."""

from collections.abc import Callable
from typing import Any

import pytest

from midwatch_serving.errors import QueueFull, RequestError

Bench = Any
MakeBench = Callable[..., Bench]


def test_requests_above_max_num_queued_reqs_are_refused_with_503_and_counted(bench: MakeBench) -> None:
    b = bench(max_num_queued_reqs=2, max_num_seqs=1)
    first = b.add("a", 4)
    b.add("b", 4)
    b.step()  # one runs, one waits: both count, as in vLLM
    with pytest.raises(QueueFull, match="max_num_queued_reqs") as refused:
        b.add("c", 4)
    error = refused.value
    assert (error.status, error.reason, error.retry_after) == (503, "max_num_queued_reqs", 1)
    assert b.scheduler.rejections == {"max_num_queued_reqs": 1, "max_num_queued_tokens": 0}
    b.scheduler.finish(first, "abort")
    b.add("c", 4)


def test_several_answers_of_one_request_find_room_together_or_not_at_all(bench: MakeBench) -> None:
    b = bench(max_num_queued_reqs=3)
    b.add("a", 4)
    b.scheduler.check_room(2)
    with pytest.raises(QueueFull):
        b.scheduler.check_room(3)
    b.add("someone else", 4)
    for name in ("first", "second"):
        b.add(name, 4, promised=True)
    assert len(b.scheduler.waiting) == 4


def test_requests_are_refused_while_max_num_queued_tokens_of_prompts_wait(bench: MakeBench) -> None:
    b = bench(max_num_queued_tokens=30, max_num_batched_tokens=16)
    b.add("long", 100, output=9)  # longer than the limit, yet not refused for ever
    with pytest.raises(QueueFull, match="100 prompt tokens wait") as refused:
        b.add("next", 4)
    assert refused.value.reason == "max_num_queued_tokens"
    for _ in range(6):
        b.step()
        assert b.scheduler.num_prefill_tokens == 100  # until it has its first token, as in vLLM
    b.step()
    assert b.scheduler.num_prefill_tokens == 0
    b.add("next", 4)
    assert b.scheduler.rejections["max_num_queued_tokens"] == 1


def test_a_wrong_request_is_told_so_even_when_the_queue_is_full(bench: MakeBench) -> None:
    b = bench(max_num_queued_reqs=1)
    b.add("a", 4)
    with pytest.raises(RequestError) as refused:
        b.add("b", 200)
    assert refused.value.status == 400


@pytest.mark.parametrize("score_from", [0, -1, 5, 6])
def test_a_scoring_request_needs_a_token_to_score_and_one_before_it(bench: MakeBench, score_from: int) -> None:
    b = bench()
    with pytest.raises(RequestError, match="nothing to score") as refused:
        b.add("a", 5, score_from=score_from)
    assert refused.value.param == "score_from"


def test_a_scoring_request_may_be_as_long_as_the_model_takes(bench: MakeBench) -> None:
    b = bench(blocks=8, max_len=32)
    sequence = b.add("a", 32, output=30, score_from=31)
    b.finish()
    assert (sequence.finish_reason, len(sequence.scores)) == ("stop", 1)
    with pytest.raises(RequestError, match=r"^33 prompt tokens make 33 tokens"):
        b.add("b", 33, score_from=1)


def test_a_preempted_scoring_request_yields_each_score_once(bench: MakeBench) -> None:
    b = bench(blocks=8, max_num_batched_tokens=6, max_num_seqs=2)
    b.add("old", 4, output=20)
    b.step()
    scored = b.add("scored", 23, score_from=1)
    while not scored.scores:
        b.step()
    b.scheduler.reset_prefix_cache(reset_running_requests=True)
    assert scored.scores == []
    b.finish()
    assert len(scored.scores) == 22
    assert scored.preemptions >= 1


def test_without_chunked_prefill_a_prompt_waits_for_a_step_that_holds_it_whole(bench: MakeBench) -> None:
    b = bench(max_num_batched_tokens=16, max_len=16, enable_chunked_prefill=False)
    b.add("a", 4, output=2)
    b.step()
    b.add("b", 16 - 2, output=2)
    b.add("c", 16 - 1, output=1)
    b.add("d", 1, output=1)  # would fit, yet does not overtake
    assert b.step() == [("a", 4, 1), ("b", 0, 14)]
    assert b.step() == [("b", 14, 1), ("c", 0, 15)]
    assert b.step() == [("d", 0, 1)]


def test_a_long_prompt_takes_no_more_of_a_step_than_the_threshold(bench: MakeBench) -> None:
    b = bench(max_num_batched_tokens=16, long_prefill_token_threshold=6)
    b.add("long", 20)
    b.add("short", 4)
    assert b.step() == [("long", 0, 6), ("short", 0, 4)]
    b.add("longer", 9)
    assert b.step() == [("long", 6, 6), ("short", 4, 1), ("longer", 0, 6)]


def test_the_watermark_keeps_blocks_for_those_that_run_but_lets_one_start_alone(bench: MakeBench) -> None:
    b = bench(blocks=10, watermark=0.3)
    b.add("a", 20, output=2)
    b.add("b", 12, output=2)  # would leave two blocks, and three are to be kept
    assert [name for name, _, _ in b.step()] == ["a"]
    b.finish()
    alone = bench(blocks=10, watermark=0.9)
    alone.add("a", 36, output=2)
    assert alone.step() == [("a", 0, 36)]
    none = bench(blocks=10)
    for name, prompt in (("a", 20), ("b", 12)):
        none.add(name, prompt, output=2)
    assert len(none.step()) == 2
