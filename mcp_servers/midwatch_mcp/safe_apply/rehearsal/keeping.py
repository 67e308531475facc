"""Rehearsals in the journal: the newest of each preview counts, and no other preview's."""

from dataclasses import dataclass

from midwatch_contracts.plan import Plan, Preview, preview_sha256
from midwatch_mcp.safe_apply.journal import Journal
from midwatch_mcp.safe_apply.owed import Line, owe
from midwatch_mcp.safe_apply.policy import Policy
from midwatch_mcp.safe_apply.rehearsal.outcome import Rehearsal, lacking, rehearsal_lines


@dataclass(frozen=True)
class Rehearsals:
    """Those of one journal."""

    journal: Journal

    def put(self, found: Rehearsal) -> None:
        """Keep one, and owe the audit its line."""
        body = {"preview_sha256": found.preview_sha256, "ended": found.ended, "undo": found.undo}
        with self.journal.transaction("rehearsal") as db:
            row = (found.plan_id, found.preview_sha256, found.at, found.model_dump_json())
            db.execute("INSERT INTO rehearsals (plan_id, preview_sha256, at, body) VALUES (?, ?, ?, ?)", row)
            owe(db, Line("rehearsed", found.plan_id, body), found.at)

    def newest(self, plan_id: str, preview: str) -> Rehearsal | None:
        """Return the newest of a plan under the preview of this hash, or None."""
        rows = self.journal.rows(
            "SELECT body FROM rehearsals WHERE plan_id = ? AND preview_sha256 = ? ORDER BY seq DESC LIMIT 1",
            plan_id,
            preview,
        )
        return Rehearsal.model_validate_json(rows[0][0]) if rows else None

    def lines(self, plan: Plan, preview: Preview, now: float | None = None) -> list[str]:
        """Return what the approval screen says of a plan's rehearsal, with its age where `now` is given."""
        return rehearsal_lines(self.newest(plan.id, preview_sha256(preview)), plan.id, preview.risk, now)

    def lacking(self, plan: Plan, preview: Preview, policy: Policy) -> str | None:
        """Return why a plan may not be approved or applied for want of a rehearsal, and the mend; None if it may."""
        if not policy.approvals.rule(preview.risk).rehearsed:
            return None
        return lacking(self.newest(plan.id, preview_sha256(preview)), plan.id)
