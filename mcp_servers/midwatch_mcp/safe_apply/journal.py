"""The journal: SQLite, on disk before each step, from which a change that was cut off is finished or undone.

Every method that writes is one transaction with `synchronous=FULL`: when it returns, the disk has it. Tables: plans and
their previews, changes (the current state) with what each operation must find, the objects that a running change
holds, questions that were asked and spent nonces, every step in order, what was observed while verifying, how far the
audit log is, and the lines that it is owed.
"""

import json
import sqlite3
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from midwatch_contracts.expectations import Observation
from midwatch_contracts.plan import (
    TERMINAL_STATES,
    Approval,
    Change,
    ChangeState,
    OperationState,
    Plan,
    Preview,
    Settlement,
    check_plan,
    preview_sha256,
)
from midwatch_mcp.safe_apply.errors import JournalError, RefusedChangeError, UnknownPlanError
from midwatch_mcp.safe_apply.expected import Expected
from midwatch_mcp.safe_apply.holds import hold, release
from midwatch_mcp.safe_apply.owed import Line, owe, settled_line, state_line
from midwatch_mcp.safe_apply.schema import migrate

_FOLLOWS: dict[ChangeState, frozenset[ChangeState]] = {
    "approved": frozenset({"applying", "superseded"}),
    "applying": frozenset({"applied", "undoing", "superseded"}),
    "applied": frozenset({"verifying"}),
    "verifying": frozenset({"verified", "undoing"}),
    "undoing": frozenset({"undone", "stuck"}),
    "stuck": frozenset({"undoing"}),
}
"""Which state may follow which; `stuck` is left only when a person asks to recover."""


class Record(NamedTuple):
    """A change with its times (Unix seconds)."""

    change: Change
    started: float
    applied: float | None
    ended: float | None


class Proposer(NamedTuple):
    """Who drafted a plan, and whether that was code alone."""

    principal: str
    by_code: bool


