from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midwatch_lab import quantity
from midwatch_lab.errors import DecodeError, SelectorError
from midwatch_lab.kinds.durations import human_duration
from midwatch_lab.selectors import FieldSelector, LabelSelector

SUFFIXES = st.sampled_from(["", "m", "k", "M", "G", "Ki", "Mi", "Gi", "n", "u"])
NUMBERS = st.decimals(min_value=0, max_value=10**6, places=3)


@pytest.mark.parametrize(
    ("given_text", "canonical"),
    [
        ("0.25", "250m"),
        ("1000m", "1"),
        ("1024Mi", "1Gi"),
        ("1500Mi", "1500Mi"),
        ("1.5Gi", "1536Mi"),
        ("0", "0"),
        ("1e3", "1k"),
        ("0.0000000001", "1n"),
        ("128974848", "128974848"),
        ("2000", "2k"),
    ],
)
def test_a_quantity_is_written_back_in_canonical_form(given_text: str, canonical: str) -> None:
    assert quantity.canonical(given_text) == canonical


@given(NUMBERS, SUFFIXES)
def test_the_canonical_form_has_the_same_value_and_is_its_own_canonical_form(number: Decimal, suffix: str) -> None:
    text = f"{number:f}{suffix}"
    canonical = quantity.canonical(text)
    assert quantity.canonical(canonical) == canonical
    # What is finer than a nano is rounded up, as the original does.
    assert 0 <= quantity.parse(canonical) - quantity.parse(text) <= Decimal("1e-9")


@pytest.mark.parametrize("text", ["", "abc", "1Z", "1.2.3", "--1", "1 Gi", "Gi"])
def test_what_is_no_quantity_is_refused(text: str) -> None:
    with pytest.raises(DecodeError):
        quantity.parse(text)


@pytest.mark.parametrize(
    ("selector", "labels", "matches"),
    [
        ("a=b", {"a": "b"}, True),
        ("a==b", {"a": "c"}, False),
        ("a!=b", {}, True),
        ("a in (b, c)", {"a": "c"}, True),
        ("a notin (b,c)", {"a": "c"}, False),
        ("a", {"a": ""}, True),
        ("!a", {"a": ""}, False),
        ("a=b,c!=d", {"a": "b", "c": "e"}, True),
        ("a>5", {"a": "6"}, True),
        ("a<5", {"a": "x"}, False),
        ("", {}, True),
        ("a=", {"a": ""}, True),
    ],
)
def test_label_selectors_match_as_kubernetes_says(selector: str, labels: dict[str, str], matches: bool) -> None:  # noqa: FBT001 (a parameter of a table)
    assert LabelSelector.parse(selector).matches(labels) is matches


@pytest.mark.parametrize("text", ["a=b=c", "=b", "a in b", "a in (b", "a b", "a!b", "-a=b", "a=b!", ","])
def test_a_bad_label_selector_is_refused(text: str) -> None:
    with pytest.raises(SelectorError):
        LabelSelector.parse(text)


def test_a_field_that_cannot_be_selected_on_is_refused() -> None:
    with pytest.raises(SelectorError, match="not a known field selector"):
        FieldSelector.parse("spec.foo=1", "Deployment")
    assert FieldSelector.parse("status.phase!=Running", "Pod").matches({"status": {"phase": "Pending"}})


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (5, "5s"),
        (119, "119s"),
        (121, "2m1s"),
        (600, "10m"),
        (10800, "3h"),
        (11000, "3h3m"),
        (90000, "25h"),
        (200000, "2d7h"),
    ],
)
def test_ages_are_shown_as_kubectl_shows_them(seconds: float, text: str) -> None:
    assert human_duration(seconds) == text
