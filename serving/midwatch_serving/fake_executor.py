"""An executor without a model, for tests of all that is around one.

Its cache holds token ids, and the next token is a checksum of the context as it stands in the cache, read through the
block table. So a block that is freed too early, shared wrongly or not computed again changes what is generated.
"""

import zlib
from array import array

from midwatch_serving.sampling import Sample
from midwatch_serving.work import StepResult, Work

_EMPTY = -1


class FakeExecutor:
    """Generates tokens below `vocab` at no cost."""

    def __init__(self, *, num_blocks: int, block_size: int, vocab: int = 256) -> None:
        self.steps = 0
        self._block_size = block_size
        self._vocab = vocab
        self._cache = [_EMPTY] * (num_blocks * block_size)

    def execute(self, work: list[Work]) -> StepResult:
        """Write the work's tokens into the cache, then read every context from it."""
        self.steps += 1
        for w in work:
            for position, token in enumerate(w.tokens, w.start):
                self._cache[self._slot(w, position)] = token
        scores = {i: self._scores(w, w.score_from) for i, w in enumerate(work) if w.score_from is not None}
        return StepResult([None if w.output_index is None else Sample(self._next(w)) for w in work], 0.0, scores)

    def _slot(self, w: Work, position: int) -> int:
        return w.block_table[position // self._block_size] * self._block_size + position % self._block_size

    def _checksum(self, w: Work, length: int) -> int:
        context = array("q", (self._cache[self._slot(w, position)] for position in range(length)))
        return zlib.crc32(context.tobytes())

    def _next(self, w: Work) -> int:
        return self._checksum(w, w.start + len(w.tokens)) % self._vocab

    def _scores(self, w: Work, score_from: int) -> tuple[float, ...]:
        following = [*w.tokens[1:], *([] if w.next_token is None else [w.next_token])]
        return tuple(
            -1.0 - (self._checksum(w, position + 1) ^ token) % 1000 / 1000
            for position, token in enumerate(following, w.start)
            if position + 1 >= score_from
        )
