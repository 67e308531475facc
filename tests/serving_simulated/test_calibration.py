"""Fitting: the terms that made the times come out again, and none is negative."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from midwatch_serving.calibration import Bounds, design, fit, measure, speed, work_for
from midwatch_serving.cost_model import CostModel
from midwatch_serving.nnls import Matrix, Vector, nnls
from midwatch_serving.step_shape import shape_of_work
from midwatch_serving.work import StepResult, Work

BOUNDS = Bounds(num_blocks=512, block_size=16, max_model_len=1024, max_num_seqs=8, max_num_batched_tokens=256)


class _Predicted:
    """Takes the CPU time that a cost model says."""

    def __init__(self, cost: CostModel, factor: float = 1.0) -> None:
        self.cost, self.factor = cost, factor

    def execute(self, work: list[Work]) -> StepResult:
        return StepResult([None] * len(work), self.factor * self.cost.step_s(shape_of_work(work)))


@given(
    arrays.arrays(np.float64, st.tuples(st.integers(1, 12), st.integers(1, 6)), elements=st.floats(0, 10)),
    st.integers(0, 1000),
)
def test_the_solution_is_a_least_one_without_negative_coefficients(a: Matrix, seed: int) -> None:
    b: Vector = np.random.default_rng(seed).standard_normal(len(a))
    x = nnls(a, b)
    slope = a.T @ (b - a @ x)
    scale = max(1.0, float(np.abs(a).max())) ** 2
    assert (x >= 0).all()
    assert slope.max() <= 1e-5 * scale  # no coefficient could grow and help (Karush, Kuhn, Tucker)
    assert np.abs(slope * x).max() <= 1e-5 * scale * max(1.0, float(np.abs(x).max()))


def test_fitting_times_that_a_cost_model_made_predicts_them_again(make_cost: Callable[..., CostModel]) -> None:
    cost = make_cost(sample=2**-14, prefill=2**-10, prefill_pair=2**-26)
    batches = design(BOUNDS)
    found = fit(batches, measure(_Predicted(cost), batches, BOUNDS, rounds=2), BOUNDS)
    assert found.worst_error < 1e-6
    assert found.batches == len(batches) > 50


def test_the_design_stays_within_the_bounds() -> None:
    for chunks in design(BOUNDS):
        assert len(chunks) <= BOUNDS.max_num_seqs + 1
        assert sum(count for _, count in chunks) <= BOUNDS.max_num_batched_tokens
        for work, (start, count) in zip(work_for(chunks, BOUNDS), chunks, strict=True):
            assert start + count <= BOUNDS.max_model_len
            assert len(work.block_table) * BOUNDS.block_size >= start + count


@pytest.mark.parametrize("factor", [0.5, 1.0, 3.0])
def test_a_slower_machine_is_told_by_how_much_it_is_slower(factor: float, cost: CostModel) -> None:
    assert speed(_Predicted(cost, factor), cost, BOUNDS, rounds=1) == pytest.approx(factor)
