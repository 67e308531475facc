"""The audit's hash of an object is that of its canonical JSON, whichever way it is worked out."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midwatch_contracts.canonical import sha256_hex
from midwatch_lab.store.hashing import object_sha256

KEYS = st.text(max_size=4) | st.sampled_from(["a", "é", "\ue000", "\U00010000", "\x7f", "a/b", '"', "\\", "\n", "\x01"])
LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(), KEYS, st.just("1e9, [1.5, null")
)
JSON = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4))


@given(value=st.dictionaries(KEYS, JSON, max_size=5))
def test_the_quick_hash_is_the_canonical_one(value: dict[str, Any]) -> None:
    assert object_sha256(value) == sha256_hex(value)


@pytest.mark.parametrize(
    "value",
    [0, -0.0, 1.0, 1e21, 1e-7, 2**53 - 1, 2**53, -(2**53), 10**15, 10**16, float("nan"), float("inf"), None, "\x00"],
)
def test_numbers_at_the_edges_hash_as_the_canonical_form_has_them(value: Any) -> None:
    for held in ({"a": value}, {"a": [value]}, {"a": [1, value]}):
        assert object_sha256(held) == sha256_hex(held)
