"""The runs of a state folder, `<state>/runs/<run>/`: where they lie, and which process drives one."""

import contextlib
import fcntl
import os
import re
import secrets
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path

from midwatch_agents.errors import RunError
from midwatch_agents.ledger import read_ledger
from midwatch_contracts.clock import Clock
from midwatch_contracts.evidence import LedgerEntry

RUN_ID = re.compile(r"^run-\d{8}-\d{9}-[0-9a-f]{4}$")
"""`run-<date>-<time to the millisecond>-<random>`, so that ids sort by time."""


@dataclass(frozen=True)
class RunFolder:
    """The files of one run; the folder is 0700, the files 0600."""

    run: str
    path: Path

    @property
    def ledger(self) -> Path:
        """Every tool call and decision."""
        return self.path / "ledger.jsonl"

    @property
    def graph(self) -> Path:
        """LangGraph's checkpoints."""
        return self.path / "graph.sqlite"

    @property
    def journal(self) -> Path:
        """The guide runner's journal."""
        return self.path / "guide.sqlite"

    @property
    def report(self) -> Path:
        """The report for people."""
        return self.path / "report.md"


def new_run(state: Path, clock: Clock) -> RunFolder:
    """Make the folder of a new run; ids sort by time."""
    now = clock.now()
    moment = time.strftime("%Y%m%d-%H%M%S", time.gmtime(now)) + f"{int(now * 1000) % 1000:03d}"
    run = f"run-{moment}-{secrets.token_hex(2)}"
    path = state / "runs" / run
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.mkdir(mode=0o700)
    return RunFolder(run, path)


def all_runs(state: Path) -> list[RunFolder]:
    """Return the runs, newest first."""
    root = state / "runs"
    if not root.is_dir():
        return []
    found = [RunFolder(path.name, path) for path in root.iterdir() if RUN_ID.match(path.name) and path.is_dir()]
    return sorted(found, key=lambda folder: folder.run, reverse=True)


def find_run(state: Path, run: str | None) -> RunFolder:
    """Return one run, by id or by the unambiguous beginning of an id; None means the newest.

    Raises:
        RunError: there is none.
    """
    known = all_runs(state)
    if not known:
        raise RunError(f"no runs in {state}: start one with midwatch investigate")
    if run is None:
        return known[0]
    fits = [folder for folder in known if folder.run == run] or [
        folder for folder in known if folder.run.startswith(run)
    ]
    if len(fits) != 1:
        raise RunError(f"{'no' if not fits else 'more than one'} run {run!r}: midwatch runs list shows them")
    return fits[0]


@contextlib.contextmanager
def locked(folder: RunFolder) -> Generator[None]:
    """Hold the run for this process; the lock falls with the process, however it ends.

    Raises:
        RunError: another process drives the run.
    """
    handle = os.open(folder.path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RunError(f"{folder.run} is being driven by another process: wait for it, or stop it") from error
        yield
    finally:
        os.close(handle)


def unfinished(state: Path) -> RunFolder | None:
    """Return the newest run that is not over, or None."""
    for folder in all_runs(state):
        if folder.ledger.is_file() and all(entry.kind != "end" for entry in read_ledger(folder.ledger)):
            return folder
    return None


def aliases_of(entries: Sequence[LedgerEntry]) -> dict[str, str]:
    """Return `E1`, `E2`, … by evidence id, in the order in which a run first saw each."""
    aliases: dict[str, str] = {}
    for entry in entries:
        if entry.evidence is not None:
            aliases.setdefault(entry.evidence, f"E{len(aliases) + 1}")
    return aliases
