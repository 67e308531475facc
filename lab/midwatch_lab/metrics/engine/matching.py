"""Which series of two vectors belong together, as `on`, `ignoring`, `group_left` and the fill modifiers say."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from midwatch_contracts.promql import Matching
from midwatch_lab.metrics.engine.deadline import Deadline
from midwatch_lab.metrics.engine.values import Bools, Floats, Vector, anywhere
from midwatch_lab.metrics.errors import ExecutionError
from midwatch_lab.metrics.labels import METADATA, Labels, braced, drop, drop_name, keep


def signature_of(matching: Matching | None) -> Callable[[Labels], Labels]:
    """Return what maps a label set to what must be equal on both sides."""
    if matching is None:
        return drop_name
    names = frozenset(matching.labels)
    if matching.on:
        return lambda labels: keep(labels, names)
    return lambda labels: drop(labels, names | METADATA)


def by_signature(vector: Vector, signature: Callable[[Labels], Labels]) -> dict[Labels, list[int]]:
    """Return a vector's rows by signature."""
    found: dict[Labels, list[int]] = {}
    for row, labels in enumerate(vector.labels):
        found.setdefault(signature(labels), []).append(row)
    return found


@dataclass
class Pairs:
    """P pairs of a series of the many side and one of the one side; values and presence are P by T."""

    labels: list[tuple[Labels, Labels]]
    """(of the many side, of the one side); a filled side has the labels that are matched."""
    many: Floats
    one: Floats
    present: Bools
    groups: list[int]
    """The number of the match group of each pair."""


def matched(matching: Matching | None, many: Vector, one: Vector, deadline: Deadline) -> Pairs:
    """Pair the series of two vectors.

    Raises:
        ExecutionError: when the one side has two series for one match group at a step.
    """
    signature = signature_of(matching)
    swapped = matching is not None and matching.group == "right"
    fill_many = fill_one = None
    if matching is not None:
        sides = (matching.fill_left, matching.fill_right)
        fill_many, fill_one = sides[::-1] if swapped else sides
    some = anywhere(many.present)
    if fill_many is None:
        one = one.filtered(np.broadcast_to(some, one.present.shape))
    one_rows = by_signature(one, signature)
    _refuse_many(one, signature, "left" if swapped else "right")
    many_rows = by_signature(many, signature)
    numbers = {key: number for number, key in enumerate({**many_rows, **one_rows})}
    rows: list[tuple[int, int, int]] = []
    for key, members in deadline.over(many_rows.items()):
        rows += [(row, other, numbers[key]) for row in members for other in one_rows.get(key, ())]
    found = Pairs(
        [(many.labels[row], one.labels[other]) for row, other, _ in rows],
        many.values[[row for row, _, _ in rows]],
        one.values[[other for _, other, _ in rows]],
        many.present[[row for row, _, _ in rows]] & one.present[[other for _, other, _ in rows]],
        [group for _, _, group in rows],
    )
    if fill_one is not None:
        _fill(found, many, (one, one_rows), (signature, numbers, fill_one), many_side=False)
    if fill_many is not None:
        _fill(found, one, (many, many_rows), (signature, numbers, fill_many), many_side=True)
    return found


def _fill(
    pairs: Pairs,
    present: Vector,
    other: tuple[Vector, dict[Labels, list[int]]],
    how: tuple[Callable[[Labels], Labels], dict[Labels, int], float],
    *,
    many_side: bool,
) -> None:
    """Pair what one side has with a constant, wherever the other side has nothing of its match group."""
    (lacking, rows), (signature, numbers, value) = other, how
    labels: list[tuple[Labels, Labels]] = []
    shown: list[Bools] = []
    for row, own in enumerate(present.labels):
        key = signature(own)
        there = anywhere(lacking.present[rows[key]]) if key in rows else np.zeros(present.present.shape[1], np.bool_)
        labels.append((key, own) if many_side else (own, key))
        shown.append(present.present[row] & ~there)
        pairs.groups.append(numbers[key])
    pairs.labels += labels
    filled = np.full(present.values.shape, value)
    many, one = (filled, present.values) if many_side else (present.values, filled)
    pairs.many = np.concatenate([pairs.many, many])
    pairs.one = np.concatenate([pairs.one, one])
    pairs.present = np.concatenate([pairs.present, np.array(shown, np.bool_).reshape(present.present.shape)])


def _refuse_many(one: Vector, signature: Callable[[Labels], Labels], side: str) -> None:
    """Refuse two series of one match group; the message names the first two of the first step that has them."""
    keys = [signature(labels) for labels in one.labels]
    rows = by_signature(one, signature)
    doubled = [members for members in rows.values() if len(members) > 1]
    steps = [np.flatnonzero(one.present[members].sum(axis=0) > 1) for members in doubled]
    first = min((int(found[0]) for found in steps if len(found)), default=None)
    if first is None:
        return
    seen: dict[Labels, int] = {}
    for row, key in enumerate(keys):
        if not one.present[row, first]:
            continue
        if key in seen:
            shown = ", ".join(sorted((braced(one.labels[seen[key]]), braced(one.labels[row]))))
            raise ExecutionError(
                f"found duplicate series for the match group {braced(key)} on the {side} hand-side of the operation: "
                f"[{shown}];many-to-many matching not allowed: matching labels must be unique on one side"
            )
        seen[key] = row
