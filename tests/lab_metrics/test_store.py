"""Samples in, samples out: order, retention and selection."""

import math
import struct
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from midwatch_contracts.promql import Matcher
from midwatch_lab.metrics.chunks import CHUNK
from midwatch_lab.metrics.errors import BadDataError, DuplicateSampleError, OutOfOrderError
from midwatch_lab.metrics.labels import from_dict
from midwatch_lab.metrics.store import STALE, Series, Store, is_stale


def _store(*names: str) -> Store:
    store = Store(retention_s=10)
    for number, name in enumerate(names):
        series = store.series(from_dict({"__name__": name, "n": str(number), "even": "yes" if number % 2 == 0 else ""}))
        store.append(series, 1000, float(number))
    return store


def _names(store: Store, *matchers: Matcher) -> list[str]:
    return [series.lookup["__name__"] for series in store.select(matchers)]


def _times(series: Series) -> list[int]:
    return [at for at, _ in series.samples()]


def _values(series: Series) -> list[float]:
    return [value for _, value in series.samples()]


def _bits(values: Sequence[float]) -> list[int]:
    return np.array(values, dtype=np.float64).view(np.int64).tolist()


def test_a_sample_that_is_older_than_the_newest_is_refused() -> None:
    store = _store("a")
    series = store.series(from_dict({"__name__": "a", "n": "0", "even": "yes"}))
    with pytest.raises(OutOfOrderError, match=r"a\{even="):
        store.append(series, 999, 1.0)
    assert _times(series) == [1000]


def test_the_same_sample_twice_is_one_and_another_value_at_its_time_is_refused() -> None:
    store = Store()
    series = store.series(from_dict({"__name__": "a"}))
    store.append(series, 1000, math.nan)
    store.append(series, 1000, math.nan)
    with pytest.raises(DuplicateSampleError):
        store.append(series, 1000, STALE)
    assert len(series) == 1


def test_the_newest_sample_is_known_when_its_chunk_is_sealed() -> None:
    store = Store()
    series = store.series(from_dict({"__name__": "a"}))
    for at in range(1, CHUNK + 1):
        store.append(series, at, float(at))
    store.append(series, CHUNK, float(CHUNK))
    with pytest.raises(DuplicateSampleError):
        store.append(series, CHUNK, 0.0)
    with pytest.raises(OutOfOrderError):
        store.append(series, CHUNK - 1, 0.0)
    assert len(series) == CHUNK
    store.check_integrity()


def test_of_a_batch_what_cannot_be_taken_is_refused_and_the_rest_is_kept() -> None:
    store = Store()
    one, two = (store.series(from_dict({"__name__": name})) for name in ("one", "two"))
    store.append(one, 2000, 1.0)
    refused = store.extend([one, two, two], 1000, [5.0, 6.0, 6.5])
    assert [type(error) for error in refused] == [OutOfOrderError, DuplicateSampleError]
    assert (_times(one), _times(two)) == ([2000], [1000])


def test_the_staleness_marker_keeps_its_bits_and_other_nans_are_values() -> None:
    store = Store()
    series = store.series(from_dict({"__name__": "a"}))
    for at in range(1, CHUNK + 2):
        store.append(series, at, STALE)
    values = _values(series)
    assert {struct.pack(">d", value) for value in values} == {bytes.fromhex("7ff0000000000002")}
    assert is_stale(values[0])
    assert not is_stale(math.nan)


def test_what_is_older_than_the_retention_is_dropped_and_an_empty_series_forgotten() -> None:
    store = _store("a", "b")
    kept = store.select([Matcher("__name__", "=", "a")])[0]
    store.append(kept, 9000, 7.0)
    store.prune(now_s=12)
    assert _names(store, Matcher("__name__", "=~", ".+")) == ["a"]
    assert _times(kept) == [9000]
    assert len(store) == 1


def test_a_sealed_chunk_is_kept_for_as_long_as_one_of_its_samples() -> None:
    store = Store(retention_s=10)
    series = store.series(from_dict({"__name__": "a"}))
    for second in range(CHUNK + 1):
        store.append(series, second * 1000, float(second))
    store.prune(now_s=CHUNK + 8)
    assert len(series) == CHUNK + 1
    store.prune(now_s=CHUNK + 9)
    assert _times(series) == [CHUNK * 1000]
    store.check_integrity()


def test_beyond_the_size_that_may_be_kept_the_oldest_chunks_of_all_series_go() -> None:
    store = Store(retention_s=1e9)
    steady, moving = (store.series(from_dict({"__name__": name})) for name in ("steady", "moving"))
    for at in range(20 * CHUNK):
        store.extend((steady, moving), at, (1.0, float(at)))
    before = store.size_bytes()
    store.retention_bytes = before - 3000
    store.prune(now_s=0)
    assert store.size_bytes() <= before - 3000
    gone = moving.first_ms
    assert gone is not None
    assert 0 < gone < 10 * CHUNK
    assert (len(moving) + gone) == 20 * CHUNK
    store.check_integrity()


def test_what_is_not_sealed_yet_stays_however_small_the_size_that_may_be_kept() -> None:
    store = Store(retention_s=1e9, retention_bytes=1)
    series = store.series(from_dict({"__name__": "a"}))
    for at in range(2 * CHUNK + 5):
        store.append(series, at, float(at))
    store.prune(now_s=0)
    assert _times(series) == list(range(2 * CHUNK, 2 * CHUNK + 5))
    store.check_integrity()


