# pyright: basic
# (numba has no types of its own)
"""What bounds a decode step at batch 1: the bytes of weights that it reads, and how fast memory gives them."""

from pathlib import Path
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from midwatch_serving.kernels.arrays import aligned
from midwatch_serving.kernels.choice import choose
from midwatch_serving.kernels.emit import LANES
from midwatch_serving.kernels.packing import packed
from midwatch_serving.kernels.runner import Team
from midwatch_serving.model import Model


def weight_bytes(model: Model, kernel: str, cache: Path) -> int:
    """Return the bytes of packed matrices, scales included, that one token goes through with this kernel.

    Raises:
        KernelError: when the kernel does not run here, or does not fit the model.
    """
    parameters = packed(model, choose(kernel, model.config, LANES), max_model_len=LANES, cache=cache).parameters
    matrices = (parameters.qkv, parameters.out, parameters.gate_up, parameters.down, parameters.unembedding)
    return sum(array.nbytes for matrix in matrices for array in matrix)


class Reader:
    """Reads an array of `size` bytes with as many threads as the kernels have.

    As large as the weights, so that what caches hold of those they hold of this: it is the same memory that is asked.
    """

    def __init__(self, size: int, threads: int) -> None:
        """Fill the memory and compile."""
        words: NDArray[np.int64] = aligned((size // 8,), np.int64)
        words[:] = 1  # their sum says that all were read; and pages that were never written have no memory
        self._parts = np.array_split(words, threads)
        self._sums = np.zeros(threads, dtype=np.int64)
        self._team = Team(threads)
        self.read()

    @property
    def read_words(self) -> int:
        """Words of 8 bytes that the last reading went through."""
        return int(self._sums.sum())

    def read(self) -> None:
        """Read it once."""
        self._team.run(self._read)

    def _read(self, thread: int) -> None:
        self._sums[thread] = _sum(self._parts[thread])


@numba.njit(nogil=True)
def _sum(words: Any) -> Any:
    total = 0
    for index in range(words.size):  # by index: an iterator's loop is a third as fast, and would be the bound itself
        total += words[index]
    return total
