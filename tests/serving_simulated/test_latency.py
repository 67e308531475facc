"""The figures of a run: percentiles that weigh as they should, and goodput that needs every objective."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midwatch_serving.latency import Gaps, Objectives, Timing, report, spread


@given(st.lists(st.tuples(st.floats(0, 1e3), st.integers(1, 20)), min_size=1, max_size=30))
def test_a_weighted_spread_is_that_of_the_values_repeated(pairs: list[tuple[float, int]]) -> None:
    found = spread([value for value, _ in pairs], [count for _, count in pairs])
    every = sorted(value for value, count in pairs for _ in range(count))
    assert found is not None
    for share, value in ((0.5, found.p50), (0.95, found.p95), (0.99, found.p99)):
        assert value == every[math.ceil(share * len(every) - 1e-9) - 1]
    assert found.mean == pytest.approx(sum(every) / len(every), abs=1e-9)


def test_there_is_no_spread_of_nothing() -> None:
    assert spread([]) is None
    found = report([], Gaps(), failed=2, duration_s=0.0, objectives=Objectives())
    assert (found.ttft, found.figure("ttft_p95"), found.request_throughput, found.goodput) == (None, None, 0.0, None)


def test_a_request_is_good_when_it_kept_every_objective() -> None:
    timings = [
        Timing(arrived=0.0, ttft=0.1, e2e=1.1, prompt_tokens=10, output_tokens=11),  # 100 ms a token
        Timing(arrived=0.0, ttft=0.3, e2e=0.4, prompt_tokens=10, output_tokens=11),  # late, then fast
        Timing(arrived=1.0, ttft=0.1, e2e=0.1, prompt_tokens=10, output_tokens=1),  # one token: no TPOT to keep
    ]
    both = report(timings, Gaps(), failed=1, duration_s=2.0, objectives=Objectives(ttft_s=0.2, tpot_s=0.05))
    assert (both.good, both.goodput, both.body()["good_share"]) == (1, 0.5, 0.25)
    first = report(timings, Gaps(), failed=0, duration_s=2.0, objectives=Objectives(ttft_s=0.2))
    assert first.good == 2
    assert (first.output_throughput, first.total_throughput) == (11.5, 26.5)
