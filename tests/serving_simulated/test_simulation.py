"""Loads in virtual time: exact sums, the same in one step as in many, and every request ends once."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midwatch_serving.cost_model import CostModel, Slowdown, Wire
from midwatch_serving.deployment import BALANCERS, Balancer, Deployment
from midwatch_serving.errors import WorkloadError
from midwatch_serving.latency import Objectives
from midwatch_serving.simulation import Outcome, Simulation
from midwatch_serving.workload import SHAREGPT, Fixed, Gamma, Request, Workload, synthesise

Deploy = Callable[..., Deployment]
ARRIVALS = st.one_of(st.just(0.0), st.floats(0, 2, allow_subnormal=False))
REQUESTS = st.lists(
    st.builds(
        Request,
        ARRIVALS,
        st.integers(1, 150),
        st.integers(1, 60),
        st.sampled_from([(), ((1, 40),), ((1, 40), (2, 30))]),
    ),
    min_size=1,
    max_size=14,
)


def _load(requests: list[Request], clients: int | None) -> Workload:
    return Workload(tuple(sorted(requests, key=lambda r: r.arrival_s)), clients)


LOADS = st.builds(_load, REQUESTS, st.sampled_from([None, None, 1, 3]))


def _run(load: Workload, deployment: Deployment, cost: CostModel, *, single: bool = False) -> Outcome:
    simulation = Simulation(load, deployment, cost, single_steps=single)
    outcome = simulation.run()
    for replica in simulation.replicas:
        replica.scheduler.check_integrity()
        assert replica.scheduler.blocks.num_free == replica.scheduler.blocks.num_blocks
    return outcome


def test_a_lone_request_takes_the_sum_of_its_steps(cost: CostModel, deploy: Deploy) -> None:
    (timing,) = _run(Workload((Request(1.0, 100, 4),)), deploy(), cost).timings
    s, around = cost.seconds, cost.overhead.step
    prefill = 2 * (s.fixed + around) + 100 * s.prefill_token  # in chunks of 64 and 36
    decodes = [s.fixed + s.decode + s.decode_context * (100 + n) + around for n in (1, 2, 3)]
    assert timing.ttft == pytest.approx(prefill, abs=1e-12)
    assert timing.e2e == pytest.approx(prefill + sum(decodes), abs=1e-12)
    assert (timing.queue, timing.output_tokens) == (0.0, 4)


def test_who_does_not_fit_into_the_batch_waits_for_its_turn(cost: CostModel, deploy: Deploy) -> None:
    first, second = _run(Workload((Request(0.0, 32, 50), Request(0.0, 32, 50))), deploy(seqs=1), cost).timings
    assert second.queue == pytest.approx(first.e2e)
    assert second.ttft == pytest.approx(first.e2e + first.ttft)


SHAPES = st.fixed_dictionaries(
    {
        "seqs": st.integers(1, 5),
        "blocks": st.integers(14, 40),
        "replicas": st.integers(1, 3),
        "enable_prefix_caching": st.booleans(),
        "cpu_limit": st.sampled_from([None, 0.3]),
    }
)


@given(load=LOADS, shape=SHAPES)
def test_many_steps_at_once_are_the_same_as_one_by_one(
    load: Workload, shape: dict[str, Any], cost: CostModel, deploy: Deploy
) -> None:
    deployment = deploy(**shape)
    many, one = _run(load, deployment, cost), _run(load, deployment, cost, single=True)
    assert many.timings == one.timings
    assert many.report == one.report
    assert (many.steps, many.events, many.preemptions) == (one.steps, one.events, one.preemptions)


@given(load=LOADS, shape=SHAPES, balancer=st.sampled_from(BALANCERS))
def test_every_request_ends_exactly_once_with_all_its_tokens(
    load: Workload, shape: dict[str, Any], balancer: Balancer, cost: CostModel, deploy: Deploy
) -> None:
    outcome = _run(load, deploy(**shape, balancer=balancer), cost)
    assert outcome.rejected == 0
    assert [t.output_tokens for t in outcome.timings] == [r.output_tokens for r in load.requests]
    assert sum(outcome.per_replica) == len(load.requests)
    for timing in outcome.timings:
        assert 0 <= (timing.queue or 0.0) < timing.ttft <= timing.e2e


def test_tight_blocks_make_preemptions_and_still_everyone_ends(cost: CostModel, deploy: Deploy) -> None:
    load = Workload(tuple(Request(0.0, 60, 80) for _ in range(6)))
    tight, roomy = (_run(load, deploy(seqs=6, blocks=blocks), cost) for blocks in (12, 256))
    assert tight.preemptions > 0
    assert roomy.preemptions == 0
    assert tight.report.duration_s > roomy.report.duration_s


def test_a_shared_beginning_is_computed_once_where_prefixes_are_cached(cost: CostModel, deploy: Deploy) -> None:
    piece = ((5, 480),)
    load = Workload((Request(0.0, 500, 2, piece), Request(10.0, 500, 2, piece)))
    first, second = _run(load, deploy(tokens=512, enable_prefix_caching=True), cost).timings
    assert second.ttft < first.ttft / 3
    first, second = _run(load, deploy(tokens=512), cost).timings
    assert second.ttft == pytest.approx(first.ttft)


def test_half_a_core_takes_twice_as_long(cost: CostModel, deploy: Deploy) -> None:
    plain = cost.model_copy(update={"overhead": cost.overhead.model_copy(update={"step": 0.0})})
    load = Workload((Request(0.0, 60, 400),))
    whole, half = (_run(load, deploy(cpu_limit=limit), plain).report.duration_s for limit in (None, 0.5))
    assert half == pytest.approx(2 * whole, rel=0.03)


def test_neighbours_stretch_prefills_and_decodes_each_by_its_own(cost: CostModel, deploy: Deploy) -> None:
    plain = cost.model_copy(update={"overhead": cost.overhead.model_copy(update={"step": 0.0})})
    slow = plain.model_copy(update={"slowdown": Slowdown(decode=2.0, prefill=3.0)})
    load = Workload((Request(0.0, 60, 30),))
    (before,), (after,) = (_run(load, deploy(), c).timings for c in (plain, slow))
    assert after.ttft == pytest.approx(3 * before.ttft)
    assert after.tpot == pytest.approx(2 * (before.tpot or 0))


def test_a_client_sees_the_wire_and_the_engine_does_not(cost: CostModel, deploy: Deploy) -> None:
    wired = cost.model_copy(update={"wire": Wire(request=0.5, prompt_token=0.001, token=0.01)})
    load = Workload((Request(0.0, 60, 11), Request(0.0, 60, 11)))
    plain, seen = _run(load, deploy(), cost), _run(load, deploy(), wired)
    for a, b in zip(plain.timings, seen.timings, strict=True):
        assert b.ttft == pytest.approx(a.ttft + 0.5 + 0.06 + 0.01)
        assert b.tpot == pytest.approx((a.tpot or 0) + 0.01)
        assert b.queue == pytest.approx(a.queue)
    assert seen.report.itl is not None
    assert plain.report.itl is not None
    assert seen.report.itl.p50 == pytest.approx(plain.report.itl.p50 + 0.01)


def test_the_first_step_after_a_pause_takes_longer(cost: CostModel, deploy: Deploy) -> None:
    sleepy = cost.model_copy(update={"overhead": cost.overhead.model_copy(update={"wake": 0.25})})
    load = Workload((Request(0.0, 8, 2), Request(5.0, 8, 2), Request(5.0, 8, 2)))
    before, after = (_run(load, deploy(seqs=1), c).timings for c in (cost, sleepy))
    assert [b.ttft - a.ttft for a, b in zip(before, after, strict=True)] == pytest.approx([0.25, 0.25, 0.25])


@pytest.mark.parametrize("balancer", BALANCERS)
def test_more_replicas_shorten_the_queue_of_a_server_that_is_full(
    balancer: Balancer, cost: CostModel, deploy: Deploy
) -> None:
    load = synthesise(Fixed(64, 64), 120, seed=2, arrivals=Gamma(20.0))
    waits = [
        _run(load, deploy(seqs=2, replicas=replicas, balancer=balancer), cost).report.figure("queue_p95") or 0.0
        for replicas in (1, 2, 4, 8)
    ]
    assert waits[0] > waits[1] > waits[2] >= waits[3]
    assert waits[0] > 10 * waits[3]


def test_round_robin_deals_in_turn_and_least_requests_looks_at_the_load(cost: CostModel, deploy: Deploy) -> None:
    load = Workload((Request(0.0, 8, 2000), *(Request(1.0 + n, 8, 2) for n in range(5))))
    in_turn = _run(load, deploy(replicas=2, balancer="round_robin"), cost)
    least = _run(load, deploy(replicas=2, balancer="least_requests"), cost)
    assert in_turn.per_replica == [3, 3]
    assert least.per_replica == [1, 5]


def test_a_closed_loop_never_has_more_requests_than_clients(cost: CostModel, deploy: Deploy) -> None:
    load = synthesise(SHAREGPT, 40, seed=1, concurrency=3)
    timings = _run(load, deploy(seqs=8), cost).timings
    for timing in timings:
        open_then = [t for t in timings if t.arrived <= timing.arrived < t.arrived + t.e2e]
        assert len(open_then) <= 3


def test_a_full_queue_rejects_and_counts(cost: CostModel, deploy: Deploy) -> None:
    base = deploy(seqs=1)
    bounded = replace(base, limits=replace(base.limits, max_num_queued_reqs=2))
    outcome = _run(Workload(tuple(Request(0.0, 16, 16) for _ in range(5))), bounded, cost)
    assert (outcome.rejected, len(outcome.timings), outcome.report.failed) == (3, 2, 3)


def test_goodput_counts_those_within_the_objectives(cost: CostModel, deploy: Deploy) -> None:
    load = Workload(tuple(Request(0.0, 16, 100) for _ in range(4)))
    found = Simulation(load, deploy(seqs=1), cost).run(objectives=Objectives(ttft_s=0.8)).report
    assert found.good == sum(t <= 0.8 for t in (t.ttft for t in _run(load, deploy(seqs=1), cost).timings))
    assert 0 < (found.good or 0) < 4


def test_a_simulation_that_takes_too_long_is_given_up(cost: CostModel, deploy: Deploy) -> None:
    load = synthesise(SHAREGPT, 3000, seed=0, arrivals=Gamma(100.0))
    with pytest.raises(WorkloadError, match="takes longer than 0 s, with"):
        Simulation(load, deploy(), cost).run(wall_limit_s=0.0)


@pytest.mark.slow
def test_more_than_a_hundred_thousand_tokens_are_simulated_in_a_second(cost: CostModel, deploy: Deploy) -> None:
    load = synthesise(SHAREGPT, 1000, seed=0, arrivals=Gamma(4.0))
    runs = [_run(load, deploy(seqs=32, tokens=2048, blocks=8192), cost) for _ in range(3)]
    assert max(run.tokens_per_s for run in runs) > 100_000
    assert max(run.events_per_s for run in runs) > 1_000
