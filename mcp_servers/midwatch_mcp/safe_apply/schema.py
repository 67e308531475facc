"""The journal's tables, and how a file of an earlier Midwatch is brought forward (CONTRACTS §10).

`user_version` counts the steps that a file has taken. A step is never edited once it was released: what comes later is
a further step.
"""

import sqlite3
from pathlib import Path

from midwatch_contracts.evidence import GENESIS
from midwatch_mcp.safe_apply.errors import JournalError

_CHANGES = """
CREATE TABLE plans (id TEXT PRIMARY KEY, body TEXT NOT NULL, at REAL NOT NULL);
CREATE TABLE previews (plan_id TEXT PRIMARY KEY REFERENCES plans, body TEXT NOT NULL, at REAL NOT NULL);
CREATE TABLE changes (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, change_id TEXT UNIQUE NOT NULL, plan_id TEXT NOT NULL REFERENCES plans,
  body TEXT NOT NULL, started REAL NOT NULL, applied REAL, ended REAL
);
CREATE TABLE expected (change_id TEXT NOT NULL, operation TEXT NOT NULL, body TEXT NOT NULL,
  PRIMARY KEY (change_id, operation));
CREATE TABLE holds (target TEXT PRIMARY KEY, change_id TEXT NOT NULL);
CREATE TABLE nonces (nonce TEXT PRIMARY KEY, change_id TEXT NOT NULL, at REAL NOT NULL);
CREATE TABLE steps (seq INTEGER PRIMARY KEY AUTOINCREMENT, change_id TEXT NOT NULL, at REAL NOT NULL,
  step TEXT NOT NULL, body TEXT NOT NULL);
CREATE TABLE observations (seq INTEGER PRIMARY KEY AUTOINCREMENT, change_id TEXT NOT NULL, body TEXT NOT NULL);
CREATE INDEX observations_by_change ON observations (change_id, seq);
"""

_APPROVALS_AND_AUDIT = """
CREATE TABLE audit_head (one INTEGER PRIMARY KEY CHECK (one = 1), entries INTEGER, sha256 TEXT);
INSERT INTO audit_head VALUES (1, NULL, NULL);
CREATE TABLE questions (
  nonce TEXT PRIMARY KEY, method TEXT NOT NULL, principal TEXT NOT NULL, plan_id TEXT NOT NULL REFERENCES plans,
  preview_sha256 TEXT NOT NULL, text TEXT NOT NULL, at REAL NOT NULL, expires REAL NOT NULL, answer TEXT
);
CREATE INDEX questions_by_plan ON questions (plan_id, principal, at);
CREATE TABLE proposers (plan_id TEXT NOT NULL REFERENCES plans, principal TEXT NOT NULL, by_code INTEGER NOT NULL,
  PRIMARY KEY (plan_id, principal, by_code));
"""
"""A file from before has no head: the log's next line adopts what it finds there, once its chain holds."""

_OWED = """
CREATE TABLE owed (seq INTEGER PRIMARY KEY AUTOINCREMENT, at REAL NOT NULL, kind TEXT NOT NULL, run TEXT NOT NULL,
  body TEXT NOT NULL);
"""

_SEAL = "CREATE TABLE seal_key (one INTEGER PRIMARY KEY CHECK (one = 1), key BLOB NOT NULL);"

_REHEARSALS = """
CREATE TABLE rehearsals (seq INTEGER PRIMARY KEY AUTOINCREMENT, plan_id TEXT NOT NULL REFERENCES plans,
  preview_sha256 TEXT NOT NULL, at REAL NOT NULL, body TEXT NOT NULL);
CREATE INDEX rehearsals_by_preview ON rehearsals (plan_id, preview_sha256, seq);
"""

STEPS = (_CHANGES, _APPROVALS_AND_AUDIT, _OWED, _SEAL, _REHEARSALS)
VERSION = len(STEPS)


def migrate(db: sqlite3.Connection, path: Path) -> None:
    """Bring a file to the present schema, all steps or none.

    Raises:
        JournalError: a newer Midwatch wrote the file.
    """
    (found,) = db.execute("PRAGMA user_version").fetchone()
    if found > VERSION:
        raise JournalError(f"{path} was written by a newer Midwatch (schema {found}): use that one")
    db.execute("BEGIN IMMEDIATE")
    try:
        # Read again: another process may have taken the steps while this one waited.
        (version,) = db.execute("PRAGMA user_version").fetchone()
        for step in STEPS[version:]:
            for statement in step.split(";"):
                db.execute(statement)
        if version == 0:
            # Nothing was ever written beside a new file, so that a log that lies there is not its own.
            db.execute("UPDATE audit_head SET entries = 0, sha256 = ?", (GENESIS,))
        db.execute(f"PRAGMA user_version={VERSION}")
    except BaseException:
        db.execute("ROLLBACK")
        raise
    db.execute("COMMIT")
