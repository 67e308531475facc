"""What the scheduler promises: order, limits, chunks, preemption, and books that balance."""

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midwatch_contracts.clock import VirtualClock
from midwatch_serving.block_manager import BlockManager
from midwatch_serving.errors import IntegrityError, RequestError
from midwatch_serving.sampling import SamplingParams
from midwatch_serving.scheduler import Batch, Limits, Scheduler
from midwatch_serving.sequence import Sequence, State

EOS = 7


def scheduler(blocks: int = 16, block_size: int = 4, seqs: int = 4, tokens: int = 32, max_len: int = 64) -> Scheduler:
    return Scheduler(
        BlockManager(blocks, block_size),
        Limits(seqs, tokens),
        max_model_len=max_len,
        clock=VirtualClock(),
        eos=frozenset({EOS}),
    )


def request(name: str, prompt: int, output: int, **params: bool | int) -> Sequence:
    return Sequence(name, tuple(range(100, 100 + prompt)), SamplingParams(output, **params), arrived=0.0)  # type: ignore[arg-type] (named fields of one type each)


def ids(batch: Batch) -> list[str]:
    return [chunk.sequence.id for chunk in batch.chunks]


def step(s: Scheduler, token: int = 1) -> Batch:
    batch = s.schedule()
    s.complete(batch, [token] * len(batch.chunks))
    s.check_integrity()
    return batch


def test_requests_join_the_batch_in_order_of_arrival_up_to_max_num_seqs() -> None:
    s = scheduler(seqs=2)
    for name in "abc":
        s.add(request(name, 3, 2))
    assert ids(step(s)) == ["a", "b"]
    assert ids(step(s)) == ["a", "b"]  # both end here
    assert ids(step(s)) == ["c"]


def test_a_request_joins_while_others_are_decoding() -> None:
    s = scheduler()
    s.add(request("a", 4, 5))
    step(s)
    s.add(request("b", 4, 5))
    batch = step(s)
    assert [(c.sequence.id, c.count) for c in batch.chunks] == [("a", 1), ("b", 4)]


def test_a_prompt_longer_than_the_budget_is_computed_in_chunks_and_yields_one_token_at_the_end() -> None:
    s = scheduler(tokens=5)
    long = request("long", 12, 2)
    s.add(long)
    chunks = [step(s).chunks[0] for _ in range(3)]
    assert [(c.start, c.count, c.samples) for c in chunks] == [(0, 5, False), (5, 5, False), (10, 2, True)]
    assert long.output == [1]


def test_decoding_goes_before_a_new_prompt_and_the_budget_is_kept() -> None:
    s = scheduler(tokens=6)
    s.add(request("a", 2, 9))
    step(s)
    s.add(request("b", 20, 2))
    batch = step(s)
    assert [(c.sequence.id, c.count) for c in batch.chunks] == [("a", 1), ("b", 5)]


def test_admission_waits_until_the_blocks_of_the_whole_prompt_are_free() -> None:
    s = scheduler(blocks=4, block_size=4)
    s.add(request("a", 9, 4))  # 3 blocks
    s.add(request("b", 8, 4))  # 2 blocks: one is free
    s.add(request("c", 2, 2))  # 1 block, yet it does not overtake
    assert ids(step(s)) == ["a"]
    assert [w.id for w in s.waiting] == ["b", "c"]


def test_the_latest_arrival_is_preempted_and_later_computes_its_tokens_again() -> None:
    s = scheduler(blocks=4, block_size=4)
    old, new = request("old", 7, 6), request("new", 7, 6)
    s.add(old)
    s.add(new)
    step(s)
    step(s)  # both hold 8 tokens: every block is full
    batch = step(s)
    assert batch.preempted == [new]
    assert ids(batch) == ["old"]
    assert (new.state, new.num_computed, new.block_table, new.preemptions) == (State.WAITING, 0, [], 1)
    assert len(new.output) == 2
    while old.state is not State.FINISHED:
        step(s)
    batch = step(s)
    assert [(c.sequence.id, c.start) for c in batch.chunks] == [("new", 0)]
    assert batch.chunks[0].count == new.num_tokens - 1  # the prompt and every token it had generated
    assert batch.admitted == []  # it was scheduled before: its queue time is known
    while new.state is not State.FINISHED:
        step(s)
    assert len(new.output) == 6


def test_a_request_that_can_never_fit_is_refused_and_leaves_no_trace() -> None:
    s = scheduler(blocks=4, block_size=4)
    s.add(request("fits", 10, 7))  # 16 cached tokens: the last one is never computed
    with pytest.raises(RequestError, match="need 5 KV blocks of 4 tokens; this server has 4"):
        s.add(request("too big", 10, 8))
    with pytest.raises(RequestError, match=r"make 65 tokens; the model takes 64"):
        s.add(request("too long", 60, 5))
    with pytest.raises(RequestError, match="empty"):
        s.add(request("empty", 0, 5))
    assert [w.id for w in s.waiting] == ["fits"]
    s.check_integrity()


