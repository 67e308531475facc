"""Text from outside cannot move a terminal's cursor, hide itself or turn the line around (DESIGN §1.7)."""

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from midwatch_contracts.untrusted import clean


@given(st.text())
def test_nothing_that_a_reader_cannot_see_is_left(text: str) -> None:
    left = clean(text)
    assert all(
        c in "\n\t" or not unicodedata.category(c).startswith("C") or unicodedata.category(c) == "Cn" for c in left
    )
    assert clean(left) == left


def test_escape_sequences_and_direction_marks_go_and_words_stay() -> None:
    assert clean("\x1b[31mred\x1b[0m \u202eabc\u202c z\u200bw\x07\n") == "red abc zw\n"
    assert clean("\x1b]8;;http://x\x07link\x1b]8;;\x07") == "link"
