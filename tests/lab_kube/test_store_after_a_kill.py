"""A store whose process is killed at any moment: what was answered is there, whole, and nothing else is."""

import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from midwatch_contracts.canonical import sha256_hex
from midwatch_contracts.clock import VirtualClock
from midwatch_lab.kinds.resources import CONFIGMAPS
from midwatch_lab.objects import Object, name_of
from midwatch_lab.store.audit import Audit
from midwatch_lab.store.sqlite import SqliteJournal
from midwatch_lab.store.store import Store

WRITE_ON = """
import random, sys
from pathlib import Path
from midwatch_contracts.clock import WallClock
from midwatch_lab.kinds.resources import CONFIGMAPS
from midwatch_lab.store.audit import Audit, Origin
from midwatch_lab.store.sqlite import SqliteJournal
from midwatch_lab.store.store import Store

store = Store(Audit(WallClock(), SqliteJournal(Path(sys.argv[1]))))
draw = random.Random(int(sys.argv[2]))
origin = Origin("writer", "update", "/test")
while True:
    name = draw.choice("abcdefgh")
    old = store.get(CONFIGMAPS.key, "default", name)
    if old is not None and draw.random() < 0.3:
        store.delete(CONFIGMAPS, old, origin)
    else:
        data = {"v": draw.random(), "pad": "x" * draw.randrange(9000)}
        body = {"kind": "ConfigMap", "metadata": {"name": name, "namespace": "default"}, "data": data}
        store.create(CONFIGMAPS, body, origin) if old is None else store.update(CONFIGMAPS, body, old, origin)
    (entry,) = store.audit.entries(store.version - 2)
    print(store.version, name, entry["sha256_after"], flush=True)
"""


@pytest.mark.slow
def test_a_kill_at_any_moment_loses_no_answered_write_and_halves_none(tmp_path: Path) -> None:
    file = tmp_path / "lab.db"
    draw = random.Random(20)  # noqa: S311 (a seed)
    version = 1
    for life in range(12):
        answered = killed_after(file, life, draw.randrange(1, 200))
        assert [number for number, _, _ in answered] == list(range(version + 1, version + 1 + len(answered)))
        journal = SqliteJournal(file)
        store = Store(Audit(VirtualClock(), journal))
        journal.close()
        # One more than was answered at most: the write under way at the end, whole.
        assert 0 <= store.version - answered[-1][0] <= 1
        expected = {name: sha256 for _, name, sha256 in answered}
        changes = store.since(CONFIGMAPS.key, version)
        assert [change.version for change in changes] == list(range(version + 1, store.version + 1))
        expected |= {name_of(c.obj): hash_of(c.obj, c.type) for c in changes if c.version > answered[-1][0]}
        for name, sha256 in expected.items():
            obj = store.get(CONFIGMAPS.key, "default", name)
            assert (None if obj is None else sha256_hex(obj)) == (None if sha256 == "None" else sha256)
        last = store.audit.entries()[-1]
        assert last["seq"] == store.version - 1
        version = store.version


def hash_of(obj: Object, kind: str) -> str:
    return "None" if kind == "DELETED" else sha256_hex(obj)


def killed_after(file: Path, seed: int, count: int) -> list[tuple[int, str, str]]:
    """Have a process write until it has answered so many writes, then kill it; returns all that it answered."""
    command = [sys.executable, "-c", WRITE_ON, str(file), str(seed)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(count)]
        process.send_signal(signal.SIGKILL)
        lines += process.stdout.readlines()
    rows = [line.split() for line in lines if line.endswith("\n")]
    return [(int(number), name, sha256) for number, name, sha256 in rows]
