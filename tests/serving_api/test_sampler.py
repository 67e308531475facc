"""The sampler against a plain reading of the definitions: penalties, bias, filters, log-probabilities."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from midwatch_serving.sampler import Sampler, log_softmax, sample
from midwatch_serving.sampling import Constraint, Sample, SamplingParams
from midwatch_serving.work import Work

EOS = 0
ROW = np.log(np.array([0.3, 0.1, 0.4, 0.15, 0.05], dtype=np.float32))


def work(
    params: SamplingParams,
    index: int = 0,
    *,
    prompt: tuple[int, ...] = (),
    output: tuple[int, ...] = (),
    constraint: Constraint | None = None,
) -> Work:
    return Work([1], 0, [0], params, index, history=(prompt, output), constraint=constraint)


def choose(params: SamplingParams, row: NDArray[np.float32] = ROW, **more: object) -> Sample:
    return Sampler(frozenset({EOS})).choose(row.copy(), work(params, **more))  # type: ignore[arg-type] (test keywords)


def drawn(params: SamplingParams, draws: int = 400) -> set[int]:
    return {sample(ROW, params, index) for index in range(draws)}


rows = st.lists(st.integers(-800, 800), min_size=2, max_size=40, unique=True).map(
    lambda values: np.array(values, dtype=np.float32) / 100
)
filters = st.builds(
    SamplingParams,
    st.just(1),
    temperature=st.floats(0.2, 2),
    top_p=st.floats(0.05, 0.999),
    top_k=st.integers(0, 12),
    min_p=st.floats(0, 0.9),
    seed=st.integers(0, 2**63 - 1),
)


@given(rows, filters)
def test_a_draw_comes_from_the_set_that_the_filters_leave(row: NDArray[np.float32], params: SamplingParams) -> None:
    probabilities = np.exp(row.astype(np.float64) / params.temperature)
    order = list(np.argsort(-probabilities))
    if params.top_k:
        order = order[: params.top_k]
    mass = probabilities[order].sum()
    within: list[int] = []
    for token in order:
        if sum(probabilities[t] for t in within) >= mass * params.top_p * (1 + 1e-5):
            break
        within.append(int(token))
    left = {t for t in within if probabilities[t] >= probabilities.max() * params.min_p * (1 - 1e-5)}
    assert sample(row, params, 3) in left


def test_the_smallest_set_that_holds_top_p_is_drawn_from_and_all_of_it() -> None:
    assert drawn(SamplingParams(1, temperature=1, top_p=0.5)) == {0, 2}
    assert drawn(SamplingParams(1, temperature=1, top_k=3)) == {0, 2, 3}
    assert drawn(SamplingParams(1, temperature=1, min_p=0.3)) == {0, 2, 3}
    assert drawn(SamplingParams(1, temperature=1, top_k=3, top_p=0.8)) == {0, 2}
    assert drawn(SamplingParams(1, temperature=1)) == {0, 1, 2, 3, 4}


def test_penalties_are_those_of_their_definitions() -> None:
    row = np.array([2.0, 1.9, 1.0, -1.0, -3.0], dtype=np.float32)
    history = {"prompt": (0,), "output": (1, 1)}
    assert choose(SamplingParams(1, repetition_penalty=1.5), row, **history).token == 0  # 1.33, 1.27, 1.0
    assert choose(SamplingParams(1, repetition_penalty=2.5), row, **history).token == 2  # 0.8, 0.76, 1.0
    assert choose(SamplingParams(1, presence_penalty=2.0), row, prompt=(0,), output=(1, 0)).token == 2
    assert choose(SamplingParams(1, frequency_penalty=0.5), row, prompt=(0,), output=(0, 1, 1)).token == 0  # 1.5, 0.9
    assert choose(SamplingParams(1, frequency_penalty=0.6), row, prompt=(0,), output=(0, 0, 1, 1)).token == 2
    assert choose(SamplingParams(1, presence_penalty=2.0), row, prompt=(0, 1), output=()).token == 0


def test_a_negative_logit_is_made_smaller_by_the_repetition_penalty_too() -> None:
    row = np.array([-1.0, -1.5], dtype=np.float32)
    assert choose(SamplingParams(1, repetition_penalty=2.0), row, prompt=(0,), output=()).token == 1


def test_a_bias_moves_the_choice() -> None:
    assert choose(SamplingParams(1, logit_bias=((4, 100.0),))).token == 4
    assert choose(SamplingParams(1, logit_bias=((2, -100.0),))).token == 0


def test_no_end_token_before_min_tokens() -> None:
    likely_end = np.array([9.0, 1.0, 2.0, 8.0], dtype=np.float32)
    params = SamplingParams(9, min_tokens=2, stop_token_ids=(3,))
    assert [choose(params, likely_end, index=index).token for index in range(4)] == [2, 2, 0, 0]
    ignoring = SamplingParams(9, min_tokens=2, stop_token_ids=(3,), ignore_eos=True)
    assert choose(ignoring, likely_end, index=0).token == 0


def test_log_probabilities_are_those_of_the_model_whatever_is_done_to_the_choice() -> None:
    params = SamplingParams(1, temperature=0.1, logprobs=2, logit_bias=((4, 100.0),), presence_penalty=2)
    chosen = choose(params, output=(2,))
    assert chosen.token == 4
    assert chosen.logprobs is not None
    assert chosen.logprobs.logprob == pytest.approx(math.log(0.05), abs=1e-5)
    assert [token for token, _ in chosen.logprobs.top] == [2, 0]
    assert chosen.logprobs.top[0][1] == pytest.approx(math.log(0.4), abs=1e-5)


@given(rows)
def test_log_probabilities_sum_to_one(row: NDArray[np.float32]) -> None:
    assert np.exp(log_softmax(row).astype(np.float64)).sum() == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("row", [[np.nan, 1, 2], [-np.inf, -np.inf, -np.inf]])
@pytest.mark.parametrize("params", [SamplingParams(1), SamplingParams(1, temperature=1, top_p=0.9, top_k=2, min_p=0.1)])
def test_a_broken_row_of_logits_still_gives_a_token(row: list[float], params: SamplingParams) -> None:
    with np.errstate(invalid="ignore"):
        assert choose(params, np.array(row, dtype=np.float32)).token in {0, 1, 2}


class Only:
    """Lets one token through."""

    ended = False
    error = None

    def __init__(self, token: int) -> None:
        self.token = token
        self.accepted: list[int] = []

    def mask(self, logits: NDArray[np.float32]) -> None:
        logits[np.arange(len(logits)) != self.token] = -np.inf

    def accept(self, token: int) -> None:
        self.accepted.append(token)


@pytest.mark.parametrize("temperature", [0.0, 1.0, 2.0])
def test_a_grammar_has_the_last_word_and_is_told_what_was_chosen(temperature: float) -> None:
    only = Only(1)
    params = SamplingParams(1, temperature=temperature, top_p=0.5, top_k=2, logit_bias=((4, 100.0),))
    assert [choose(params, index=index, constraint=only).token for index in range(20)] == [1] * 20
    assert only.accepted == [1] * 20


@given(st.integers(0, 2**63 - 1), st.integers(0, 1000))
def test_a_draw_is_the_same_in_any_order_of_calls(seed: int, index: int) -> None:
    params = SamplingParams(1, temperature=1.3, top_p=0.95, seed=seed)
    first = sample(ROW, params, index)
    sample(ROW, params, index + 1)
    assert sample(ROW, params, index) == first
