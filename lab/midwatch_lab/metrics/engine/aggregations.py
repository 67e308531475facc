"""Aggregations over the series of an instant vector, grouped by labels, for all steps at once."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from midwatch_contracts.promql import Aggregate, number_literal
from midwatch_lab.metrics.engine.sums import Sums, mean, quantile
from midwatch_lab.metrics.engine.values import Bools, Floats, Ints, Vector, anywhere, merge
from midwatch_lab.metrics.errors import ExecutionError
from midwatch_lab.metrics.labels import METADATA, Labels, drop, from_dict, keep

_MAX_K = 2.0**63


@dataclass
class Groups:
    """The rows of a vector by group: `labels` of G groups and the rows of each, in order."""

    vector: Vector
    labels: list[Labels]
    members: list[list[int]]

    @classmethod
    def of(cls, vector: Vector, expr: Aggregate) -> "Groups":
        """Group a vector's rows as an aggregation says."""
        names = METADATA.union(expr.grouping) if expr.without else frozenset(expr.grouping)
        select = drop if expr.without else keep
        found: dict[Labels, list[int]] = {}
        for row, labels in enumerate(vector.labels):
            found.setdefault(select(labels, names), []).append(row)
        return cls(vector, list(found), list(found.values()))

    def ranks(self) -> "list[tuple[Ints, Ints]]":
        """Return, for k = 0, 1, …, (groups that have a k-th member, its row)."""
        found: list[tuple[Ints, Ints]] = []
        for rank in range(max(map(len, self.members), default=0)):
            having = [number for number, rows in enumerate(self.members) if len(rows) > rank]
            rows = [self.members[number][rank] for number in having]
            found.append((np.array(having, dtype=np.int64), np.array(rows, dtype=np.int64)))
        return found

    def reduced(self, values: Floats, reduce: np.ufunc) -> Floats:
        """Reduce the rows of each group."""
        if not self.members:
            return np.empty((0, values.shape[1]))
        order = [row for rows in self.members for row in rows]
        sizes = np.array([len(rows) for rows in self.members])
        return reduce.reduceat(values[order], np.cumsum(sizes) - sizes, axis=0)

    def count(self) -> Floats:
        """Return how many samples each group has at each step."""
        return self.reduced(self.vector.present.astype(np.float64), np.add)

    def made(self, values: Floats) -> Vector:
        """Return one series a group."""
        return Vector(self.labels, values, self.count() > 0)

    def each(self, measure: Callable[[Floats, int], float]) -> Vector:
        """Return one series a group, with `measure(values, step)` of the samples that are there."""
        vector, steps = self.vector, self.vector.values.shape[1]
        result = np.full((len(self.members), steps), np.nan)
        for number, rows in enumerate(self.members):
            values, present = vector.values[rows], vector.present[rows]
            for step in np.flatnonzero(anywhere(present)).tolist():
                result[number, step] = measure(values[present[:, step], step], step)
        return self.made(result)


def _sum(groups: Groups) -> Vector:
    return groups.made(_sums(groups)[0].value())


def _sums(groups: Groups) -> tuple[Sums, Bools]:
    """Add every group's samples in order; also say where a sum ran over."""
    vector = groups.vector
    sums = Sums((len(groups.members), vector.values.shape[1]))
    filled = np.where(vector.present, vector.values, 0.0)
    overflow = np.zeros(sums.total.shape, dtype=np.bool_)
    for where, rows in groups.ranks():
        sums.add(where, filled[rows])
        overflow[where] |= np.isinf(sums.total[where])
    return sums, overflow


def _avg(groups: Groups) -> Vector:
    sums, overflow = _sums(groups)
    count = groups.count()
    result = groups.made(sums.total / count + sums.carry / count)
    if overflow.any():
        slow = groups.each(lambda values, _: mean(values.tolist()))
        result = result.with_values(np.where(overflow, slow.values, result.values))
    return result


