"""Quantiles of many classic histograms at once, where nothing about them is out of order.

Histograms with the same bounds stand in one grid of G histograms, B buckets and T steps. A step counts where a
histogram has all its buckets and counts that rise without need of mending; the others are left to `Buckets`.
"""

import math

import numpy as np

from midwatch_lab.metrics.engine.histograms import TOLERANCE, Histograms
from midwatch_lab.metrics.engine.values import Bools, Floats, Ints

_SMALLEST = 1e-300
"""Counts below are told apart by other rules."""


def quick(found: Histograms, ranks: Floats) -> tuple[Floats, Bools]:
    """Return the quantiles at `ranks` (one a step) and where they are known, both histograms by steps."""
    vector = found.vector
    shape = (len(found.groups), vector.values.shape[1])
    values, known = np.full(shape, np.nan), np.zeros(shape, dtype=np.bool_)
    alike: dict[tuple[float, ...], tuple[list[int], list[list[int]]]] = {}
    for number, unordered in enumerate(found.groups.values()):
        members = sorted(unordered)
        bounds = tuple([bound for bound, _ in members])
        if len(set(bounds)) == len(bounds) > 1 and bounds[-1] == math.inf:
            numbers, rows = alike.setdefault(bounds, ([], []))
            numbers.append(number)
            rows.append([row for _, row in members])
    for bounds, (numbers, grid) in alike.items():
        rows = np.array(grid, dtype=np.int64)
        counts = vector.values[rows]
        known[numbers] = vector.present[rows].all(axis=1) & _rising(counts) & (ranks >= 0) & (ranks <= 1)
        values[numbers] = _quantiles(np.array(bounds), counts, ranks)
    return values, known


def _rising(counts: Floats) -> Bools:
    """Say where counts are finite, and each is the one before or clearly more."""
    low, high = counts[:, :-1], counts[:, 1:]
    step = high - low
    clear = (step == 0) | ((step > 2 * TOLERANCE * (low + high)) & (high > _SMALLEST))
    return clear.all(axis=1) & (counts[:, 0] >= 0) & np.isfinite(counts[:, -1])


def _quantiles(bounds: Floats, counts: Floats, ranks: Floats) -> Floats:
    """Return the quantile of each histogram at each step, linear within its bucket."""
    total = counts[:, -1]
    wanted = ranks * total
    index: Ints = np.minimum((counts < wanted[:, None]).sum(axis=1), len(bounds) - 1)
    before = np.maximum(index - 1, 0)
    low = np.where(index > 0, bounds[before], 0.0)
    below = np.where(index > 0, _at(counts, before), 0.0)
    inside = _at(counts, index) - below
    share = np.where(inside != 0, (wanted - below) / inside, np.nan)
    found = low + (bounds[index] - low) * share
    found = np.where((index == 0) & (bounds[0] <= 0), bounds[0], found)
    found = np.where(index == len(bounds) - 1, bounds[-2], found)
    return np.where(total == 0, np.nan, found)


def _at(counts: Floats, index: Ints) -> Floats:
    return np.take_along_axis(counts, index[:, None], axis=1)[:, 0]
