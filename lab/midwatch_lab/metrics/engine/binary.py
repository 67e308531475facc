"""Binary operators: between scalars, a vector and a scalar, and two vectors matched by labels."""

from collections.abc import Callable

import numpy as np

from midwatch_contracts.promql import COMPARISONS, Binary
from midwatch_lab.metrics.engine.deadline import Deadline
from midwatch_lab.metrics.engine.elementwise import ARITHMETIC, COMPARISON
from midwatch_lab.metrics.engine.matching import by_signature, matched, signature_of
from midwatch_lab.metrics.engine.values import Bools, Floats, Vector, anywhere, merge
from midwatch_lab.metrics.errors import ExecutionError
from midwatch_lab.metrics.labels import Labels, drop, drop_name, from_dict, keep, value_of


def scalars(op: str, left: Floats, right: Floats) -> Floats:
    """Apply an operator to two scalars; comparisons give 1 or 0."""
    if op in COMPARISONS:
        return COMPARISON[op](left, right).astype(np.float64)
    return ARITHMETIC[op](left, right)


def with_scalar(expr: Binary, vector: Vector, scalar: Floats, *, swapped: bool) -> Vector:
    """Apply an operator to a vector and a scalar; `swapped`: the scalar stands on the left."""
    left, right = (scalar, vector.values) if swapped else (vector.values, scalar)
    if expr.op in COMPARISONS:
        holds = COMPARISON[expr.op](left, right)
        if not expr.return_bool:
            return vector.filtered(holds)
        vector = vector.with_values(holds.astype(np.float64))
    else:
        vector = vector.with_values(ARITHMETIC[expr.op](left, right))
    return vector.relabelled([drop_name(labels) for labels in vector.labels])


def sets(expr: Binary, left: Vector, right: Vector) -> Vector:
    """Apply `and`, `or` or `unless`: labels and values are kept whole."""
    signature = signature_of(expr.matching)
    if expr.op == "or":
        added = right.filtered(~_matched(right, left, signature))
        return merge(
            Vector(
                left.labels + added.labels,
                np.concatenate([left.values, added.values]),
                np.concatenate([left.present, added.present]),
            )
        )
    matched = _matched(left, right, signature)
    return left.filtered(matched if expr.op == "and" else ~matched)


def _matched(vector: Vector, other: Vector, signature: Callable[[Labels], Labels]) -> Bools:
    """Say for each sample of `vector` whether `other` has one of the same signature at that step."""
    rows = by_signature(other, signature)
    found = np.zeros(vector.present.shape, dtype=np.bool_)
    seen: dict[Labels, Bools] = {}
    for row, labels in enumerate(vector.labels):
        key = signature(labels)
        if key in rows:
            if key not in seen:
                seen[key] = anywhere(other.present[rows[key]])
            found[row] = seen[key]
    return found


def vectors(expr: Binary, left: Vector, right: Vector, deadline: Deadline) -> Vector:
    """Apply an arithmetic operator or a comparison to two vectors.

    Raises:
        ExecutionError: when one side has two series for one match group, or results would share their labels.
    """
    swapped = expr.matching is not None and expr.matching.group == "right"
    pairs = matched(expr.matching, *((right, left) if swapped else (left, right)), deadline)
    first, second = (pairs.one, pairs.many) if swapped else (pairs.many, pairs.one)
    kept = pairs.present
    labels = [_result_labels(expr, many, one) for many, one in pairs.labels]
    if expr.op in COMPARISONS:
        holds = COMPARISON[expr.op](first, second)
        # A comparison keeps the value of the operator's left side, whichever side is many.
        values = holds.astype(np.float64) if expr.return_bool else first
        kept = pairs.present if expr.return_bool else pairs.present & holds
    else:
        values = ARITHMETIC[expr.op](first, second)
    if expr.matching is None or expr.matching.group is None:
        if _twice(pairs.groups, pairs.present):
            raise ExecutionError(
                "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)"
            )
    elif _twice(list(zip(pairs.groups, labels, strict=True)), pairs.present):
        raise ExecutionError("multiple matches for labels: grouping labels must ensure unique matches")
    return merge(Vector(labels, values, kept))


def _result_labels(expr: Binary, many: Labels, one: Labels) -> Labels:
    matching = expr.matching
    labels = many if expr.op in COMPARISONS and not expr.return_bool else drop_name(many)
    if matching is None:
        return labels
    if matching.group is None:
        return keep(labels, matching.labels) if matching.on else drop(labels, matching.labels)
    if not matching.include:
        return labels
    return from_dict({**dict(labels), **{name: value_of(one, name) for name in matching.include}})


def _twice(keys: "list[int] | list[tuple[int, Labels]]", present: Bools) -> bool:
    """Say whether two rows with one key are present at the same step."""
    rows: dict[object, list[int]] = {}
    for row, key in enumerate(keys):
        rows.setdefault(key, []).append(row)
    return any(len(members) > 1 and int(present[members].sum(axis=0).max(initial=0)) > 1 for members in rows.values())
