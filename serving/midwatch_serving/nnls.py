"""Least squares without negative coefficients, by the active-set method of Lawson and Hanson (1974, chapter 23)."""

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]


def nnls(a: Matrix, b: Vector, tolerance: float = 1e-10) -> Vector:
    """Return x ≥ 0 that makes |a x - b| least, for a (equations, unknowns).

    Columns are brought to one length first, so that `tolerance` means the same for each.
    """
    lengths = np.linalg.norm(a, axis=0)
    lengths[lengths == 0] = 1.0
    scaled = a / lengths
    x = np.zeros(a.shape[1])
    free = np.zeros(a.shape[1], dtype=np.bool_)
    for _ in range(10 * a.shape[1] + 10):
        pull = scaled.T @ (b - scaled @ x)
        pull[free] = -np.inf
        best = int(pull.argmax())
        if pull[best] <= tolerance * max(float(np.linalg.norm(b)), 1e-300):
            break
        free[best] = True
        x = _solved(scaled, b, x, free)
    return x / lengths


def _solved(a: Matrix, b: Vector, x: Vector, free: NDArray[np.bool_]) -> Vector:
    """Solve for the free unknowns; any that would turn negative goes back to 0, on the way from x to the solution."""
    while True:
        wanted = np.zeros_like(x)
        wanted[free] = np.linalg.lstsq(a[:, free], b, rcond=None)[0]
        bad = free & (wanted <= 0)
        if not bad.any():
            return wanted
        step = float(np.min(x[bad] / np.maximum(x[bad] - wanted[bad], 1e-300)))
        x = x + step * (wanted - x)
        free &= ~(bad & (x <= 1e-15))  # noqa: PLR2004 (rounding of the one that reached 0)
        x = np.where(free, x, 0.0)
