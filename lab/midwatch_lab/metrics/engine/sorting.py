"""`sort_by_label` and `sort_by_label_desc`: in the order that people expect of numbers inside names."""

import functools
import re

from midwatch_contracts.promql import Call
from midwatch_lab.metrics.engine.arguments import Evaluator, text
from midwatch_lab.metrics.engine.calls import warn_unsorted
from midwatch_lab.metrics.engine.values import Vector
from midwatch_lab.metrics.labels import Labels, value_of

_CHUNK = re.compile(r"[0-9]+|[^0-9]+")


def natural(one: str, two: str) -> int:
    """Compare texts chunk by chunk, runs of digits as numbers: `a9` stands before `a10`; -1, 0 or 1."""
    ones, twos = _CHUNK.findall(one), _CHUNK.findall(two)
    for first, second in zip(ones, twos, strict=False):
        left, right = (int(first), int(second)) if first.isdigit() and second.isdigit() else (first, second)
        if left != right:
            return -1 if left < right else 1  # type: ignore[operator] (both are of one kind)
    return (len(ones) > len(twos)) - (len(ones) < len(twos))


def sort_by_label(evaluator: Evaluator, expr: Call) -> Vector:
    """Sort an instant query's series by the labels named, then by all labels."""
    vector = evaluator.vector(expr.args[0])
    if len(evaluator.times) != 1:
        warn_unsorted(evaluator, expr)
        return vector
    names = [text(arg) for arg in expr.args[1:]]

    def compare(one: Labels, two: Labels) -> int:
        for name in names:
            order = natural(value_of(one, name), value_of(two, name))
            if order:
                return order
        return (one > two) - (one < two)

    rows = [row for row in range(len(vector.labels)) if vector.present[row, 0]]
    key = functools.cmp_to_key(compare)
    rows.sort(key=lambda row: key(vector.labels[row]), reverse=expr.function.endswith("_desc"))
    return vector.pick(rows)