@given(
    st.lists(
        st.one_of(
            st.integers(0, 2**26).map(float), st.floats(width=32), st.floats(), st.sampled_from([STALE, -0.0, 1e39])
        ),
        min_size=CHUNK,
        max_size=CHUNK,
    )
)
def test_a_sealed_value_has_the_bits_that_it_was_given(values: list[float]) -> None:
    store = Store()
    series = store.series(from_dict({"__name__": "a"}))
    for at, value in enumerate(values):
        store.append(series, at, value)
    assert series.chunks
    assert _bits(_values(series)) == _bits(values)


def test_values_that_fit_into_32_bits_are_held_in_them() -> None:
    store = Store()
    counter, seconds = (store.series(from_dict({"__name__": name})) for name in ("counter", "seconds"))
    for at in range(CHUNK):
        store.extend((counter, seconds), at, (float(at * 1000), at / 10))
    assert [one.chunks[0].values.nbytes for one in (counter, seconds)] == [4 * CHUNK, 8 * CHUNK]


def test_the_times_of_series_that_are_scraped_together_and_a_value_that_stays_are_held_once() -> None:
    store = Store()
    series = [store.series(from_dict({"__name__": "a", "n": str(number)})) for number in range(50)]
    for at in range(CHUNK):
        store.extend(series, at * 1000 + at % 3, [7.0] * 49 + [float(at)])
    times = {id(one.chunks[0].times) for one in series}
    assert len(times) == 1
    assert series[0].chunks[0].size < CHUNK * 3 < series[-1].chunks[0].size
    assert _values(series[0]) == [7.0] * CHUNK


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


@given(
    st.lists(st.integers(0, 10_000), unique=True, max_size=300).map(sorted),
    st.integers(-5, 10_005),
    st.integers(-5, 10_005),
)
def test_a_slice_is_open_on_the_left_and_closed_on_the_right(times: list[int], after: int, until: int) -> None:
    store = Store()
    series = store.series(from_dict({"__name__": "a"}))
    for at in times:
        store.append(series, at, float(at))
    assert series.between(after, until) == [(at, float(at)) for at in times if after < at <= until]


@pytest.mark.parametrize("after", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 2 * CHUNK + 1])
@pytest.mark.parametrize("length", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK])
def test_a_slice_that_ends_where_a_chunk_does_has_the_right_samples(after: int, length: int) -> None:
    store = Store()
    series = store.series(from_dict({"__name__": "a"}))
    for at in range(1, 2 * CHUNK + 10):
        store.append(series, at, float(at))
    found = [at for at, _ in series.between(after, after + length)]
    assert found == list(range(after + 1, min(after + length, 2 * CHUNK + 9) + 1))


_VALUES = st.sampled_from([0.0, -0.0, 1.0, 2.5, math.nan, math.inf, STALE])
_PICKED = st.lists(st.integers(0, 3), min_size=1, max_size=4)


class StoreBesideDictionaries(RuleBasedStateMachine):
    """The store beside a dictionary of time to value for each series; every step checks what is in both."""

    def __init__(self) -> None:
        super().__init__()
        self.store = Store(retention_s=200)
        self.labels = [from_dict({"__name__": "m", "n": str(number)}) for number in range(4)]
        self.held = [self.store.series(labels) for labels in self.labels]
        self.model: list[dict[int, float]] = [{} for _ in self.labels]
        self.last = [-1] * 4
        self.now = 0

    @rule(numbers=_PICKED, value=_VALUES, step=st.integers(-2, 3), count=st.integers(1, 2 * CHUNK))
    def scrape(self, numbers: list[int], value: float, step: int, count: int) -> None:
        """Give some series a stretch of samples, at times that rise, stay or fall."""
        for turn in range(count):
            self.now = max(0, self.now + step * 1000)
            values = [value if turn % 7 else float(turn)] * len(numbers)
            refused = self.store.extend([self.held[number] for number in numbers], self.now, values)
            wanted: list[type[OutOfOrderError]] = []
            for number, one in zip(numbers, values, strict=True):
                if self.now < self.last[number]:
                    wanted.append(OutOfOrderError)
                elif self.now > self.last[number]:
                    self.model[number][self.now] = one
                    self.last[number] = self.now
                elif self.now in self.model[number] and _bits([self.model[number][self.now]]) != _bits([one]):
                    wanted.append(DuplicateSampleError)
            assert [type(error) for error in refused] == wanted

    @rule()
    def prune(self) -> None:
        """Drop what is too old: every sample within the retention stays, and none that is a chunk older."""
        self.store.prune(self.now / 1000)
        for series, model in zip(self.held, self.model, strict=True):
            kept = set(_times(series))
            young = {at for at in model if at > self.now - 200_000}
            assert young <= kept <= model.keys()
            assert len(kept - young) < CHUNK
            for at in model.keys() - kept:
                del model[at]

    @rule(after=st.integers(0, 500_000), span=st.integers(0, 500_000))
    def read(self, after: int, span: int) -> None:
        """Read a slice."""
        for series, model in zip(self.held, self.model, strict=True):
            found = series.between(after, after + span)
            wanted = {at: value for at, value in model.items() if after < at <= after + span}
            assert [at for at, _ in found] == list(wanted)
            assert _bits([value for _, value in found]) == _bits(list(wanted.values()))

    @invariant()
    def agrees(self) -> None:
        """Check that both have the same."""
        self.store.check_integrity()
        for series, model in zip(self.held, self.model, strict=True):
            assert _times(series) == list(model)
            assert _bits(_values(series)) == _bits(list(model.values()))
        assert {labels for labels, model in zip(self.labels, self.model, strict=True) if model} <= {
            series.labels for series in self.store
        }


TestStoreBesideDictionaries = StoreBesideDictionaries.TestCase
TestStoreBesideDictionaries.settings = settings(max_examples=30, stateful_step_count=12, deadline=None)
