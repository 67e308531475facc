"""What the journal knows of the audit log: how far it is, and which lines it still lacks."""

import json
from collections.abc import Sequence
from typing import NamedTuple

from midwatch_mcp.safe_apply.journal import Journal
from midwatch_mcp.safe_apply.owed import Line, Owed


class AuditHead(NamedTuple):
    """How far the audit log is: its number of lines, and the hash of the last (64 zeros for none)."""

    entries: int
    sha256: str


class AuditBook:
    """The audit's pages of one journal."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def head(self) -> AuditHead | None:
        """Return how far the log is; None where the file is from before this was kept."""
        entries, sha256 = self._journal.rows("SELECT entries, sha256 FROM audit_head")[0]
        return None if entries is None else AuditHead(entries, sha256)

    def keep(self, head: AuditHead, paid: Sequence[Owed] = ()) -> None:
        """Keep how far the log is, and strike off the lines that it got."""
        with self._journal.transaction("audit_head") as db:
            db.execute("UPDATE audit_head SET entries = ?, sha256 = ?", head)
            db.executemany("DELETE FROM owed WHERE seq = ?", [(one.seq,) for one in paid])

    def owed(self) -> list[Owed]:
        """Return the lines that the log lacks, oldest first."""
        rows = self._journal.rows("SELECT seq, at, kind, run, body FROM owed ORDER BY seq")
        return [Owed(seq, at, Line(kind, run, json.loads(body))) for seq, at, kind, run, body in rows]
