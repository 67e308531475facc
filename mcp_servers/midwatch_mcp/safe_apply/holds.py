"""Who holds an object while a change is under way, in one state folder (docs/decisions/0007)."""

import sqlite3
from collections.abc import Iterable

from midwatch_mcp.safe_apply.errors import RefusedChangeError


def hold(db: sqlite3.Connection, change_id: str, targets: Iterable[str]) -> None:
    """Take the holds of a change, in the transaction of the step that needs them.

    Raises:
        RefusedChangeError: another change holds one of the objects.
    """
    for target in targets:
        holder = db.execute("SELECT change_id FROM holds WHERE target = ?", (target,)).fetchone()
        if holder is not None:
            raise RefusedChangeError(
                "busy",
                f"{target} is held by {holder[0]}, which has not ended: `midwatch change show` says how far it "
                "is, and `midwatch change recover` takes it up where its process has died",
            )
        db.execute("INSERT INTO holds VALUES (?, ?)", (target, change_id))


def release(db: sqlite3.Connection, change_id: str) -> None:
    """Give free what a change holds."""
    db.execute("DELETE FROM holds WHERE change_id = ?", (change_id,))
