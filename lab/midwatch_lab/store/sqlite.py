"""A lab's objects in one SQLite file, so that it survives a restart, and a kill at any moment.

A write is one transaction with `synchronous=FULL` over its object, what was there before (an undo log, from which the
history is read backwards), and its entry in the audit: when it returns, the disk has all three. The file is held
exclusively while the lab lives, since what the lab has in memory must be what the file has.
"""

import os
import sqlite3
from collections import defaultdict
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import orjson

from midwatch_lab import status
from midwatch_lab.errors import StoreError
from midwatch_lab.objects import Object, name_of, namespace_of
from midwatch_lab.store.changes import Change, Key, Place, at_version
from midwatch_lab.store.journal import AUDITED, HISTORY, Saved

VERSION: Final = 1
_APPLICATION: Final = int.from_bytes(b"MWLb")
"""`application_id`, by which `file` and we know such a file."""
_SCHEMA: Final = """
CREATE TABLE objects (grp TEXT, plural TEXT, namespace TEXT, name TEXT, body BLOB NOT NULL,
  PRIMARY KEY (grp, plural, namespace, name)) WITHOUT ROWID;
CREATE TABLE history (version INTEGER PRIMARY KEY, type TEXT NOT NULL, grp TEXT NOT NULL, plural TEXT NOT NULL,
  namespace TEXT NOT NULL, name TEXT NOT NULL, old BLOB);
CREATE TABLE audit (seq INTEGER PRIMARY KEY, entry BLOB NOT NULL);
CREATE TABLE forgotten (version INTEGER NOT NULL);
INSERT INTO forgotten VALUES (0);
"""
_PRUNE_EVERY: Final = 1000


class SqliteJournal:
    """One file, opened and checked.

    Raises:
        StoreError: when it is in use, damaged, no such file, or of a newer Midwatch; it is left as it is.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._until_prune = _PRUNE_EVERY
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        except OSError as error:
            raise StoreError(f"{path} cannot be opened: {error.strerror}") from error
        self._db = sqlite3.connect(path, timeout=0, isolation_level=None)
        try:
            self._open()
        except sqlite3.Error as error:
            self._db.close()
            raise StoreError(f"{path} {_why(error)}") from error
        except StoreError:
            self._db.close()
            raise

    def _open(self) -> None:
        self._db.execute("PRAGMA locking_mode=EXCLUSIVE")
        self._db.execute("BEGIN EXCLUSIVE")
        (tables,) = self._db.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        (application,) = self._db.execute("PRAGMA application_id").fetchone()
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        if not tables and not application:
            for statement in _SCHEMA.split(";"):
                self._db.execute(statement)
            self._db.execute(f"PRAGMA application_id={_APPLICATION}")
            self._db.execute(f"PRAGMA user_version={VERSION}")
        elif application != _APPLICATION:
            raise StoreError(f"{self.path} is a database of another program: give another file")
        elif version > VERSION:
            raise StoreError(f"{self.path} was written by a newer Midwatch (schema {version}): use that one")
        self._db.execute("COMMIT")
        (verdict,) = self._db.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise StoreError(f"{self.path} is damaged ({verdict}): {_MEND}")
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")

    def close(self) -> None:
        """Let go of the file; what was written stays."""
        self._db.close()

    def load(self) -> Saved:
        """Return what is in the file.

        Raises:
            StoreError: when it does not hold together.
        """
        try:
            return self._load()
        except (sqlite3.Error, orjson.JSONDecodeError, LookupError) as error:
            raise StoreError(f"{self.path} is damaged ({error!r}): {_MEND}") from error

    def _load(self) -> Saved:
        with self._transaction():
            self._prune()
        saved = Saved()
        for group, plural, namespace, name, body in self._db.execute("SELECT * FROM objects"):
            saved.objects[group, plural][namespace, name] = orjson.loads(body)
        (saved.forgotten,) = self._db.execute("SELECT version FROM forgotten").fetchone()
        rows = self._db.execute("SELECT * FROM history ORDER BY version DESC").fetchall()
        saved.version = rows[0][0] if rows else 1
        saved.history = _backwards(rows, saved.objects)
        saved.entries = [orjson.loads(entry) for (entry,) in self._db.execute("SELECT entry FROM audit ORDER BY seq")]
        return saved

    def write(self, change: Change | None, entry: dict[str, Any]) -> None:
        """Keep a change and its entry in the audit, both or neither.

        Raises:
            ApiError: 500 when the file cannot be written; then it is as before.
        """
        try:
            with self._transaction():
                self._db.execute("INSERT INTO audit VALUES (?, ?)", (entry["seq"], orjson.dumps(entry)))
                if change is not None:
                    self._put(change)
                self._until_prune -= 1
                if self._until_prune <= 0:
                    self._prune()
                    self._until_prune = _PRUNE_EVERY
        except (sqlite3.Error, orjson.JSONEncodeError) as error:
            raise status.internal_error(f"{self.path} cannot be written: {error}") from error

    @contextmanager
    def _transaction(self) -> Generator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:  # an interrupt too: a transaction left open would take the next write into it
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise

    def _put(self, change: Change) -> None:
        place = (*change.key, namespace_of(change.obj), name_of(change.obj))
        same = "grp = ? AND plural = ? AND namespace = ? AND name = ?"
        self._db.execute(
            "INSERT INTO history VALUES (?, ?, ?, ?, ?, ?, "  # noqa: S608 (a constant)
            f"(SELECT body FROM objects WHERE {same}))",
            (change.version, change.type, *place, *place),
        )
        if change.type == "DELETED":
            self._db.execute(f"DELETE FROM objects WHERE {same}", place)  # noqa: S608 (a constant)
        else:
            row = (*place, orjson.dumps(change.obj))
            self._db.execute("INSERT OR REPLACE INTO objects VALUES (?, ?, ?, ?, ?)", row)

    def _prune(self) -> None:
        """Forget changes and entries beyond what is kept."""
        beyond = "SELECT version FROM history ORDER BY version DESC LIMIT 1 OFFSET ?"
        found = self._db.execute(beyond, (HISTORY,)).fetchone()
        if found is not None:
            self._db.execute("UPDATE forgotten SET version = ?", found)
            self._db.execute("DELETE FROM history WHERE version <= ?", found)
        self._db.execute("DELETE FROM audit WHERE seq <= (SELECT max(seq) FROM audit) - ?", (AUDITED,))


_MEND: Final = "start from a copy of it, or give another file"


def _why(error: sqlite3.Error) -> str:
    match getattr(error, "sqlite_errorname", ""):
        case "SQLITE_BUSY":
            return "is in use by another lab: end that one, or give another file"
        case "SQLITE_NOTADB":
            return "is no file of a lab: give another"
        case _:
            return f"cannot be used ({error}): {_MEND}"


def _backwards(rows: list[tuple[Any, ...]], objects: dict[Key, dict[Place, Object]]) -> list[Change]:
    """Return the changes that led to `objects`, oldest first, from the undo log, newest first."""
    state = defaultdict[Key, dict[Place, Object]](dict, {key: dict(found) for key, found in objects.items()})
    changes: list[Change] = []
    for version, kind, group, plural, namespace, name, body in rows:
        key, place = (group, plural), (namespace, name)
        old: Object | None = None if body is None else orjson.loads(body)
        obj = at_version(old or {}, version) if kind == "DELETED" else state[key].pop(place)
        if old is not None:
            state[key][place] = old
        changes.append(Change(kind, key, obj, old, version))
    changes.reverse()
    return changes
