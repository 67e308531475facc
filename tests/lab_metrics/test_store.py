"""Samples in, samples out: order, retention and selection."""

import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midwatch_contracts.promql import Matcher
from midwatch_lab.metrics.errors import BadDataError, OutOfOrderError
from midwatch_lab.metrics.labels import from_dict
from midwatch_lab.metrics.store import STALE, Store, is_stale


def _store(*names: str) -> Store:
    store = Store(retention_s=10)
    for number, name in enumerate(names):
        series = store.series(from_dict({"__name__": name, "n": str(number), "even": "yes" if number % 2 == 0 else ""}))
        store.append(series, 1000, float(number))
    return store


def _names(store: Store, *matchers: Matcher) -> list[str]:
    return [series.lookup["__name__"] for series in store.select(matchers)]


def test_a_sample_that_is_older_than_the_newest_is_refused() -> None:
    store = _store("a")
    series = store.series(from_dict({"__name__": "a", "n": "0", "even": "yes"}))
    with pytest.raises(OutOfOrderError, match=r"a\{even="):
        store.append(series, 999, 1.0)
    assert list(series.times) == [1000]


def test_the_same_sample_twice_is_one_and_another_value_at_its_time_is_refused() -> None:
    store = Store()
    series = store.series(from_dict({"__name__": "a"}))
    store.append(series, 1000, math.nan)
    store.append(series, 1000, math.nan)
    with pytest.raises(OutOfOrderError):
        store.append(series, 1000, STALE)
    assert len(series.times) == 1


def test_the_staleness_marker_keeps_its_bits_and_other_nans_are_values() -> None:
    store = Store()
    series = store.series(from_dict({"__name__": "a"}))
    store.append(series, 1, STALE)
    assert struct.pack(">d", series.values[0]) == bytes.fromhex("7ff0000000000002")
    assert is_stale(series.between(0, 1)[1][0])
    assert not is_stale(math.nan)


def test_what_is_older_than_the_retention_is_dropped_and_an_empty_series_forgotten() -> None:
    store = _store("a", "b")
    kept = store.select([Matcher("__name__", "=", "a")])[0]
    store.append(kept, 9000, 7.0)
    store.prune(now_s=12)
    assert _names(store, Matcher("__name__", "=~", ".+")) == ["a"]
    assert list(kept.times) == [9000]
    assert len(store) == 1


def test_a_forgotten_series_that_gets_a_sample_is_found_again() -> None:
    store = _store("a")
    series = store.select([Matcher("__name__", "=", "a")])[0]
    store.prune(now_s=100)
    assert len(store) == 0
    store.append(series, 100_000, 1.0)
    assert _names(store, Matcher("n", "=", "0")) == ["a"]


def test_matchers_of_every_kind_select() -> None:
    store = _store("a", "b", "c\nd")
    assert _names(store, Matcher("__name__", "=~", "a|b"), Matcher("even", "!=", "yes")) == ["b"]
    assert _names(store, Matcher("__name__", "!~", "a|b")) == ["c\nd"]
    assert _names(store, Matcher("__name__", "=~", "c.d")) == ["c\nd"]
    assert _names(store, Matcher("even", "=", ""), Matcher("n", "=~", ".*")) == ["b"]
    assert _names(store, Matcher("missing", "=", "x")) == []
    with pytest.raises(BadDataError, match="RE2"):
        _names(store, Matcher("n", "=~", "[z-a]"))


@given(st.lists(st.integers(0, 10_000), unique=True).map(sorted), st.integers(-5, 10_005), st.integers(-5, 10_005))
def test_a_slice_is_open_on_the_left_and_closed_on_the_right(times: list[int], after: int, until: int) -> None:
    store = Store()
    series = store.series(from_dict({"__name__": "a"}))
    for at in times:
        store.append(series, at, float(at))
    found, values = series.between(after, until)
    assert list(found) == [at for at in times if after < at <= until]
    assert list(values) == [float(at) for at in found]
