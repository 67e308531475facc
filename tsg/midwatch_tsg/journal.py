"""What a run has already asked, so that a resumed run does not ask again.

A result is kept under (run, step, hash of the guide, hash of the call): a guide that was edited meanwhile, or a call
with other arguments, is made anew. Only finished calls are kept; what failed may succeed next time.
"""

import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, Self

import orjson

from midwatch_contracts.canonical import sha256_hex
from midwatch_tsg.errors import JournalError

SCHEMA_VERSION = 1
_CREATE = """
CREATE TABLE step_result (
    run TEXT NOT NULL,
    step TEXT NOT NULL,
    guide_sha256 TEXT NOT NULL,
    call_sha256 TEXT NOT NULL,
    result TEXT NOT NULL,
    at REAL NOT NULL,
    PRIMARY KEY (run, step, guide_sha256, call_sha256)
) STRICT
"""


class Journal(Protocol):
    """Keeps finished calls."""

    def read(self, run: str, step: str, guide_sha256: str, call: Mapping[str, Any]) -> Any:
        """Return what was kept for this call, or None."""
        ...

    def write(self, run: str, step: str, guide_sha256: str, call: Mapping[str, Any], result: Any, *, at: float) -> None:
        """Keep the result of a call."""
        ...


class NoJournal:
    """Keeps nothing: for runs that are not resumed."""

    def read(self, run: str, step: str, guide_sha256: str, call: Mapping[str, Any]) -> Any:
        """Return None."""
        del run, step, guide_sha256, call

    def write(self, run: str, step: str, guide_sha256: str, call: Mapping[str, Any], result: Any, *, at: float) -> None:
        """Keep nothing."""
        del run, step, guide_sha256, call, result, at


class SqliteJournal:
    """Keeps calls in a SQLite file (0600). A context manager, which closes the file."""

    def __init__(self, path: Path) -> None:
        """Open or create the journal.

        Raises:
            JournalError: the file is no journal, or was written by a later version.
        """
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not path.exists():
            path.touch(mode=0o600)
        self._connection = sqlite3.connect(path, timeout=10, isolation_level=None)
        try:
            self._prepare()
        except sqlite3.Error as error:
            self._connection.close()
            raise JournalError(f"{path} is no journal of guide runs ({error}): move it away or name another") from error
        except JournalError:
            self._connection.close()
            raise

    def _prepare(self) -> None:
        # A killed process loses nothing; after a power cut the last calls may be made again, which only read.
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=NORMAL")
        self._connection.execute("BEGIN IMMEDIATE")
        version = self._connection.execute("PRAGMA user_version").fetchone()[0]
        if version > SCHEMA_VERSION:
            raise JournalError(f"{self._path} has schema {version}, later than {SCHEMA_VERSION}: update Midwatch")
        if version == 0:
            self._connection.execute(_CREATE)
            self._connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
        self._connection.execute("COMMIT")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def read(self, run: str, step: str, guide_sha256: str, call: Mapping[str, Any]) -> Any:
        """Return what was kept for this call, or None."""
        row = self._connection.execute(
            "SELECT result FROM step_result WHERE run=? AND step=? AND guide_sha256=? AND call_sha256=?",
            (run, step, guide_sha256, sha256_hex(dict(call))),
        ).fetchone()
        return None if row is None else orjson.loads(row[0])

    def write(self, run: str, step: str, guide_sha256: str, call: Mapping[str, Any], result: Any, *, at: float) -> None:
        """Keep the result of a call; one that is there already stays."""
        self._connection.execute(
            "INSERT OR IGNORE INTO step_result VALUES (?,?,?,?,?,?)",
            (run, step, guide_sha256, sha256_hex(dict(call)), orjson.dumps(result).decode(), at),
        )
