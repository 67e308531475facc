"""Matrix products whose rows do not depend on their neighbours.

BLAS picks its kernel, and with it the order of additions, by the shape of the product, so a token's result would depend
on how many others share the batch. Here every product has the same shape: rows are taken a tile at a time, the last
tile filled up with zeros. What remains is whether a row's result depends on its place in the tile; `pick_tile` tries
that on the machine at start and falls back to one row a tile, which is always independent (and slower).
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

TILE = 4
"""Rows: small enough that OpenBLAS takes its small-matrix path, which packs nothing (five times faster at 4 rows)."""
LARGE_TILE = 32
"""Rows for weights that no cache holds: a row then costs a sixth of what it costs among four."""
LARGE = 1 << 18
"""Numbers in a weight from which on it is large."""


def padded(rows: int, tile: int) -> int:
    """Return the next multiple of `tile`."""
    return -(-rows // tile) * tile


def linear(x: Floats, weight: Floats, tile: int) -> Floats:
    """Return x @ weight for x (rows, inner) and weight (inner, outer); rows must be a multiple of `tile`."""
    rows, inner = x.shape
    return np.matmul(x.reshape(rows // tile, tile, inner), weight).reshape(rows, weight.shape[1])


def pick_tile(weights: Iterable[Floats]) -> int:
    """Return a tile with which each weight gives a row the same result at every place among any neighbours, else 1.

    One weight of each shape is tried: the order of additions depends on the shape, not on the values.
    """
    shapes = {weight.shape: weight for weight in weights}
    large = min(weight.size for weight in shapes.values()) >= LARGE
    for tile in (LARGE_TILE, TILE) if large else (TILE,):
        if all(_independent(weight, tile) for weight in shapes.values()):
            return tile
    return 1


def _independent(weight: Floats, tile: int) -> bool:
    rng = np.random.default_rng(0)
    row = rng.standard_normal(len(weight), dtype=np.float32)
    results = set[bytes]()
    for place in range(0, tile, tile // TILE):
        for neighbours in (0.0, 1.0, 1e3):
            x = rng.standard_normal((tile, len(weight)), dtype=np.float32) * np.float32(neighbours)
            x[place] = row
            results.add(linear(x, weight, tile)[place].tobytes())
    return len(results) == 1