def test_capacity_is_the_longest_request_that_is_taken() -> None:
    for s in (scheduler(blocks=4, block_size=4), scheduler(blocks=99)):
        s.add(request("just", 3, s.capacity - 3))
        with pytest.raises(RequestError):
            s.add(request("over", 3, s.capacity - 2))


def test_end_of_sequence_ends_an_answer_unless_it_comes_too_early_or_is_ignored() -> None:
    s = scheduler()
    plain, patient, deaf = request("a", 2, 3), request("b", 2, 3, min_tokens=1), request("c", 2, 3, ignore_eos=True)
    for sequence in (plain, patient, deaf):
        s.add(sequence)
    for _ in range(3):
        step(s, token=EOS)
    assert (plain.finish_reason, len(plain.output)) == ("stop", 1)
    assert (patient.finish_reason, len(patient.output)) == ("stop", 2)
    assert (deaf.finish_reason, len(deaf.output)) == ("length", 3)


def test_an_abort_while_its_step_runs_frees_the_blocks_and_drops_the_token() -> None:
    s = scheduler()
    gone, stays = request("gone", 4, 5), request("stays", 4, 5)
    s.add(gone)
    s.add(stays)
    batch = s.schedule()
    s.finish(gone, "abort")
    s.check_integrity()
    assert s.complete(batch, [1, 1]) == [stays]
    assert (gone.output, gone.finish_reason) == ([], "abort")
    s.finish(gone, "stop")
    assert gone.finish_reason == "abort"
    s.check_integrity()


def test_lower_limits_act_from_the_next_step_on_and_stop_no_one() -> None:
    s = scheduler(seqs=3)
    for name in "abcd":
        s.add(request(name, 2, 4))
    step(s)
    s.set_limits(max_num_seqs=1)
    assert ids(step(s)) == ["a", "b", "c"]
    for _ in range(2):
        step(s)
    assert ids(step(s)) == ["d"]


def test_integrity_names_a_lost_and_a_doubly_held_block() -> None:
    s = scheduler()
    s.add(request("a", 6, 3))
    step(s)
    table = s.running[0].block_table
    lost = table.pop()
    with pytest.raises(IntegrityError, match=rf"lost \[{lost}\]"):
        s.check_integrity()
    table.extend([lost, lost])
    with pytest.raises(IntegrityError, match=rf"held twice \[{lost}\]"):
        s.check_integrity()


ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.integers(1, 30), st.integers(1, 20)),
        st.tuples(st.just("step"), st.integers(0, 9), st.integers(1, 4)),
        st.tuples(st.just("abort"), st.integers(0, 30), st.just(0)),
        st.tuples(st.just("limit"), st.integers(1, 5), st.integers(5, 40)),
    ),
    max_size=60,
)


def act(s: Scheduler, kind: str, x: int, y: int) -> None:
    """Abort the x-th request, set limits to (x, y), or take y steps that generate EOS when x is 0."""
    alive = s.sequences()
    if kind == "abort" and alive:
        s.finish(alive[x % len(alive)], "abort")
    elif kind == "limit":
        s.set_limits(max_num_seqs=x, max_num_batched_tokens=y)
    elif kind == "step":
        for _ in range(y):
            if s.has_work:
                batch = step(s, token=EOS if x == 0 else 1)
                assert batch.num_tokens <= s.limits.max_num_batched_tokens


@settings(max_examples=150, deadline=None)
@given(blocks=st.integers(1, 12), block_size=st.sampled_from([1, 4, 8]), actions=ACTIONS)
def test_books_balance_and_everyone_is_served_whatever_happens(
    blocks: int, block_size: int, actions: list[tuple[str, int, int]]
) -> None:
    s = scheduler(blocks=blocks, block_size=block_size, seqs=3, tokens=10, max_len=40)
    taken: list[Sequence] = []
    for number, (kind, x, y) in enumerate(actions):
        if kind != "add":
            act(s, kind, x, y)
        elif x + y <= s.capacity:
            taken.append(request(str(number), x, y))
            s.add(taken[-1])
        else:
            with pytest.raises(RequestError):
                s.add(request(str(number), x, y))
        s.check_integrity()
    steps = 0
    while s.has_work:
        step(s)
        steps += 1
        assert steps < 20_000, "requests starve"
    assert s.blocks.num_free == blocks
    assert all(t.finish_reason in {"stop", "length", "abort"} for t in taken)
    assert all(len(t.output) == t.params.max_tokens for t in taken if t.finish_reason == "length")


def test_limits_are_values() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Limits(1, 1).max_num_seqs = 2  # type: ignore[misc] (that it cannot be set is the point)
