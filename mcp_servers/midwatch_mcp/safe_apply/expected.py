"""What a step must find and leave, as its dry run showed it."""

from typing import Any

from midwatch_contracts.model import Model


class Expected(Model):
    """What a step must find before it writes and after it wrote, and the same for its undo.

    The four hashes are over the touched values; `before` and `after` are the cleaned objects, for the proof of an undo.
    """

    uid: str
    before: dict[str, Any]
    after: dict[str, Any]
    pre_sha256: str
    post_sha256: str
    undo_pre_sha256: str = ""
    """Over what the undo replaces, as it stands once the operation is applied; empty where there is no undo."""
    undo_post_sha256: str = ""
    """The same once it is undone."""
