"""Series evaluated together, by the times that they share, give what each gives alone."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midwatch_lab.metrics.engine import rates
from midwatch_lab.metrics.engine.evaluate import Limits
from midwatch_lab.metrics.engine.query import Span, over_range, read
from midwatch_lab.metrics.labels import from_dict
from midwatch_lab.metrics.store import STALE, Store

_VALUE = st.sampled_from([0.0, 1.0, 2.5, 7.0, 100.0, float("nan"), STALE])
_SAMPLES = st.lists(st.tuples(st.integers(0, 2), _VALUE), min_size=1, max_size=150)
"""How many scrapes of 5 s come before each sample (0: the next), and its value."""


def _store(drawn: list[list[tuple[int, float]]]) -> Store:
    store = Store(retention_s=1e9)
    for number, samples in enumerate(drawn):
        at = 0
        for gap, value in samples:
            at += 5000 * (1 + gap // 2)
            store.append(store.series(from_dict({"__name__": "x_total", "n": str(number)})), at, value)
    return store


@pytest.mark.parametrize("function", ["rate", "increase", "delta", "changes", "last_over_time", "sum_over_time"])
def test_a_function_of_many_series_is_that_of_each(function: str, monkeypatch: pytest.MonkeyPatch) -> None:
    expr = read(f"{function}(x_total[40s])")
    span = Span(0, 400, 7)

    def rows(store: Store, *, by_cohort: bool) -> dict[str, str]:
        monkeypatch.setattr(rates, "_WORTH", 0 if by_cohort else 10**9)
        return {dict(labels)["n"]: repr(points) for labels, points in over_range(store, expr, span, Limits()).series}

    @settings(max_examples=15)
    @given(st.lists(_SAMPLES, min_size=1, max_size=4), st.booleans())
    def alike(drawn: list[list[tuple[int, float]]], by_cohort: bool) -> None:  # noqa: FBT001 (drawn)
        everything = [*drawn, drawn[0]]
        together = rows(_store(everything), by_cohort=by_cohort)
        for number, samples in enumerate(everything):
            assert together.get(str(number)) == rows(_store([samples]), by_cohort=not by_cohort).get("0")

    alike()
