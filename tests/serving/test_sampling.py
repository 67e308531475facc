"""How tokens are chosen, and how they become text."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from midwatch_serving.byte_tokenizer import ASSISTANT, BOS, ByteTokenizer
from midwatch_serving.detokenizer import Detokenizer
from midwatch_serving.sampler import sample
from midwatch_serving.sampling import SamplingParams

LOGITS = np.log(np.array([0.1, 0.5, 0.15, 0.25], dtype=np.float32))

TOKENIZER = ByteTokenizer()


def counts(params: SamplingParams, draws: int = 4000) -> list[float]:
    chosen = [sample(LOGITS, params, index) for index in range(draws)]
    return [chosen.count(token) / draws for token in range(4)]


def test_greedy_takes_the_likeliest() -> None:
    assert sample(LOGITS, SamplingParams(1), 0) == 1


def test_temperature_one_follows_the_probabilities() -> None:
    assert np.allclose(counts(SamplingParams(1, temperature=1.0, seed=1)), [0.1, 0.5, 0.15, 0.25], atol=0.03)


def test_top_p_keeps_the_smallest_set_that_holds_the_mass() -> None:
    assert np.allclose(counts(SamplingParams(1, temperature=1.0, top_p=0.7, seed=1)), [0, 2 / 3, 0, 1 / 3], atol=0.03)
    assert counts(SamplingParams(1, temperature=1.0, top_p=0.01, seed=1), 50) == [0, 1, 0, 0]


def test_a_choice_depends_on_seed_and_position_alone() -> None:
    params = SamplingParams(1, temperature=1.0, seed=9)
    first = [sample(LOGITS, params, index) for index in range(64)]
    assert [sample(LOGITS, params, index) for index in reversed(range(64))] == first[::-1]
    assert [sample(LOGITS, SamplingParams(1, temperature=1.0, seed=10), index) for index in range(64)] != first


def test_forbidden_tokens_are_never_drawn() -> None:
    logits = LOGITS.copy()
    logits[1] = -np.inf
    params = SamplingParams(1, temperature=2.0, seed=0)
    assert all(sample(logits, params, index) != 1 for index in range(500))


def test_a_prompt_costs_its_bytes_two_a_turn_and_two_more() -> None:
    prompt = TOKENIZER.chat_prompt([{"role": "system", "content": "be brief"}, {"role": "user", "content": "hé"}])
    assert len(prompt) == 2 + (8 + 2) + (3 + 2)
    assert prompt[0] == BOS
    assert prompt[-1] == ASSISTANT
    assert TOKENIZER.decode(prompt) == "be briefhé"


@given(st.text())
def test_text_survives_the_tokenizer_and_the_detokenizer(text: str) -> None:
    tokens = TOKENIZER.encode(text)
    detokenizer = Detokenizer(TOKENIZER)
    streamed = "".join(detokenizer.feed(token) for token in tokens) + detokenizer.flush()
    assert streamed == TOKENIZER.decode(tokens)
    if text.isprintable():
        assert streamed == text


@given(
    st.text(alphabet="abc", max_size=40),
    st.lists(st.text(alphabet="abc", min_size=1, max_size=4), max_size=3).map(tuple),
)
def test_a_stream_ends_before_the_first_stop_string_and_shows_nothing_of_it(text: str, stop: tuple[str, ...]) -> None:
    detokenizer = Detokenizer(TOKENIZER, stop)
    shown = ""
    fed = ""
    for token in TOKENIZER.encode(text):
        fed += chr(token)
        shown += detokenizer.feed(token)
        if detokenizer.stopped:
            break
        assert not any(s in fed for s in stop)
    shown += detokenizer.flush()
    if detokenizer.stopped:
        ends = min(fed.find(s) for s in stop if s in fed)
        assert shown == fed[:ends]
    else:
        assert shown == text


def test_a_stop_string_within_the_first_min_tokens_does_not_end_the_answer() -> None:
    detokenizer = Detokenizer(TOKENIZER, ("b",), min_tokens=2)
    shown = "".join(detokenizer.feed(ord(c)) for c in "ab")
    assert (shown, detokenizer.stopped) == ("ab", False)
    assert detokenizer.feed(ord("b")) == ""
    assert detokenizer.stopped
