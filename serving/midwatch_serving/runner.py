"""What computes a step's logits: the numpy reference, or compiled kernels. Executors are made over a runner."""

from typing import Protocol

from midwatch_serving.linear import Floats
from midwatch_serving.work import Work

LOGIT_ROWS = 64
"""Rows of logits that are held at a time: scoring a long prompt must not hold a vocabulary for each of its tokens."""


class Runner(Protocol):
    """A model over one paged cache, computed one step at a time by one thread at a time.

    The contract of every runner: a token's logits depend on the tokens before it only, bit for bit. Not on what else is
    in the step, on how its prompt was cut into chunks, or on the blocks that hold it.
    """

    @property
    def name(self) -> str:
        """The arithmetic in a word: `reference`, `portable`, `vnni`, `amx`."""
        ...

    def forward(self, work: list[Work]) -> int:
        """Compute the work, keep its keys and values, and return how many rows are due.

        Those are the last row of work whose next token is chosen, and the rows of scoring work that score a token, in
        the order of the work.
        """
        ...

    def logits(self, first: int, count: int) -> Floats:
        """Return (count, vocab) logits of due rows from `first` on; good until the next call, and may be written to.

        At most `LOGIT_ROWS` at a time.
        """
        ...


def due_rows(work: list[Work], first_row: list[int]) -> list[int]:
    """Return the rows whose logits are due, given the first row of each piece of work."""
    due: list[int] = []
    for w, first in zip(work, first_row, strict=True):
        if w.output_index is not None:
            due.append(first + len(w.tokens) - 1)
        offset, scored = w.scored
        due += range(first + offset, first + offset + len(scored))
    return due
