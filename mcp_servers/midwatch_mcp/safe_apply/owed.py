"""What the audit is owed: the lines of steps that the journal made.

The transaction that makes a step owes its line, and the transaction that keeps the log's new head strikes it off. So a
process that is killed in between leaves the line owed, and the next one writes it, late and saying so.
"""

import json
import sqlite3
from collections.abc import Mapping
from typing import Any, NamedTuple

from midwatch_contracts.plan import TERMINAL_STATES, Approval, Change, Settlement


class Line(NamedTuple):
    """What the audit is to tell. `run` is the change's or the plan's id."""

    kind: str
    run: str
    body: Mapping[str, Any]


class Owed(NamedTuple):
    """A line that is owed since `at` (Unix seconds); `seq` is its number among all that ever were."""

    seq: int
    at: float
    line: Line


def owe(db: sqlite3.Connection, line: Line | None, now: float) -> None:
    """Owe a line, in the transaction of the step that it tells of; None owes nothing."""
    if line is not None:
        row = (now, line.kind, line.run, json.dumps(dict(line.body)))
        db.execute("INSERT INTO owed (at, kind, run, body) VALUES (?, ?, ?, ?)", row)


def state_line(change: Change) -> Line | None:
    """Return the line of the state that a change came to, where the audit tells of it."""
    if change.state == "applied":
        return Line("applied", change.change_id, {"plan": change.plan_id})
    if change.state == "undoing":
        return Line("undoing", change.change_id, {"plan": change.plan_id, "reason": change.note})
    if change.state in TERMINAL_STATES:
        return Line(change.state, change.change_id, {"plan": change.plan_id, "note": change.note})
    return None


def approved_line(approval: Approval) -> Line:
    """Return the line of an approval: who approved what."""
    fields = ("preview_sha256", "approver", "method", "attested", "nonce", "expires")
    return Line("approved", approval.plan_id, {name: getattr(approval, name) for name in fields})


def settled_line(settlement: Settlement) -> Line:
    """Return the line of a settlement: who says that it is how."""
    fields = ("found", "reason", "by", "signature")
    body = {name: getattr(settlement, name) for name in fields}
    return Line("settled", settlement.change_id, {"plan": settlement.plan_id, **body})
