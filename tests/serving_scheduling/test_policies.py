"""Who goes first, who gives way, and how much room one is given: by the policy of that name."""

from collections.abc import Callable
from typing import Any

import pytest

from midwatch_serving.errors import ConfigError, IntegrityError, RequestError
from midwatch_serving.policies import RESERVATIONS, SCHEDULING_POLICIES, scheduling_policy

Bench = Any
MakeBench = Callable[..., Bench]


def names(steps: list[tuple[str, int, int]]) -> list[str]:
    return [name for name, _, _ in steps]


def test_a_lower_priority_number_goes_first_and_equals_go_by_arrival(bench: MakeBench) -> None:
    b = bench(max_num_seqs=1, scheduling_policy="priority")
    for name, priority in (("late", 5), ("a", 0), ("b", 0), ("urgent", -3)):
        b.add(name, 4, output=1, priority=priority)
    assert [s.id for s in b.scheduler.waiting] == ["urgent", "a", "b", "late"]
    assert [names(b.step()) for _ in range(4)] == [["urgent"], ["a"], ["b"], ["late"]]


def test_the_worst_priority_gives_way_and_of_equals_the_latest_arrival(bench: MakeBench) -> None:
    b = bench(blocks=9, scheduling_policy="priority")
    for name, priority in (("low", 9), ("mid1", 1), ("mid2", 1), ("top", 0)):
        b.add(name, 8 if name != "top" else 7, output=17, priority=priority)
    order: list[str] = []
    while b.scheduler.has_work:
        batch = b.schedule()
        order += [s.id for s in batch.preempted]
        b.scheduler.complete(batch, [0] * len(batch.chunks))
    assert order[:2] == ["low", "mid2"]


def test_an_urgent_arrival_overtakes_the_queue_and_stops_no_one(bench: MakeBench) -> None:
    b = bench(max_num_seqs=1, scheduling_policy="priority")
    b.add("runs", 4, output=3, priority=1)
    b.step()
    b.add("waits", 4, output=1, priority=1)
    b.add("urgent", 4, output=1, priority=0)
    served: list[str] = []
    while b.scheduler.has_work:
        served += names(b.step())
    assert served == ["runs", "runs", "urgent", "waits"]


def test_a_priority_is_refused_where_it_would_be_ignored(bench: MakeBench) -> None:
    b = bench()
    with pytest.raises(RequestError, match="--scheduling-policy priority") as refused:
        b.add("a", 4, priority=1)
    assert (refused.value.param, refused.value.status) == ("priority", 400)
    assert not b.scheduler.has_work


def test_the_policy_changes_while_it_runs_and_orders_everyone_anew(bench: MakeBench) -> None:
    b = bench(max_num_seqs=2, scheduling_policy="priority")
    for name, priority in (("a", 2), ("b", 1), ("c", 4), ("d", 3)):
        b.add(name, 4, output=9, priority=priority)
    b.step()
    assert ([s.id for s in b.scheduler.running], [s.id for s in b.scheduler.waiting]) == (["b", "a"], ["d", "c"])
    b.scheduler.set_limits(scheduling_policy="fcfs")
    b.scheduler.check_integrity()
    assert ([s.id for s in b.scheduler.running], [s.id for s in b.scheduler.waiting]) == (["a", "b"], ["c", "d"])
    b.finish()


def test_an_unknown_policy_is_refused_and_changes_nothing(bench: MakeBench) -> None:
    b = bench()
    limits = b.scheduler.limits
    with pytest.raises(ConfigError, match="none of fcfs, priority"):
        b.scheduler.set_limits(scheduling_policy="lottery", max_num_seqs=1)
    assert b.scheduler.limits is limits


def test_a_request_that_reserves_all_it_asks_for_is_never_preempted(bench: MakeBench) -> None:
    for reservation, running, preempted in (("as_it_grows", 4, True), ("whole_request", 2, False)):
        b = bench(blocks=8, reservation=reservation, caching=False)
        sequences = [b.add(name, 4, output=13) for name in "abcd"]
        assert len(b.step()) == running
        b.finish()
        assert (sum(s.preemptions for s in sequences) > 0) is preempted


def test_a_contiguous_cache_takes_the_longest_context_for_everyone(bench: MakeBench) -> None:
    b = bench(blocks=17, max_len=32, reservation="whole_context", caching=False)
    for name in "abc":
        b.add(name, 4, output=2)
    assert names(b.step()) == ["a", "b"]
    assert [len(s.block_table) for s in b.scheduler.running] == [8, 8]
    small = bench(blocks=7, max_len=32, reservation="whole_context")
    with pytest.raises(RequestError, match="need 8 KV blocks"):
        small.add("a", 4, output=2)


def test_every_policy_has_its_own_name_and_is_found_by_it() -> None:
    assert {name: scheduling_policy(name).name for name in SCHEDULING_POLICIES} == {
        "fcfs": "fcfs",
        "priority": "priority",
    }
    assert {name: policy.name for name, policy in RESERVATIONS.items()} == {name: name for name in RESERVATIONS}


def test_integrity_names_a_sequence_that_runs_out_of_turn(bench: MakeBench) -> None:
    b = bench(scheduling_policy="priority")
    for name in "ab":
        b.add(name, 4, output=9)
    b.step()
    b.scheduler.running.reverse()
    with pytest.raises(IntegrityError, match="runs before one that goes first"):
        b.scheduler.check_integrity()
    b.scheduler.running.reverse()
    b.scheduler.running[0].priority = 7
    with pytest.raises(IntegrityError, match="rank is not that of the policy priority"):
        b.scheduler.check_integrity()


def test_a_long_queue_is_ordered_and_left_from_the_middle_without_keeping_who_left(bench: MakeBench) -> None:
    b = bench(max_num_seqs=1, scheduling_policy="priority")
    everyone = [b.add(str(i), 2, output=1, priority=i * 7919 % 1000) for i in range(1000)]
    for sequence in everyone[::2] + everyone[1:900:2]:
        b.scheduler.finish(sequence, "abort")
    b.scheduler.check_integrity()
    left = sorted(everyone[901::2], key=lambda s: s.priority)
    assert [s.id for s in b.scheduler.waiting] == [s.id for s in left]
    assert b.scheduler.waiting.num_entries < 200
