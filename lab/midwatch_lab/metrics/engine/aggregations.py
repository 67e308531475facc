"""Aggregations over the series of an instant vector, grouped by labels, for all steps at once."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from midwatch_contracts.promql import Aggregate, number_literal, quote_value
from midwatch_lab.metrics.engine.annotations import Annotations
from midwatch_lab.metrics.engine.arguments import bare
from midwatch_lab.metrics.engine.deadline import Deadline
from midwatch_lab.metrics.engine.sums import Sums, mean, quantile
from midwatch_lab.metrics.engine.values import Bools, Floats, Ints, Vector, anywhere, merge
from midwatch_lab.metrics.errors import ExecutionError
from midwatch_lab.metrics.labels import METADATA, Labels, drop, from_dict, keep
from midwatch_lab.metrics.numbers import shortest_text
from midwatch_lab.metrics.xxhash64 import label_hash

_MAX_K = 2.0**63
_MAX_HASH = 2.0**64


@dataclass
class Groups:
    """The rows of a vector by group: `labels` of G groups and the rows of each, in order."""

    vector: Vector
    labels: list[Labels]
    members: list[list[int]]
    deadline: Deadline

    @classmethod
    def of(cls, vector: Vector, expr: Aggregate, deadline: Deadline) -> "Groups":
        """Group a vector's rows as an aggregation says."""
        names = METADATA.union(expr.grouping) if expr.without else frozenset(expr.grouping)
        select = drop if expr.without else keep
        found: dict[Labels, list[int]] = {}
        for row, labels in enumerate(vector.labels):
            found.setdefault(select(labels, names), []).append(row)
        return cls(vector, list(found), list(found.values()), deadline)

    def ranks(self) -> "list[tuple[Ints, Ints]]":
        """Return, for k = 0, 1, …, (groups that have a k-th member, its row)."""
        found: list[tuple[Ints, Ints]] = []
        for rank in self.deadline.over(range(max(map(len, self.members), default=0))):
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
            for step in self.deadline.over(np.flatnonzero(anywhere(present)).tolist()):
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


def aggregate(
    vector: Vector, expr: Aggregate, param: Floats | str | None, notes: Annotations, deadline: Deadline
) -> Vector:
    """Aggregate a vector; `param` is the parameter (one number a step, or text) of those that take one.

    Raises:
        ExecutionError: for a parameter that the aggregation cannot use.
    """
    groups = Groups.of(vector, expr, deadline)
    if isinstance(param, str):
        return _count_values(groups, param)
    if param is None:
        return _PLAIN[expr.op](groups)
    assert expr.param is not None  # noqa: S101 (it was evaluated)
    at = bare(expr.param).start
    if expr.op == "quantile":
        _note_ranks(param, notes, at)
        return groups.each(lambda values, step: quantile(float(param[step]), values))
    if expr.op == "limit_ratio":
        return _sampled(groups, param, notes, at)
    return _limited(groups, param, expr.op)


def _note_ranks(param: Floats, notes: Annotations, at: int) -> None:
    if np.isnan(param).any():
        notes.warn("quantile value should be between 0 and 1, got NaN", at)
    for extreme in (np.max(param), np.min(param)):
        if not 0 <= extreme <= 1 and not np.isnan(extreme):
            notes.warn(f"quantile value should be between 0 and 1, got {shortest_text(float(extreme))}", at)


def _count_values(groups: Groups, label: str) -> Vector:
    """Count equal values; the value becomes the label."""
    if not label:
        raise ExecutionError(f"invalid label name {quote_value(label)}")
    vector = groups.vector
    steps = vector.values.shape[1]
    found: dict[Labels, Floats] = {}
    for labels, rows in zip(groups.labels, groups.members, strict=True):
        for row in rows:
            for step in groups.deadline.over(np.flatnonzero(vector.present[row]).tolist()):
                text = number_literal(float(vector.values[row, step]))
                key = from_dict({**dict(labels), label: text})
                if key not in found:
                    found[key] = np.zeros(steps)
                found[key][step] += 1
    values = np.array(list(found.values())).reshape(len(found), steps)
    return merge(Vector(list(found), values, values > 0))


def _limited(groups: Groups, param: Floats, op: str) -> Vector:
    """Keep k series of each group: the largest, the smallest, or the first; of an instant query, best first."""
    vector = groups.vector
    kept = np.zeros(vector.present.shape, dtype=np.bool_)
    # The original looks for the largest parameter first, and where any is NaN it is NaN, which is not less than 1.
    if np.max(param) < 1:
        return vector.filtered(kept)
    if np.isnan(param).any():
        raise ExecutionError("Parameter value is NaN")
    if (param <= -_MAX_K).any():
        raise ExecutionError(f"Scalar value {shortest_text(float(np.min(param)))} underflows int64")
    if (param >= _MAX_K).any():
        raise ExecutionError(f"Scalar value {shortest_text(float(np.max(param)))} overflows int64")
    counts = np.maximum(param, 0.0).astype(np.int64)
    keys = np.zeros(vector.values.shape) if op == "limitk" else -vector.values if op == "topk" else vector.values
    for rows in groups.deadline.over(groups.members):
        kept[rows] = _best(keys[rows], vector.present[rows], counts)
    if vector.present.shape[1] > 1:
        return vector.filtered(kept)
    order = [row for rows in groups.members for row in _ordered(keys[:, 0], kept[:, 0], rows)]
    return vector.filtered(kept).pick(order)


def _best(keys: Floats, present: Bools, counts: Ints) -> Bools:
    """Return which rows are among the `counts` (one a step) smallest keys of their step.

    Of equal keys the first count; NaN counts for more than any number.
    """
    size = len(keys)
    numbers = present & ~np.isnan(keys)
    shown = np.where(numbers, keys, np.nan)
    wanted = np.minimum(counts, numbers.sum(axis=0))
    places = np.unique(np.clip(wanted, 1, size) - 1)
    bound = np.partition(shown, places, axis=0)[np.clip(wanted, 1, size) - 1, np.arange(keys.shape[1])]
    less, equal = numbers & (shown < bound), numbers & (shown == bound)
    kept = less | equal & (equal.cumsum(axis=0) <= wanted - less.sum(axis=0))
    blank = present & ~numbers
    kept |= blank & (blank.cumsum(axis=0) <= counts - wanted)
    return kept & (counts > 0)


def _ordered(keys: Floats, kept: Bools, rows: list[int]) -> list[int]:
    """Return the rows that are kept, best first."""
    chosen = np.array(rows)[kept[rows]]
    return chosen[np.lexsort((keys[chosen], np.isnan(keys[chosen])))].tolist()


def _sampled(groups: Groups, param: Floats, notes: Annotations, at: int) -> Vector:
    """Keep the series whose hash lies below a ratio, or, for a negative one, those that its complement leaves."""
    vector = groups.vector
    if (param == 0).all():
        return vector.filtered(np.zeros(vector.present.shape, dtype=np.bool_))
    if np.isnan(param).any():
        raise ExecutionError("Ratio value is NaN")
    for extreme, bound in ((float(np.max(param)), 1.0), (float(np.min(param)), -1.0)):
        if extreme * bound > 1:
            shown = f"{shortest_text(extreme)}, capping to {shortest_text(bound)}"
            notes.warn(f"ratio value should be between -1 and 1, got {shown}", at)
    ratio = np.clip(param, -1.0, 1.0)[None, :]
    place = np.array([label_hash(labels) / _MAX_HASH for labels in vector.labels])[:, None]
    return vector.filtered(np.where(ratio >= 0, place < ratio, place >= 1 + ratio))
