"""A seal on values that a diff hides, so that the hash of a preview binds them too.

Keyed with a secret of the journal (HMAC, RFC 2104): a short password could otherwise be found by trying, since the seal
is shown to whoever sees the preview.
"""

import hashlib
import hmac
import secrets
from collections.abc import Callable
from typing import Any

from midwatch_contracts.canonical import canonical_bytes
from midwatch_mcp.safe_apply.journal import Journal

Seal = Callable[[Any], str]
"""Returns the seal of a JSON value: 64 hex digits, the same for the same value as long as the journal is the same."""

_KEY_BYTES = 32


def sealer(journal: Journal) -> Seal:
    """Return what seals with a journal's key, which is made when it is first needed."""

    def seal(value: Any) -> str:
        return hmac.new(_key(journal), canonical_bytes(value), hashlib.sha256).hexdigest()

    return seal


def _key(journal: Journal) -> bytes:
    if not journal.rows("SELECT 1 FROM seal_key"):
        with journal.transaction("seal_key") as db:
            # Another process may have come first: its key stands.
            db.execute("INSERT OR IGNORE INTO seal_key VALUES (1, ?)", (secrets.token_bytes(_KEY_BYTES),))
    return journal.rows("SELECT key FROM seal_key")[0][0]
