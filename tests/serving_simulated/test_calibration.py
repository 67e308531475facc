"""Fitting: the terms that made the times come out again, and none is negative."""

from collections.abc import Callable, Iterable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from midwatch_serving.calibration import Bounds, design, fit, measure, work_for
from midwatch_serving.cost_model import CostModel
from midwatch_serving.nnls import Matrix, Vector, nnls
from midwatch_serving.practice import between, factor, practice
from midwatch_serving.step_shape import StepShape, shape_of_work
from midwatch_serving.watched import Step
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


def _watched(shapes: Iterable[StepShape], cost: CostModel, factor: float = 1.0, gap: float = 0.0) -> list[Step]:
    """Steps of a closed loop that last as a cost model says, one after another."""
    steps, now = list[Step](), 0.0
    for shape in shapes:
        now += factor * (gap or cost.overhead_s(shape))
        seconds = factor * cost.step_s(shape)
        steps.append(Step(shape, now, now + seconds, seconds))
        now += seconds
    return steps


def _decodes(size: int, count: int) -> list[StepShape]:
    return [StepShape(size, size, size * context, context, 0, 0, 0.0, size) for context in range(50, 50 + count)]


def test_what_steps_take_in_service_outweighs_what_designed_batches_took(make_cost: Callable[..., CostModel]) -> None:
    alone, served = make_cost(), make_cost(prefill=2**-7, decode=2**-9)
    batches = design(BOUNDS)
    shapes = [shape_of_work(work_for(chunks, BOUNDS)) for chunks in batches]
    found = fit(batches, measure(_Predicted(alone), batches, BOUNDS, rounds=1), BOUNDS, _watched(shapes, served))
    fitted = alone.model_copy(update={"seconds": found.seconds, "row_knots": found.knots})
    total = sum(served.step_s(shape) for shape in shapes)
    assert found.served == len(shapes)
    assert sum(fitted.step_s(shape) for shape in shapes) == pytest.approx(total, rel=0.05)


def test_noise_of_single_steps_does_not_make_the_fit_too_short(make_cost: Callable[..., CostModel]) -> None:
    cost = make_cost()
    batches = design(BOUNDS)
    noise = np.random.default_rng(3).lognormal(0.0, 0.4, 4000)
    shapes = [shape_of_work(work_for(batches[i % len(batches)], BOUNDS)) for i in range(len(noise))]
    steps = [
        Step(shape, 0.0, 0.0, float(cost.step_s(shape) * share)) for shape, share in zip(shapes, noise, strict=True)
    ]
    found = fit(batches, measure(_Predicted(cost, float(noise.mean())), batches, BOUNDS, rounds=1), BOUNDS, steps)
    fitted = cost.model_copy(update={"seconds": found.seconds, "row_knots": found.knots})
    took = sum(step.cpu_s for step in steps)
    assert sum(fitted.step_s(shape) for shape in shapes) == pytest.approx(took, rel=0.03)


@pytest.mark.parametrize("times", [0.5, 1.0, 3.0])
def test_a_slower_machine_is_told_by_how_much_it_is_slower(times: float, cost: CostModel) -> None:
    assert factor(
        _watched(_decodes(4, 60), cost, times, gap=cost.overhead_s(_decodes(4, 1)[0])), cost
    ) == pytest.approx(times, rel=0.02)


def test_the_python_between_steps_is_parted_by_step_and_sequence_and_a_neighbours_turn_is_left_out() -> None:
    def run(size: int, gap: float) -> list[Step]:
        steps = [Step(shape, i * (1 + gap), i * (1 + gap) + 1, 1.0) for i, shape in enumerate(_decodes(size, 20))]
        late = Step(steps[-1].shape, steps[-1].ended + 5.0, steps[-1].ended + 6.0, 1.0)
        return [*steps, late]

    step, sequence = between([run(1, 0.003), run(5, 0.011)])
    assert step == pytest.approx(0.001)
    assert sequence == pytest.approx(0.002)


def test_practice_loads_are_closed_loops_within_what_the_engine_takes() -> None:
    found = practice(BOUNDS, seed=1)
    assert {load.concurrency for load in found} == {1, 2, 4, 8, 16}
    for load in found:
        assert max(r.prompt_tokens + r.output_tokens for r in load.requests) <= BOUNDS.max_model_len
    assert max(r.prompt_tokens for load in found for r in load.requests) > BOUNDS.max_model_len // 3
