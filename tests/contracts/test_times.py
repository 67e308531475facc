"""Times are RFC 3339 with milliseconds, durations are PromQL's (CONTRACTS §2)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midwatch_contracts.errors import ContractError
from midwatch_contracts.times import duration_text, parse_duration, rfc3339, unix_seconds


@given(st.integers(0, 4_000_000_000_000))
def test_a_time_is_read_back_to_the_millisecond(milliseconds: int) -> None:
    assert unix_seconds(rfc3339(milliseconds / 1000)) == pytest.approx(milliseconds / 1000, abs=1e-3)


@given(st.integers(0, 10**10))
def test_a_duration_is_read_back_from_its_text(milliseconds: int) -> None:
    assert parse_duration(duration_text(milliseconds / 1000)) == pytest.approx(milliseconds / 1000)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("1m30s", 90), ("500ms", 0.5), ("1.5s", 1.5), ("1h", 3600), ("0s", 0), ("940ms", 0.94)],
)
def test_durations_as_people_write_them(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "5", "s", "5 s", "5s!", "-5s", "5x"])
def test_what_is_no_duration_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ContractError, match="for example 90s"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["yesterday", "2026-01-02T03:04:05"])
def test_what_is_no_time_with_a_zone_is_refused(text: str) -> None:
    with pytest.raises(ContractError):
        unix_seconds(text)
