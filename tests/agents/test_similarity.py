from hypothesis import given
from hypothesis import strategies as st

from midwatch_agents.similarity import rank, words

TEXTS = {
    "ttft": "Time to first token is over its objective; slow first token; requests wait before answering",
    "pods": "A pod does not start: image pull, crash loop, pending",
}


def test_the_question_finds_the_guide_that_shares_its_words() -> None:
    scores = rank("why is time to first token high on chat?", TEXTS)
    assert scores["ttft"][0] > scores["pods"][0] == 0
    assert scores["ttft"][1] == ("time", "first", "token")


def test_a_rare_word_weighs_more_than_a_common_one() -> None:
    scores = rank("queue token", {"a": "queue alone here", "b": "token alone here", "c": "token again here"})
    assert scores["a"][0] > scores["b"][0] > 0


def test_plurals_and_capitals_are_the_same_word() -> None:
    assert words("Requests WAIT") == words("request wait")


def test_a_name_that_is_put_together_is_read_as_its_words() -> None:
    assert words("TimeToFirstTokenHigh") == ["time", "first", "token", "high"]


@given(st.text(), st.dictionaries(st.text(min_size=1), st.text(), max_size=4))
def test_scores_are_never_negative_and_zero_without_a_shared_word(question: str, texts: dict[str, str]) -> None:
    for name, (score, shared) in rank(question, texts).items():
        assert (score > 0) == bool(shared)
        assert set(shared) <= set(words(texts[name]))