def _variance(groups: Groups) -> Vector:
    """Return the population variance (Welford's recurrence); NaN where a sample is infinite."""
    vector = groups.vector
    shape = (len(groups.members), vector.values.shape[1])
    count, average, spread = np.zeros(shape), np.zeros(shape), np.zeros(shape)
    for where, rows in groups.ranks():
        there = vector.present[rows]
        value = np.where(there, vector.values[rows], 0.0)
        count[where] += there
        away = np.where(there, value - average[where], 0.0)
        average[where] += away / np.maximum(count[where], 1)
        spread[where] += np.where(there, away * (value - average[where]), 0.0)
    return groups.made(spread / count)


def _stddev(groups: Groups) -> Vector:
    found = _variance(groups)
    return found.with_values(np.sqrt(found.values))


def _shown(vector: Vector) -> Floats:
    return np.where(vector.present, vector.values, np.nan)


_PLAIN: dict[str, Callable[[Groups], Vector]] = {
    "sum": _sum,
    "avg": _avg,
    "count": lambda groups: groups.made(groups.count()),
    "min": lambda groups: groups.made(groups.reduced(_shown(groups.vector), np.fmin)),
    "max": lambda groups: groups.made(groups.reduced(_shown(groups.vector), np.fmax)),
    "group": lambda groups: groups.made(np.ones((len(groups.members), groups.vector.values.shape[1]))),
    "stdvar": _variance,
    "stddev": _stddev,
}


def aggregate(vector: Vector, expr: Aggregate, param: Floats | str | None) -> Vector:
    """Aggregate a vector; `param` is the parameter (one number a step, or text) of those that take one.

    Raises:
        ExecutionError: for a parameter that the aggregation cannot use.
    """
    groups = Groups.of(vector, expr)
    if isinstance(param, str):
        return _count_values(groups, param)
    if param is None:
        return _PLAIN[expr.op](groups)
    if expr.op == "quantile":
        return groups.each(lambda values, step: quantile(float(param[step]), values))
    return _top(groups, param, largest=expr.op == "topk")


def _count_values(groups: Groups, label: str) -> Vector:
    """Count equal values; the value becomes the label."""
    if not label:
        raise ExecutionError("count_values needs a label name, not an empty string")
    vector = groups.vector
    steps = vector.values.shape[1]
    found: dict[Labels, Floats] = {}
    for labels, rows in zip(groups.labels, groups.members, strict=True):
        for row in rows:
            for step in np.flatnonzero(vector.present[row]).tolist():
                text = number_literal(float(vector.values[row, step]))
                key = from_dict({**dict(labels), label: text})
                if key not in found:
                    found[key] = np.zeros(steps)
                found[key][step] += 1
    values = np.array(list(found.values())).reshape(len(found), steps)
    return merge(Vector(list(found), values, values > 0))


def _top(groups: Groups, param: Floats, *, largest: bool) -> Vector:
    """Keep the k largest or smallest of each group; within a group of an instant query, best first."""
    if np.isnan(param).any():
        raise ExecutionError("the parameter of topk or bottomk is NaN")
    if (np.abs(param) >= _MAX_K).any():
        raise ExecutionError("the parameter of topk or bottomk is too large")
    vector = groups.vector
    kept = np.zeros(vector.present.shape, dtype=np.bool_)
    order: list[int] = []
    for rows in groups.members:
        for step in range(vector.present.shape[1]):
            best = _best(vector, rows, step, int(param[step]), largest=largest)
            kept[best, step] = True
            if vector.present.shape[1] == 1:
                order += best
    if vector.present.shape[1] == 1:
        return vector.filtered(kept).pick(order)
    return vector.filtered(kept)


def _best(vector: Vector, rows: list[int], step: int, count: int, *, largest: bool) -> list[int]:
    """Return up to `count` rows, best first; NaN is worst of all."""
    column = vector.values[:, step].tolist()
    there = [row for row in rows if vector.present[row, step]]
    if largest:
        there.sort(key=lambda row: (math.isnan(column[row]), -column[row]))
    else:
        there.sort(key=lambda row: (math.isnan(column[row]), column[row]))
    return there[: max(count, 0)]
