"""Which Python function answers which function of PromQL."""

from collections.abc import Callable

import numpy as np

from midwatch_contracts.promql import Call
from midwatch_lab.metrics.engine import calls, experimental, info, sorting
from midwatch_lab.metrics.engine.arguments import Evaluator
from midwatch_lab.metrics.engine.values import Floats

FUNCTIONS: dict[str, calls.Function] = {
    **calls.FUNCTIONS,
    **experimental.FUNCTIONS,
    "info": info.info,
    "sort_by_label": sorting.sort_by_label,
    "sort_by_label_desc": sorting.sort_by_label,
}
"""Those that return an instant vector."""


def _constant(value: Callable[[Evaluator], float]) -> Callable[[Evaluator, Call], Floats]:
    return lambda evaluator, _: np.full(len(evaluator.times), value(evaluator))


def _scalar(evaluator: Evaluator, expr: Call) -> Floats:
    vector = evaluator.vector(expr.args[0])
    only = vector.present.sum(axis=0) == 1
    return np.where(only, np.where(vector.present, vector.values, 0.0).sum(axis=0), np.nan)


SCALARS: dict[str, Callable[[Evaluator, Call], Floats]] = {
    "end": _constant(lambda evaluator: evaluator.asked.end / 1000),
    "max_of": lambda evaluator, expr: np.maximum(evaluator.scalar(expr.args[0]), evaluator.scalar(expr.args[1])),
    "min_of": lambda evaluator, expr: np.minimum(evaluator.scalar(expr.args[0]), evaluator.scalar(expr.args[1])),
    "pi": _constant(lambda _: np.pi),
    "range": _constant(lambda evaluator: (evaluator.asked.end - evaluator.asked.start) / 1000),
    "scalar": _scalar,
    "start": _constant(lambda evaluator: evaluator.asked.start / 1000),
    "step": _constant(lambda evaluator: evaluator.asked.step / 1000),
    "time": lambda evaluator, _: evaluator.times / 1000,
}
"""Those that return a scalar."""
