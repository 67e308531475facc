"""Loads: seeded, with the spread that was asked for, within what the model takes."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from midwatch_serving.errors import WorkloadError
from midwatch_serving.workload import (
    SHAREGPT,
    Empirical,
    Fixed,
    Gamma,
    LogNormal,
    Request,
    Workload,
    at_rate,
    fitted,
    prompts,
    synthesise,
)

REQUESTS = st.lists(
    st.builds(Request, st.floats(0, 100), st.integers(1, 50_000), st.integers(1, 50_000)), min_size=1, max_size=50
)


@pytest.mark.parametrize("cv", [0.0, 0.5, 1.0, 3.0])
def test_gaps_have_the_mean_and_the_spread_that_were_asked_for(cv: float) -> None:
    load = synthesise(Fixed(1, 1), 20_000, seed=3, arrivals=Gamma(8.0, cv))
    gaps = np.diff([r.arrival_s for r in load.requests])
    assert gaps.mean() == pytest.approx(1 / 8, rel=0.06)
    assert gaps.std() / gaps.mean() == pytest.approx(cv, rel=0.06)
    assert load.rate == pytest.approx(8.0, rel=0.06)


def test_default_lengths_have_the_means_that_were_published_of_sharegpt() -> None:
    load = synthesise(SHAREGPT, 20_000, seed=5, concurrency=1)
    lengths = np.array([(r.prompt_tokens, r.output_tokens) for r in load.requests])
    assert lengths.mean(axis=0) == pytest.approx([229.7, 203.1], rel=0.03)
    assert (lengths.min(), lengths.max()) >= (4, 1000)
    assert lengths.max() <= 1024


@given(st.integers(0, 2**40))
def test_the_same_seed_makes_the_same_load(seed: int) -> None:
    one, other = (synthesise(SHAREGPT, 20, seed=seed, arrivals=Gamma(3.0)) for _ in range(2))
    assert one == other


def test_lengths_from_a_trace_keep_prompt_and_answer_together() -> None:
    pairs = ((10, 100), (20, 200))
    load = synthesise(Empirical(pairs), 50, seed=0, concurrency=2)
    assert {(r.prompt_tokens, r.output_tokens) for r in load.requests} == set(pairs)


@given(REQUESTS, st.integers(2, 4096))
def test_a_fitted_load_fits_and_is_never_longer_than_before(requests: list[Request], longest: int) -> None:
    found = fitted(Workload(tuple(requests)), longest)
    for before, after in zip(requests, found.requests, strict=True):
        assert 1 <= after.prompt_tokens <= before.prompt_tokens
        assert 1 <= after.output_tokens <= before.output_tokens
        assert after.prompt_tokens + after.output_tokens <= longest


def test_a_trace_at_another_rate_keeps_its_bursts() -> None:
    trace = Workload(tuple(Request(at, 5, 5) for at in (0.0, 0.1, 0.2, 5.0, 10.0)))
    found = at_rate(trace, 2 * (trace.rate or 0))
    assert [r.arrival_s for r in found.requests] == pytest.approx([0.0, 0.05, 0.1, 2.5, 5.0])


def test_prompts_begin_alike_where_the_load_says_so_and_differ_elsewhere() -> None:
    shared = ((7, 40), (8, 20))
    load = Workload(
        (Request(0, 64, 1, shared), Request(0, 80, 1, shared), Request(0, 64, 1), Request(0, 30, 1, shared))
    )
    a, b, c, d = prompts(load, range(100, 200), seed=1)
    assert [len(p) for p in (a, b, c, d)] == [64, 80, 64, 30]
    assert a[:60] == b[:60]
    assert a[60:] != b[60:64]
    assert a[:60] != c[:60]
    assert d == a[:30]
    assert all(100 <= token < 200 for p in (a, b, c, d) for token in p)


NONSENSE: dict[str, Callable[[], object]] = {
    "no rate": lambda: Gamma(0.0),
    "a rate that is no number": lambda: Gamma(float("nan")),
    "a negative spread": lambda: Gamma(1.0, cv=-1.0),
    "empty prompts": lambda: Fixed(0, 4),
    "no requests": lambda: synthesise(SHAREGPT, 0, seed=0, concurrency=1),
    "neither rate nor clients": lambda: synthesise(SHAREGPT, 5, seed=0),
    "no clients": lambda: synthesise(SHAREGPT, 5, seed=0, concurrency=0),
    "both": lambda: synthesise(SHAREGPT, 5, seed=0, concurrency=1, arrivals=Gamma(1.0)),
    "a trace without time": lambda: at_rate(Workload((Request(0.0, 1, 1),)), 3.0),
}


@pytest.mark.parametrize("what", NONSENSE)
def test_a_load_that_makes_no_sense_is_refused(what: str) -> None:
    with pytest.raises(WorkloadError):
        NONSENSE[what]()


def test_log_normal_lengths_stay_within_their_bounds() -> None:
    drawn = LogNormal(100, 2.0, 100, 2.0, least=50, most=200).draw(500, np.random.default_rng(0))
    assert drawn.shape == (500, 2)
    assert (drawn.min(), drawn.max()) >= (50, 150)
    assert drawn.max() <= 200
