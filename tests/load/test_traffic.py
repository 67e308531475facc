"""Arrivals and lengths: pure, true to what was asked for, and one stream of draws a purpose."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from midwatch_lab.load.arrivals import BLOCK
from midwatch_lab.load.distributions import Quantiles, whole
from midwatch_lab.load.proof import DRAWS, MOST_ERRORS, prove, table
from midwatch_lab.load.spec import AnyLoad, SessionsLoad, read_spec
from midwatch_lab.load.traffic import Arrival, Call, Session, first, sessions

SHAPES_PAGE = Path(__file__).parents[2] / "docs" / "load-shapes.md"
RATES = st.floats(0.01, 1000)
SEEDS = st.integers(0, 2**53)
OPEN = st.sampled_from(
    ["poisson", "constant", "gamma", "batch", "diurnal", "chat", "code", "burstgpt", "mixed", "agent"]
)


def _spec(shape: str = "poisson", **fields: Any) -> AnyLoad:
    key = "shape" if shape in ("poisson", "constant", "gamma", "batch", "diurnal", "sessions", "clients") else "preset"
    return read_spec({"target": "Service/llm/chat", key: shape, **fields})


def _calls(found: list[Arrival]) -> list[Call]:
    return [arrival.work for arrival in found if isinstance(arrival.work, Call)]


@pytest.mark.parametrize("draws", [10_000, pytest.param(DRAWS, marks=pytest.mark.slow)])
def test_draws_have_the_published_moments_and_quantiles(draws: int) -> None:
    figures = prove(draws)
    assert [figure for figure in figures if figure.errors > MOST_ERRORS] == []
    assert {figure.shape for figure in figures} == {
        *("poisson", "constant", "batch", "burstgpt", "chat", "code", "long-context", "day", "mixed", "agent")
    }
    if draws == DRAWS:
        written = [row for row in SHAPES_PAGE.read_text("utf-8").splitlines() if row.startswith("| `")]
        for row, expected in zip(written, table(figures), strict=True):
            (*names, drawn, errors), (*exact, close, near) = _row(row), _row(expected)
            assert names == exact
            assert float(drawn) == pytest.approx(float(close), rel=1e-3)
            assert float(errors) == pytest.approx(float(near), abs=0.1)


def _row(text: str) -> list[str]:
    shape, figure, published, drawn, errors, source = text.strip("| ").split(" | ")
    return [shape, figure, published, source, drawn, errors]


def test_the_proof_sees_a_distribution_that_is_a_little_off() -> None:
    rng = np.random.default_rng(1)
    lengths = read_spec({"target": "Service/llm/chat", "preset": "chat"}).prompt_tokens
    drawn = whole(lengths, DRAWS, rng, scale=1.02)
    assert abs(drawn.mean() - 1154.697) > MOST_ERRORS * drawn.std() / DRAWS**0.5


@given(OPEN, RATES, SEEDS)
def test_arrivals_never_go_backwards(shape: str, rate: float, seed: int) -> None:
    times = [arrival.at_s for arrival in first(_spec(shape, rate=rate, seed=seed), 300)]
    assert times[0] >= 0
    assert all(before <= after for before, after in pairwise(times))


@given(OPEN, RATES, SEEDS)
def test_the_same_seed_gives_the_same_traffic_and_another_seed_another(shape: str, rate: float, seed: int) -> None:
    spec = _spec(shape, rate=rate, seed=seed)
    found = [(arrival.at_s, repr(arrival.work)) for arrival in first(spec, 50)]
    assert found == [(arrival.at_s, repr(arrival.work)) for arrival in first(spec, 50)]
    if shape not in ("constant", "batch"):
        other = _spec(shape, rate=rate, seed=(seed + 1) % 2**53)
        assert found != [(arrival.at_s, repr(arrival.work)) for arrival in first(other, 50)]


@given(st.sampled_from(["poisson", "constant", "gamma", "batch"]), RATES, SEEDS)
def test_the_rate_holds(shape: str, rate: float, seed: int) -> None:
    """The time of the n-th arrival has the mean n / rate, and the spread of n independent gaps."""
    number, cv = 4000, {"constant": 0.0, "gamma": 2**0.5}.get(shape, 1.0)
    last = first(_spec(shape, rate=rate, seed=seed), number)[-1].at_s
    assert last == pytest.approx(number / rate, rel=MOST_ERRORS * cv / number**0.5 + 1e-9)


@given(SEEDS, st.floats(0.1, 10), st.floats(0.5, 3), st.integers(1, 500))
def test_changing_one_client_leaves_the_draws_of_the_others_alone(seed: int, share: float, cv: float, n: int) -> None:
    def others(changed: dict[str, Any], rate: float) -> list[tuple[float, int, int]]:
        steady = [{"name": name, "share": 1, "prompt_tokens": "azure-code.prompt"} for name in ("a", "b")]
        spec = _spec("clients", rate=rate, seed=seed, clients=[steady[0], {"name": "x", **changed}, steady[1]])
        found = [a for a in first(spec, 400) if a.work.client != "x"][:50]
        calls = [arrival.work for arrival in found]
        assert all(isinstance(call, Call) for call in calls)
        return [(a.at_s, c.prompt_tokens, c.output_tokens) for a, c in zip(found, _calls(found), strict=True)]

    # Each client has its share of the rate, so that a larger share of one needs a larger rate to leave others theirs.
    before = others({"share": 1}, 3.0)
    after = others({"share": share, "cv": cv, "prompt_tokens": n}, 2.0 + share)
    count = min(len(before), len(after))
    assert count > 5
    assert after[:count] == [(pytest.approx(at), *lengths) for at, *lengths in before[:count]]


@given(st.sampled_from(["chat", "code", "batch"]), SEEDS, RATES)
def test_lengths_do_not_move_when_arrivals_change(preset: str, seed: int, rate: float) -> None:
    lengths = [
        [(call.prompt_tokens, call.output_tokens) for call in _calls(first(_spec(preset, rate=r, seed=seed), 100))]
        for r in (rate, 7.0)
    ]
    assert lengths[0] == lengths[1]


def test_a_batch_comes_at_once() -> None:
    found = first(_spec("batch", rate=16, size=32), 200)
    times = [arrival.at_s for arrival in found]
    assert times[:96] == [0.0] * 32 + [2.0] * 32 + [4.0] * 32


def test_a_day_begins_where_it_is_told_to() -> None:
    curve = [0.0, 0.0, 1.0, 0.0]
    found = first(_spec("diurnal", rate=1.0, day_s=400.0, curve=curve, start=0.5), 1000)
    within = [arrival.at_s % 400.0 for arrival in found]
    assert max(within) <= 100.0
    late = first(_spec("diurnal", rate=1.0, day_s=400.0, curve=curve, start=0.25), 1000)
    assert min(arrival.at_s for arrival in late) >= 100.0


def test_prompts_that_share_a_system_prompt_are_longer_than_it() -> None:
    system = {"tokens": {"kind": "exponential", "mean": 50}, "count": 3}
    calls = _calls(first(_spec("poisson", rate=1, prompt_tokens=40, system=system), 300))
    found = {call.system for call in calls}
    assert len(found) == 3
    assert all(call.system and call.prompt_tokens >= max(40, call.system[1] + 1) for call in calls)


def test_a_token_scale_shrinks_every_length() -> None:
    plain, scaled = (_calls(first(_spec("chat", rate=1, token_scale=s), BLOCK)) for s in (1.0, 0.125))
    ratio = sum(c.prompt_tokens for c in scaled) / sum(c.prompt_tokens for c in plain)
    assert ratio == pytest.approx(0.125, rel=0.01)
    assert min(c.output_tokens for c in scaled) >= 1


def test_a_conversation_grows_by_what_was_said() -> None:
    spec = _spec("sessions", rate=1, turns=3, calls=2, prompt_tokens=10, tool_tokens=5, output_tokens=7, think_s=9.0)
    assert isinstance(spec, SessionsLoad)
    found = next(iter(sessions(spec)))
    assert isinstance(found, Session)
    assert found.person.tolist() == [True, False] * 3
    assert found.new_tokens.tolist() == [10, 5] * 3
    assert found.prompt_tokens().tolist() == [10, 22, 39, 51, 68, 80]
    assert found.pauses_s[0] == 0.0
    assert found.pauses_s[[2, 4]].tolist() == [9.0, 9.0]


@given(st.lists(st.integers(0, 1000), min_size=2, max_size=30).map(sorted), SEEDS)
def test_draws_of_quantiles_lie_between_them_in_their_shares(values: list[int], seed: int) -> None:
    shares = np.linspace(0, 1, len(values))
    given_by = Quantiles(kind="quantiles", shares=tuple(shares.tolist()), values=tuple(map(float, values)))
    drawn = given_by.draw(4000, np.random.default_rng(seed))
    assert drawn.min() >= values[0]
    assert drawn.max() <= values[-1]
    for share, value in zip(shares, values, strict=True):
        error = (share * (1 - share) / 4000) ** 0.5
        assert (drawn <= value).mean() >= share - MOST_ERRORS * error - 1e-9
