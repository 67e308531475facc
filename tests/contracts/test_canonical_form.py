"""RFC 8785 hashes are equal wherever the value is, and what has no JSON form is refused (CONTRACTS §2)."""

import json
import math
from typing import Any

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from midwatch_contracts.canonical import canonical_bytes, sha256_hex, to_jsonable
from midwatch_contracts.errors import CanonicalError

JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(JSON_VALUES)
def test_a_value_that_went_through_json_keeps_its_hash(value: Any) -> None:
    assert sha256_hex(json.loads(json.dumps(value))) == sha256_hex(value)


@given(JSON_VALUES)
def test_values_that_are_written_by_the_fast_writer_have_the_bytes_of_rfc_8785(value: Any) -> None:
    assert canonical_bytes(value) == rfc8785.dumps(to_jsonable(value))


@given(st.floats(allow_nan=False, allow_infinity=False) | st.floats(-1e16, 1e16) | st.floats(-1e-3, 1e-3))
def test_a_double_has_the_text_of_rfc_8785_by_whichever_writer(value: float) -> None:
    assert canonical_bytes([value]) == rfc8785.dumps([to_jsonable(value)])


def test_a_value_nested_deeper_than_the_fast_writer_goes_has_its_bytes_too() -> None:
    value: list[Any] = []
    for _ in range(300):
        value = [value]
    assert canonical_bytes(value) == b"[" * 301 + b"]" * 301


@given(st.dictionaries(st.text(), st.integers(-9, 9), min_size=2, max_size=6))
def test_the_order_of_keys_does_not_matter(value: dict[str, int]) -> None:
    assert canonical_bytes(dict(reversed(value.items()))) == canonical_bytes(value)


def test_the_canonical_text_is_that_of_rfc_8785() -> None:
    assert (
        canonical_bytes({"b": 1.0, "a": [1e21, 0.1, "é"], "": None}) == '{"":null,"a":[1e+21,0.1,"é"],"b":1}'.encode()
    )


@pytest.mark.parametrize(
    ("value", "text"), [(math.nan, "NaN"), (math.inf, "+Inf"), (-math.inf, "-Inf"), (2**53, "9007199254740992")]
)
def test_numbers_that_json_cannot_hold_become_the_texts_prometheus_uses(value: float, text: str) -> None:
    assert to_jsonable([value]) == [text]


def test_bytes_that_are_not_utf8_become_the_replacement_character() -> None:
    assert to_jsonable(b"a\xffb") == "a�b"


@pytest.mark.parametrize("value", [object(), {1: "one"}, {"a": {2}}])
def test_what_has_no_json_form_is_refused(value: Any) -> None:
    with pytest.raises(CanonicalError):
        sha256_hex(value)
