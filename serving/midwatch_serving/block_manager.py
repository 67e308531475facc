"""Paged KV blocks: a free list, and a block table in each sequence (vLLM's PagedAttention, Kwon et al. 2023)."""

from collections import deque
from collections.abc import Iterable

from midwatch_serving.errors import IntegrityError
from midwatch_serving.sequence import Sequence


class BlockManager:
    """Hands out the blocks of one cache. Every block is free or in exactly one block table.

    Sharing blocks between sequences (prefix caching) would turn the free list into reference counts here, and nowhere
    else: the scheduler asks only `fits`, `grow` and `free`.
    """

    def __init__(self, num_blocks: int, block_size: int) -> None:
        self.num_blocks = num_blocks
        self.block_size = block_size
        self._free = deque(range(num_blocks))

    @property
    def num_free(self) -> int:
        """Blocks in no table."""
        return len(self._free)

    @property
    def usage(self) -> float:
        """Share of blocks in use, 0 to 1."""
        return 1 - len(self._free) / self.num_blocks

    def blocks_for(self, num_tokens: int) -> int:
        """Return the number of blocks that hold `num_tokens`."""
        return -(-num_tokens // self.block_size)

    def fits(self, num_tokens: int) -> bool:
        """Say whether the free blocks hold `num_tokens` of a sequence that has no block yet."""
        return self.blocks_for(num_tokens) <= len(self._free)

    def grow(self, sequence: Sequence, num_tokens: int) -> bool:
        """Extend the sequence's table to hold `num_tokens`; take nothing and return False when blocks run out."""
        missing = self.blocks_for(num_tokens) - len(sequence.block_table)
        if missing > len(self._free):
            return False
        sequence.block_table.extend(self._free.popleft() for _ in range(missing))
        return True

    def free(self, sequence: Sequence) -> None:
        """Take back every block of the sequence."""
        self._free.extend(sequence.block_table)
        sequence.block_table.clear()

    def check_integrity(self, sequences: Iterable[Sequence]) -> None:
        """Check that the free list and the tables of `sequences` hold every block exactly once.

        Raises:
            IntegrityError: names the blocks that are lost, or held twice.
        """
        seen = sorted([*self._free, *(block for sequence in sequences for block in sequence.block_table)])
        if seen != list(range(self.num_blocks)):
            lost = set(range(self.num_blocks)) - set(seen)
            twice = {block for block in seen if seen.count(block) > 1}
            raise IntegrityError(f"KV blocks do not balance: lost {sorted(lost)}, held twice {sorted(twice)}")
