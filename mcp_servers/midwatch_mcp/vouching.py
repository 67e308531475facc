"""What the process that holds the servers vouches for: drafts that code alone wrote, no model and no person.

Only whoever opened the servers in its own process has the object: no flag, no argument and no client reaches it.
"""

from collections.abc import Mapping
from typing import Any

from midwatch_contracts.canonical import sha256_hex
from midwatch_contracts.errors import CanonicalError


class Vouched:
    """Drafts by their hash, each for one call: what nobody vouched for was written by somebody else."""

    def __init__(self) -> None:
        self._drafts: set[str] = set()

    def vouch(self, draft: Mapping[str, Any]) -> None:
        """Say of the next proposal of this very draft that code alone wrote it."""
        found = _hash(draft)
        if found is not None:
            self._drafts.add(found)

    def take(self, draft: Mapping[str, Any]) -> bool:
        """Say whether somebody vouched for a draft, once."""
        found = _hash(draft)
        vouched = found in self._drafts
        self._drafts.discard(found or "")
        return vouched


def _hash(draft: Mapping[str, Any]) -> str | None:
    try:
        return sha256_hex(draft)
    except CanonicalError:
        # What has no canonical form becomes no plan either.
        return None
