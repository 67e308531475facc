"""What expressions evaluate to, over all steps at once."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from midwatch_lab.metrics.errors import ExecutionError
from midwatch_lab.metrics.labels import Labels, drop_name

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]

STALE_BITS = np.uint64(0x7FF0000000000002)


def anywhere(present: Bools) -> Bools:
    """Return at which steps any row is present."""
    return np.logical_or.reduce(present, axis=0)


def stale_mask(values: Floats) -> Bools:
    """Return which values are staleness markers."""
    return values.view(np.uint64) == STALE_BITS


@dataclass
class Vector:
    """An instant vector: `labels` of S series; `values` and `present` are S by T.

    Where not present, a value is void.
    """

    labels: list[Labels]
    values: Floats
    present: Bools

    @classmethod
    def empty(cls, steps: int) -> "Vector":
        """Return a vector of no series."""
        return cls([], np.empty((0, steps)), np.empty((0, steps), dtype=np.bool_))

    def pick(self, rows: Sequence[int] | Ints, labels: list[Labels] | None = None) -> "Vector":
        """Return some rows, in the order given, with other labels if given."""
        index = np.asarray(rows, dtype=np.int64)
        chosen = [self.labels[int(row)] for row in index] if labels is None else labels
        return Vector(chosen, self.values[index], self.present[index])

    def with_values(self, values: Floats) -> "Vector":
        """Return the same series with other values."""
        return Vector(self.labels, values, self.present)

    def relabelled(self, labels: list[Labels]) -> "Vector":
        """Return the same samples under other labels; series that now share a label set become one.

        Raises:
            ExecutionError: when two of them have a sample at the same step.
        """
        return merge(Vector(labels, self.values, self.present))

    def filtered(self, kept: Bools) -> "Vector":
        """Return the same series with only the samples where `kept` holds."""
        return Vector(self.labels, self.values, self.present & kept)


def merge(vector: Vector) -> Vector:
    """Join rows with equal labels.

    Raises:
        ExecutionError: when two of them have a sample at the same step.
    """
    rows: dict[Labels, list[int]] = {}
    for index, labels in enumerate(vector.labels):
        rows.setdefault(labels, []).append(index)
    if len(rows) == len(vector.labels):
        return vector
    values = np.empty((len(rows), vector.values.shape[1]))
    present = np.empty(values.shape, dtype=np.bool_)
    for position, members in enumerate(rows.values()):
        values[position], present[position] = joined(vector, members)
        if int(vector.present[members].sum(axis=0).max(initial=0)) > 1:
            raise ExecutionError("vector cannot contain metrics with the same labelset")
    return Vector(list(rows), values, present)


def unnamed(vector: Vector) -> Vector:
    """Return a vector without metric names.

    Raises:
        ExecutionError: when two series then share their labels at the same step.
    """
    return vector.relabelled([drop_name(labels) for labels in vector.labels])


def of_scalar(values: Floats) -> Vector:
    """Return one series without labels."""
    return Vector([()], values[None, :], np.ones((1, len(values)), dtype=np.bool_))


def joined(vector: Vector, members: Sequence[int]) -> tuple[Floats, Bools]:
    """Return one row made of several that are not present together: (values, present)."""
    if len(members) == 1:
        return vector.values[members[0]], vector.present[members[0]]
    present = vector.present[list(members)]
    chosen = present.argmax(axis=0)
    return vector.values[np.asarray(members)[chosen], np.arange(present.shape[1])], anywhere(present)