class Journal:
    """One SQLite file. Every call opens nothing and waits at most ten seconds for another process."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.touch(mode=0o600, exist_ok=True)
        self._db = sqlite3.connect(path, timeout=10, isolation_level=None)
        try:
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")
            self._db.execute("PRAGMA foreign_keys=ON")
            migrate(self._db, path)
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError as error:
            raise JournalError(f"{path} cannot be read: {error}; put a copy of it back, or move it away") from error

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    @contextmanager
    def transaction(self, step: str) -> Generator[sqlite3.Connection]:
        """Make what happens inside one step: all of it on disk when this ends, or none. `step` names it in tests."""
        del step
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield self._db
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def rows(self, query: str, *values: Any) -> list[Any]:
        """Return what a query finds, as tuples."""
        return self._db.execute(query, values).fetchall()

    # Plans

    def put_plan(self, plan: Plan, now: float, proposer: Proposer | None = None, *, line: Line | None = None) -> None:
        """Keep a plan and who drafted it; one with the same content is the same plan."""
        with self.transaction("put_plan") as db:
            db.execute("INSERT OR IGNORE INTO plans VALUES (?, ?, ?)", (plan.id, _dump(plan), now))
            if proposer is not None:
                db.execute("INSERT OR IGNORE INTO proposers VALUES (?, ?, ?)", (plan.id, *proposer))
            owe(db, line, now)

    def plan(self, plan_id: str) -> Plan:
        """Return a plan by its id or the first eight and more characters of it.

        Raises:
            UnknownPlanError: none, or more than one.
            ContractError: the stored plan was changed.
        """
        rows = self._db.execute(
            "SELECT body FROM plans WHERE id = ? OR (length(?) >= 8 AND substr(id, 1, length(?)) = ?) LIMIT 2",
            (plan_id, plan_id, plan_id, plan_id),
        ).fetchall()
        if len(rows) != 1:
            what = "no plan" if not rows else "more than one plan"
            raise UnknownPlanError(f"there is {what} {plan_id!r}: `midwatch change list` shows those there are")
        plan = Plan.model_validate_json(rows[0][0])
        check_plan(plan)
        return plan

    def plans(self) -> list[tuple[Plan, float]]:
        """Return all plans with the times they were made, oldest first."""
        rows = self._db.execute("SELECT body, at FROM plans ORDER BY at, id").fetchall()
        return [(Plan.model_validate_json(body), at) for body, at in rows]

    def put_preview(self, preview: Preview, now: float, *, line: Line | None = None) -> None:
        """Keep the newest preview of a plan."""
        with self.transaction("put_preview") as db:
            db.execute("INSERT OR REPLACE INTO previews VALUES (?, ?, ?)", (preview.plan_id, _dump(preview), now))
            owe(db, line, now)

    def preview(self, plan_id: str) -> tuple[Preview, str] | None:
        """Return a plan's newest preview and the hash over it as it is stored, or None."""
        row = self._db.execute("SELECT body FROM previews WHERE plan_id = ?", (plan_id,)).fetchone()
        if row is None:
            return None
        preview = Preview.model_validate_json(row[0])
        return preview, preview_sha256(preview)

    # Changes

    def begin(
        self,
        change: Change,
        *,
        now: float,
        nonces: Sequence[str],
        targets: Iterable[str],
        expected: Mapping[str, Expected],
        line: Line | None = None,
    ) -> None:
        """Start a change: its nonces are spent, its objects are held, and it is `applying`, all in one transaction.

        Raises:
            RefusedChangeError: a nonce was used, or another change holds one of the objects.
        """
        with self.transaction("begin") as db:
            _spend(db, nonces, change.change_id, now)
            hold(db, change.change_id, targets)
            _insert(db, change, now)
            for operation, found in expected.items():
                row = (change.change_id, operation, found.model_dump_json())
                db.execute("INSERT INTO expected VALUES (?, ?, ?)", row)
            _step(db, change.change_id, now, "approved", {"nonces": list(nonces)})
            _step(db, change.change_id, now, change.state, {})
            owe(db, line, now)

    def end_before_apply(
        self, change: Change, *, now: float, nonces: Sequence[str] = (), line: Line | None = None
    ) -> None:
        """Record an attempt that ended before anything was written; without a `line` the audit tells of its state."""
        if change.state not in TERMINAL_STATES:
            raise JournalError(f"{change.change_id} is {change.state}, which is no end")
        with self.transaction("end_before_apply") as db:
            _spend(db, nonces, change.change_id, now)
            _insert(db, change, now)
            db.execute("UPDATE changes SET ended = ? WHERE change_id = ?", (now, change.change_id))
            _step(db, change.change_id, now, change.state, {"note": change.note})
            owe(db, line or state_line(change), now)

    def move(
        self, change_id: str, state: ChangeState, *, now: float, note: str | None = None, targets: Iterable[str] = ()
    ) -> Change:
        """Put a change into its next state; an end gives its objects free, and one taken up again holds `targets`.

        Raises:
            JournalError: that state cannot follow.
            RefusedChangeError: another change holds one of the objects by now.
        """
        with self.transaction(f"move:{state}") as db:
            change = self.record(change_id).change
            if state not in _FOLLOWS.get(change.state, ()):
                raise JournalError(f"{change_id} is {change.state}: {state} cannot follow")
            if change.state in TERMINAL_STATES:
                hold(db, change_id, targets)
            moved = change.model_copy(update={"state": state, "note": change.note if note is None else note})
            _update(db, moved)
            if state == "applied":
                db.execute("UPDATE changes SET applied = ? WHERE change_id = ?", (now, change_id))
            if state in TERMINAL_STATES:
                db.execute("UPDATE changes SET ended = ? WHERE change_id = ?", (now, change_id))
                release(db, change_id)
            _step(db, change_id, now, state, {} if note is None else {"note": note})
            owe(db, state_line(moved), now)
        return moved

    def settle(self, settlement: Settlement, *, now: float) -> Change:
        """Keep what a person found of a stuck change, once; its state stays what it is.

        Raises:
            RefusedChangeError: it is not stuck, or was settled.
        """
        with self.transaction("settle") as db:
            change = self.record(settlement.change_id).change
            refuse_settling(change)
            settled = change.model_copy(update={"settled": settlement})
            _update(db, settled)
            _step(db, change.change_id, now, "settled", {"found": settlement.found, "by": settlement.by})
            owe(db, settled_line(settlement), now)
        return settled

    def operation(
        self, change_id: str, operation: str, state: str, *, now: float, body: Mapping[str, Any] | None = None
    ) -> None:
        """Record how far one operation is. Written before a write is sent, and after it is known what became of it."""
        with self.transaction(f"operation:{state}") as db:
            change = self.record(change_id).change
            operations = tuple(
                OperationState.model_validate({"id": one.id, "state": state}) if one.id == operation else one
                for one in change.operations
            )
            _update(db, change.model_copy(update={"operations": operations}))
            _step(db, change_id, now, f"{operation}:{state}", body or {})

    def record(self, change_id: str) -> Record:
        """Return a change with its times.

        Raises:
            UnknownPlanError: there is none.
        """
        row = self._db.execute(
            "SELECT body, started, applied, ended FROM changes WHERE change_id = ?", (change_id,)
        ).fetchone()
        if row is None:
            raise UnknownPlanError(f"there is no change {change_id!r}: `midwatch change list` shows those there are")
        return Record(Change.model_validate_json(row[0]), *row[1:])

    def records(self) -> list[Record]:
        """Return all changes, oldest first."""
        rows = self._db.execute("SELECT body, started, applied, ended FROM changes ORDER BY seq").fetchall()
        return [Record(Change.model_validate_json(row[0]), *row[1:]) for row in rows]

    def under_way(self, plan_id: str | None = None) -> list[Record]:
        """Return the changes that have not ended, of one plan or of all."""
        return [
            record
            for record in self.records()
            if record.change.state not in TERMINAL_STATES and plan_id in (None, record.change.plan_id)
        ]

    def expected(self, change_id: str) -> dict[str, Expected]:
        """Return what each operation of a change must find."""
        rows = self._db.execute("SELECT operation, body FROM expected WHERE change_id = ?", (change_id,)).fetchall()
        return {operation: Expected.model_validate_json(body) for operation, body in rows}

    def spent_by(self, nonce: str) -> str | None:
        """Return the change that used a nonce, or None."""
        row = self._db.execute("SELECT change_id FROM nonces WHERE nonce = ?", (nonce,)).fetchone()
        return None if row is None else str(row[0])

    def steps(self, change_id: str) -> list[tuple[float, str, dict[str, Any]]]:
        """Return (time, step, body) of a change in order."""
        rows = self._db.execute(
            "SELECT at, step, body FROM steps WHERE change_id = ? ORDER BY seq", (change_id,)
        ).fetchall()
        return [(at, step, json.loads(body)) for at, step, body in rows]

    def observe(self, change_id: str, observation: Observation) -> None:
        """Keep one look at an expectation."""
        with self.transaction("observe") as db:
            row = (change_id, observation.model_dump_json())
            db.execute("INSERT INTO observations (change_id, body) VALUES (?, ?)", row)

    def observations(self, change_id: str, limit: int = 200) -> list[Observation]:
        """Return the newest observations of a change, oldest first."""
        rows = self._db.execute(
            "SELECT body FROM observations WHERE change_id = ? ORDER BY seq DESC LIMIT ?", (change_id, limit)
        ).fetchall()
        return [Observation.model_validate_json(body) for (body,) in reversed(rows)]


