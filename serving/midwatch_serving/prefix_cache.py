"""Prefix caching: full blocks are found again by a hash of everything up to their end.

The hash of a block chains its parent's hash and its own token ids (SHA-256); the chain of a sequence starts from its
`cache_salt`, so that only requests of one salt can meet (vLLM's automatic prefix caching, on the blocks of Kwon et al.
2023). A block enters once its keys and values are really computed. While sequences hold it, it is shared; when the
last one lets go, it stays findable and idle until its room is needed, the least recently used going first. A sequence
lets go of its last block first, so that a chain is eaten from its end.

Adapters would join the salt in the chain's root; pins with a time to live would hold idle blocks back in `evict`.
"""

import hashlib
from array import array
from collections import OrderedDict
from collections.abc import Iterable, Mapping

from midwatch_serving.errors import IntegrityError
from midwatch_serving.sequence import Sequence


def block_hash(parent: bytes, tokens: Iterable[int]) -> bytes:
    """Return the hash of a block of `tokens` behind the block that hashes to `parent`."""
    return hashlib.sha256(parent + array("q", tokens).tobytes()).digest()


def root_hash(cache_salt: str | None) -> bytes:
    """Return what stands for the parent of a first block."""
    return hashlib.sha256(b"" if cache_salt is None else b"salt:" + cache_salt.encode()).digest()


class PrefixCache:
    """Which blocks hold what, and which of them nobody uses. Knows no reference counts: the block manager has them."""

    def __init__(self, block_size: int, *, enabled: bool) -> None:
        self.enabled = enabled
        self.queries = 0
        """Tokens of requests at their first admission, each of which could have been found (vLLM's counter)."""
        self.hits = 0
        """Those that were found."""
        self.evictions = 0
        """Blocks forgotten to make room."""
        self._block_size = block_size
        self._block_of: dict[bytes, int] = {}
        self._hash_of: dict[int, bytes] = {}
        self._idle: OrderedDict[int, int] = OrderedDict()
        """Least recently used first; the value is the moment of release, in releases."""
        self._releases = 0

    def __len__(self) -> int:
        """Return the number of blocks that can be found."""
        return len(self._block_of)

    @property
    def num_idle(self) -> int:
        """Findable blocks that no sequence holds."""
        return len(self._idle)

    def match(self, sequence: Sequence) -> list[int]:
        """Return the blocks of the longest prefix that is there, leaving at least one token to compute.

        A scoring request computes every position whose row scores a token, so its hits end before `score_from - 1`.
        """
        if not self.enabled:
            return []
        found: list[int] = []
        for index in range(self.most_hits(sequence)):
            block = self._block_of.get(self._hash(sequence, index))
            if block is None:
                break
            found.append(block)
        return found

    def most_hits(self, sequence: Sequence) -> int:
        """Return the number of blocks that a match can have at most."""
        last = sequence.num_tokens if sequence.score_from is None else min(sequence.num_tokens, sequence.score_from)
        return (last - 1) // self._block_size

    def register(self, sequence: Sequence, first: int, end: int) -> None:
        """Make the request's computed blocks `first` to `end` (exclusive) findable.

        Where another block holds the same content already, the newer one stays private: it goes with its sequence.
        """
        for index in range(first, end):
            key, block = self._hash(sequence, index), sequence.block_table[index]
            if key not in self._block_of and block not in self._hash_of:
                self._block_of[key] = block
                self._hash_of[block] = key

    def release(self, block: int) -> bool:
        """Keep a block that nobody holds any more as idle; return False where it is not findable."""
        if block not in self._hash_of:
            return False
        self._releases += 1
        self._idle[block] = self._releases
        return True

    def revive(self, block: int) -> None:
        """Take an idle block back into use."""
        del self._idle[block]

    def evict(self) -> int:
        """Forget the idle block that was used least recently and return it."""
        block, _ = self._idle.popitem(last=False)
        del self._block_of[self._hash_of.pop(block)]
        self.evictions += 1
        return block

    def clear(self) -> list[int]:
        """Forget every idle block and return them; evictions do not count these."""
        blocks = list(self._idle)
        for block in blocks:
            del self._block_of[self._hash_of.pop(block)]
        self._idle.clear()
        return blocks

    def next_hit(self, sequence: Sequence) -> int | None:
        """Return the index of the first block that a match misses, None where it could not use one more."""
        found = len(self.match(sequence))
        return found if self.enabled and found < self.most_hits(sequence) else None

    def fills(self, running: Sequence, waiting: Sequence, index: int) -> bool:
        """Say whether the block that `running` is writing may become block `index` of `waiting`, its next hit."""
        size = self._block_size
        if running.num_computed // size != index:
            return False
        known = running.num_computed % size + 1
        same = waiting.tokens(index * size, known) == running.tokens(index * size, known)
        return same and self._parent(waiting, index) == self._parent(running, index)

    def check_integrity(self, held: Mapping[int, int], sequences: list[Sequence]) -> set[int]:
        """Check the maps, the order of eviction, and that computed blocks are filed under what they hold.

        `held` maps each block in a table to its reference count. Returns the idle blocks.

        Raises:
            IntegrityError: says what does not agree.
        """
        if {key: block for block, key in self._hash_of.items()} != self._block_of:
            raise IntegrityError("prefix cache: a hash and its block disagree")
        idle = set(self._idle)
        if idle & set(held):
            raise IntegrityError(f"prefix cache: blocks {sorted(idle & set(held))} are idle and in a table")
        if not idle <= set(self._hash_of):
            raise IntegrityError(f"prefix cache: idle blocks {sorted(idle - set(self._hash_of))} cannot be found")
        if lost := set(self._hash_of) - idle - set(held):
            raise IntegrityError(f"prefix cache: blocks {sorted(lost)} are filed, yet neither idle nor in a table")
        if (stamps := list(self._idle.values())) != sorted(stamps):
            raise IntegrityError("prefix cache: the order of eviction is not that of release")
        for sequence in sequences:
            self._check_content(sequence)
        return idle

    def _check_content(self, sequence: Sequence) -> None:
        """Recompute the request's chain and compare it with what its blocks are filed under."""
        key = root_hash(sequence.cache_salt)
        full = sequence.num_computed // self._block_size
        for index, block in enumerate(sequence.block_table):
            filed = self._hash_of.get(block)
            if index >= full:
                if filed is not None:
                    raise IntegrityError(f"prefix cache: {sequence.id} may write to block {block}, which is shared")
                continue
            key = block_hash(key, sequence.tokens(index * self._block_size, self._block_size))
            if filed is not None and filed != key:
                raise IntegrityError(f"prefix cache: block {block} of {sequence.id} holds other tokens than it says")

    def _parent(self, sequence: Sequence, index: int) -> bytes:
        return self._hash(sequence, index - 1) if index else root_hash(sequence.cache_salt)

    def _hash(self, sequence: Sequence, index: int) -> bytes:
        hashes = sequence.block_hashes
        while len(hashes) <= index:
            begin = len(hashes) * self._block_size
            parent = hashes[-1] if hashes else root_hash(sequence.cache_salt)
            hashes.append(block_hash(parent, sequence.tokens(begin, self._block_size)))
        return hashes[index]
