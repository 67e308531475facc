"""Paged KV blocks with reference counts, and a block table in each sequence (vLLM's PagedAttention, Kwon et al. 2023).

A block is free (nothing in it), idle (nobody holds it, and the prefix cache can find it), or held by the tables of one
or more sequences. Idle blocks count as free: whoever needs room takes free ones first, then evicts idle ones.

Swapping would add a second pool here, with `free` copying out and `take` copying in.
"""

from collections import Counter
from collections.abc import Iterable

from midwatch_serving.errors import IntegrityError
from midwatch_serving.prefix_cache import PrefixCache
from midwatch_serving.sequence import Sequence


class BlockManager:
    """Hands out the blocks of one cache."""

    def __init__(self, num_blocks: int, block_size: int, *, enable_prefix_caching: bool = False) -> None:
        self.num_blocks = num_blocks
        self.block_size = block_size
        self.prefix = PrefixCache(block_size, enabled=enable_prefix_caching)
        self._free = list(range(num_blocks - 1, -1, -1))
        """A stack: the block freed last is taken first, while it is warm in the CPU's caches."""
        self._references = [0] * num_blocks

    @property
    def num_free(self) -> int:
        """Blocks in no table."""
        return len(self._free) + self.prefix.num_idle

    @property
    def usage(self) -> float:
        """Share of blocks in use, 0 to 1."""
        return 1 - self.num_free / self.num_blocks

    def blocks_for(self, num_tokens: int) -> int:
        """Return the number of blocks that hold `num_tokens`."""
        return -(-num_tokens // self.block_size)

    def fits(self, num_tokens: int, cached: list[int], *, spare: int = 0) -> bool:
        """Say whether there is room for `num_tokens` of which the blocks `cached` are there, leaving `spare` free."""
        references = self._references
        idle = sum(1 for block in cached if not references[block])
        return self.blocks_for(num_tokens) - len(cached) + idle + spare <= self.num_free

    def take(self, sequence: Sequence, num_tokens: int, cached: list[int]) -> None:
        """Give a sequence without blocks the `cached` ones and new ones up to `num_tokens`, which must fit."""
        references = self._references
        for block in cached:
            if not references[block]:
                self.prefix.revive(block)
            references[block] += 1
        sequence.block_table.extend(cached)
        if not self.grow(sequence, num_tokens):
            raise IntegrityError(f"{sequence.id} was given room that is not there")

    def grow(self, sequence: Sequence, num_tokens: int) -> bool:
        """Extend the sequence's table to hold `num_tokens`; take nothing and return False when blocks run out."""
        missing = self.blocks_for(num_tokens) - len(sequence.block_table)
        if missing > self.num_free:
            return False
        for _ in range(missing):
            block = self._free.pop() if self._free else self.prefix.evict()
            self._references[block] = 1
            sequence.block_table.append(block)
        return True

    def free(self, sequence: Sequence) -> None:
        """Let go of every block of the sequence, the last one first."""
        references = self._references
        for block in reversed(sequence.block_table):
            references[block] -= 1
            if not references[block] and not self.prefix.release(block):
                self._free.append(block)
        sequence.block_table.clear()

    def reset(self) -> bool:
        """Forget every cached prefix; return False and forget nothing while a sequence holds blocks (as vLLM)."""
        if self.num_free < self.num_blocks:
            return False
        self._free.extend(self.prefix.clear())
        return True

    def check_integrity(self, sequences: Iterable[Sequence]) -> None:
        """Check that every block is in its one place, and held as often as it is counted.

        Raises:
            IntegrityError: names the blocks that are lost, or held twice.
        """
        requests = list(sequences)
        held = Counter(block for sequence in requests for block in sequence.block_table)
        counted = {block: count for block, count in enumerate(self._references) if count}
        if wrong := {block for block in held.keys() | counted.keys() if held[block] != counted.get(block, 0)}:
            lost = sorted(block for block in wrong if held[block] < counted.get(block, 0))
            twice = sorted(wrong - set(lost))
            raise IntegrityError(f"KV blocks do not balance: lost {lost}, held twice {twice}")
        for sequence in requests:
            if len(set(sequence.block_table)) < len(sequence.block_table):
                raise IntegrityError(f"KV blocks do not balance: {sequence.id} holds one twice")
        idle = self.prefix.check_integrity(held, requests)
        places = sorted([*self._free, *idle, *held])
        if places != list(range(self.num_blocks)):
            lost = sorted(set(range(self.num_blocks)) - set(places))
            twice = sorted({block for block in places if places.count(block) > 1})
            raise IntegrityError(f"KV blocks do not balance: lost {lost}, held twice {twice}")
