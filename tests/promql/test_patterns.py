"""Whether a pattern matches the empty string, held against RE2 itself."""

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midwatch_contracts.promql import PromqlError, matches_empty
from midwatch_lab.metrics.patterns import pattern as compiled

_ATOMS = st.sampled_from(["a", ".", "[a-z]", "[^]x]", "^", "$", "\\d", "\\A", "\\z", "\\b", "\\B", "\\Qa.\\E"])
_REPEATS = st.sampled_from(["", "", "*", "+", "?", "{0}", "{2}", "{0,3}", "{1,}", "*?", "{,2}"])


def _grow(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    pairs = st.tuples(inner, inner)
    return st.one_of(
        st.tuples(inner, _REPEATS).map(lambda p: f"({p[0]}){p[1]}"),
        st.tuples(inner, _REPEATS).map(lambda p: f"(?:{p[0]}){p[1]}"),
        pairs.map("|".join),
        pairs.map("".join),
        inner.map(lambda a: f"(?i){a}"),
    )


@settings(max_examples=300)
@given(st.recursive(st.tuples(_ATOMS, _REPEATS).map("".join), _grow, max_leaves=8))
def test_our_answer_is_that_of_re2(pattern: str) -> None:
    assert matches_empty(pattern) == compiled(pattern).matches("")


@pytest.mark.parametrize(
    "pattern", ["(a", "a)", "*", "a**", "a{1001}", "a(?=b)", "\\1", "\\Z", "[a", "(?P<", "{2}", "a\\"]
)
def test_what_re2_refuses_is_refused(pattern: str) -> None:
    with pytest.raises(PromqlError, match="pattern"):
        matches_empty(pattern)


@given(st.text(alphabet="ab()[]{}*+?|\\^$.,012", max_size=30))
def test_any_pattern_is_answered(pattern: str) -> None:
    with contextlib.suppress(PromqlError):
        assert matches_empty(pattern) in (True, False)
