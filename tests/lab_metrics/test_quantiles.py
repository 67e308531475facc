"""Quantiles of many histograms at once are those of each by itself."""

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from midwatch_lab.metrics.engine.histograms import Buckets, Histograms
from midwatch_lab.metrics.engine.quantiles import quick
from midwatch_lab.metrics.engine.values import Vector

_BOUNDS = st.lists(st.sampled_from([-1.0, 0.0, 0.5, 1.0, 2.5, math.inf]), min_size=1, max_size=6)
_COUNT = st.one_of(st.integers(0, 20).map(float), st.sampled_from([math.nan, 1e-310, 3.0000000000001, math.inf, -1.0]))
_RANK = st.one_of(st.floats(0, 1), st.sampled_from([0.0, 1.0, 0.5, -1.0, 2.0, math.nan]))


@st.composite
def _drawn(draw: st.DrawFn) -> tuple[Histograms, "np.typing.NDArray[np.float64]"]:
    steps = draw(st.integers(1, 4))
    labels = [
        (("h", str(number)), ("le", repr(bound)))
        for number in range(draw(st.integers(1, 3)))
        for bound in draw(_BOUNDS)
    ]
    rising = draw(st.booleans())
    cells = [draw(st.lists(_COUNT, min_size=steps, max_size=steps)) for _ in labels]
    values = np.array(cells).reshape(len(labels), steps)
    if rising:
        values = np.sort(values, axis=0)
    present = np.array(
        [draw(st.lists(st.sampled_from([True, True, False]), min_size=steps, max_size=steps)) for _ in labels]
    )
    ranks = np.array(draw(st.lists(_RANK, min_size=steps, max_size=steps)))
    return Histograms.of(Vector(list(labels), values, present.reshape(values.shape))), ranks


@given(_drawn())
def test_what_is_known_at_once_is_what_the_histogram_alone_gives(
    drawn: tuple[Histograms, "np.typing.NDArray[np.float64]"],
) -> None:
    found, ranks = drawn
    with np.errstate(all="ignore"):
        values, known = quick(found, ranks)
    for number, step in np.argwhere(known).tolist():
        members = list(found.groups.values())[number]
        assert all(found.vector.present[row, step] for _, row in members)
        buckets = Buckets.of([(bound, float(found.vector.values[row, step])) for bound, row in members])
        assert buckets is not None
        risen, forced = buckets.risen(0)
        assert forced is None
        np.testing.assert_equal(values[number, step], risen.quantile(float(ranks[step])))


def test_histograms_whose_counts_rise_are_all_known() -> None:
    labels = [(("h", str(number)), ("le", bound)) for number in range(3) for bound in ("0.1", "1", "+Inf")]
    values = np.cumsum(np.ones((9, 5)), axis=0)
    _, known = quick(Histograms.of(Vector(list(labels), values, np.ones((9, 5), dtype=np.bool_))), np.full(5, 0.9))
    assert known.shape == (3, 5)
    assert known.all()
