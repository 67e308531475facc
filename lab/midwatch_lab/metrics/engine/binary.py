"""Binary operators: between scalars, a vector and a scalar, and two vectors matched by labels."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from midwatch_contracts.promql import COMPARISONS, Binary, Matching
from midwatch_lab.metrics.engine.elementwise import ARITHMETIC, COMPARISON
from midwatch_lab.metrics.engine.values import Bools, Floats, Vector, anywhere, merge
from midwatch_lab.metrics.errors import ExecutionError
from midwatch_lab.metrics.labels import METADATA, Labels, drop, drop_name, from_dict, keep, show, value_of


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


def _signature(matching: Matching | None) -> Callable[[Labels], Labels]:
    """Return what maps a label set to what must be equal on both sides."""
    if matching is None:
        return drop_name
    names = frozenset(matching.labels)
    if matching.on:
        return lambda labels: keep(labels, names)
    return lambda labels: drop(labels, names | METADATA)


def _by_signature(vector: Vector, signature: Callable[[Labels], Labels]) -> dict[Labels, list[int]]:
    found: dict[Labels, list[int]] = {}
    for row, labels in enumerate(vector.labels):
        found.setdefault(signature(labels), []).append(row)
    return found


def sets(expr: Binary, left: Vector, right: Vector) -> Vector:
    """Apply `and`, `or` or `unless`: labels and values are kept whole."""
    signature = _signature(expr.matching)
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
    rows = _by_signature(other, signature)
    found = np.zeros(vector.present.shape, dtype=np.bool_)
    seen: dict[Labels, Bools] = {}
    for row, labels in enumerate(vector.labels):
        key = signature(labels)
        if key in rows:
            if key not in seen:
                seen[key] = anywhere(other.present[rows[key]])
            found[row] = seen[key]
    return found


@dataclass
class _Pairs:
    """Rows matched with each other: `many` and `one` are as long, and so are the label sets of the results."""

    many: list[int]
    one: list[int]
    labels: list[Labels]
    groups: list[int]
    """The number of the match group of each pair."""


def vectors(expr: Binary, left: Vector, right: Vector) -> Vector:
    """Apply an arithmetic operator or a comparison to two vectors.

    Raises:
        ExecutionError: when one side has two series for one match group, or results would share their labels.
    """
    swapped = expr.matching is not None and expr.matching.group == "right"
    many, one = (right, left) if swapped else (left, right)
    one = one.filtered(np.broadcast_to(anywhere(many.present), one.present.shape))
    signature = _signature(expr.matching)
    one_rows = _by_signature(one, signature)
    _refuse_many(one, one_rows, "left" if swapped else "right")
    pairs = _pair(expr, many, one, one_rows, signature)
    many_values, one_values = many.values[pairs.many], one.values[pairs.one]
    present = many.present[pairs.many] & one.present[pairs.one]
    first, second = (one_values, many_values) if swapped else (many_values, one_values)
    kept = present
    if expr.op in COMPARISONS:
        holds = COMPARISON[expr.op](first, second)
        values = holds.astype(np.float64) if expr.return_bool else first
        kept = present if expr.return_bool else present & holds
    else:
        values = ARITHMETIC[expr.op](first, second)
    if expr.matching is None or expr.matching.group is None:
        _refuse_explicit(pairs, present)
    else:
        _refuse_same(pairs, kept)
    return merge(Vector(pairs.labels, values, kept))


def _pair(
    expr: Binary,
    many: Vector,
    one: Vector,
    one_rows: dict[Labels, list[int]],
    signature: Callable[[Labels], Labels],
) -> _Pairs:
    pairs = _Pairs([], [], [], [])
    numbers = {key: number for number, key in enumerate(one_rows)}
    for row, labels in enumerate(many.labels):
        key = signature(labels)
        for other in one_rows.get(key, ()):
            pairs.many.append(row)
            pairs.one.append(other)
            pairs.labels.append(_result_labels(expr, labels, one.labels[other]))
            pairs.groups.append(numbers[key])
    return pairs


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


def _refuse_many(one: Vector, rows: dict[Labels, list[int]], side: str) -> None:
    for key, members in rows.items():
        if len(members) > 1 and int(one.present[members].sum(axis=0).max(initial=0)) > 1:
            shown = ", ".join(show(one.labels[row]) for row in members[:2])
            raise ExecutionError(
                f"found duplicate series for the match group {show(key)} on the {side} hand-side of the operation: "
                f"[{shown}]; many-to-many matching not allowed: matching labels must be unique on one side"
            )


def _refuse_explicit(pairs: _Pairs, present: Bools) -> None:
    if _twice(pairs.groups, present):
        raise ExecutionError(
            "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)"
        )


def _refuse_same(pairs: _Pairs, kept: Bools) -> None:
    if _twice([(group, labels) for group, labels in zip(pairs.groups, pairs.labels, strict=True)], kept):
        raise ExecutionError("multiple matches for labels: grouping labels must ensure unique matches")


def _twice(keys: "list[int] | list[tuple[int, Labels]]", present: Bools) -> bool:
    """Say whether two rows with one key are present at the same step."""
    rows: dict[object, list[int]] = {}
    for row, key in enumerate(keys):
        rows.setdefault(key, []).append(row)
    return any(len(members) > 1 and int(present[members].sum(axis=0).max(initial=0)) > 1 for members in rows.values())