def refuse_settling(change: Change) -> None:
    """Refuse to settle what is not stuck, or was settled.

    Raises:
        RefusedChangeError: with what it is.
    """
    if change.state != "stuck":
        raise RefusedChangeError(
            "state", f"{change.change_id} is {change.state}: only a stuck change is settled by a person's word"
        )
    if change.settled is not None:
        raise RefusedChangeError(
            "state", f"{change.change_id} was settled as {change.settled.found} by {change.settled.by} already"
        )


def _dump(model: Plan | Preview | Change | Approval) -> str:
    return model.model_dump_json(by_alias=True)


def _insert(db: sqlite3.Connection, change: Change, now: float) -> None:
    db.execute(
        "INSERT INTO changes (change_id, plan_id, body, started) VALUES (?, ?, ?, ?)",
        (change.change_id, change.plan_id, _dump(change), now),
    )


def _update(db: sqlite3.Connection, change: Change) -> None:
    db.execute("UPDATE changes SET body = ? WHERE change_id = ?", (_dump(change), change.change_id))


def _step(db: sqlite3.Connection, change_id: str, now: float, step: str, body: Mapping[str, Any]) -> None:
    row = (change_id, now, step, json.dumps(dict(body)))
    db.execute("INSERT INTO steps (change_id, at, step, body) VALUES (?, ?, ?, ?)", row)


def _spend(db: sqlite3.Connection, nonces: Sequence[str], change_id: str, now: float) -> None:
    try:
        db.executemany("INSERT INTO nonces VALUES (?, ?, ?)", [(nonce, change_id, now) for nonce in nonces])
    except sqlite3.IntegrityError as error:
        raise RefusedChangeError("replayed", "the approval was used already: approve the plan again") from error
