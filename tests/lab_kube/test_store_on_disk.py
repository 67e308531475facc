"""The store in a SQLite file: what was answered is there after any end, and what cannot be used is refused by name."""

import os
import random
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midwatch_contracts.clock import VirtualClock
from midwatch_lab.errors import ApiError, StoreError
from midwatch_lab.kinds.resources import CONFIGMAPS, CUSTOM_RESOURCE_DEFINITIONS, SECRETS
from midwatch_lab.objects import Object, meta, name_of
from midwatch_lab.plane import ControlPlane
from midwatch_lab.store import sqlite as sqlite_module
from midwatch_lab.store.audit import Audit, Origin
from midwatch_lab.store.journal import NoJournal
from midwatch_lab.store.sqlite import SqliteJournal
from midwatch_lab.store.store import Store

WRITER = Origin("tester", "create", "/test", manager="tester")
DRY = Origin("tester", "create", "/test", manager="tester", dry_run=True)
WIDGETS = {"plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList"}
DEFINITION: Object = {
    "metadata": {"name": "widgets.x.io"},
    "spec": {
        "group": "x.io",
        "names": WIDGETS,
        "scope": "Namespaced",
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": {"type": "object"}}}},
            }
        ],
    },
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "lab.db"


@pytest.fixture
def open_store(file: Path) -> Iterator[Callable[[], Store]]:
    """Opens the store anew, as a lab that starts again does."""
    opened: list[SqliteJournal] = []

    def again() -> Store:
        for journal in opened:
            journal.close()
        opened.append(SqliteJournal(file))
        return Store(Audit(VirtualClock(), opened[-1]))

    yield again
    for journal in opened:
        journal.close()


def config_map(name: str, value: str = "", namespace: str = "default") -> Object:
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"value": value}}


def write(store: Store, name: str, value: str | None, origin: Origin = WRITER) -> None:
    """Have a ConfigMap hold a value; None removes it."""
    old = store.get(CONFIGMAPS.key, "default", name)
    if value is None:
        if old is not None:
            store.delete(CONFIGMAPS, old, origin)
    elif old is None:
        store.create(CONFIGMAPS, config_map(name, value), origin)
    else:
        store.update(CONFIGMAPS, {**old, "data": {"value": value}}, old, origin)


def everything(store: Store) -> dict[str, Any]:
    """All that a client can see of a store."""
    versions = range(1, store.version + 1)
    return {
        "version": store.version,
        "objects": store.items(CONFIGMAPS.key),
        "changes": [(c.type, c.obj, c.old, c.version) for c in store.since(CONFIGMAPS.key, 0)],
        "past": [store.items_at(CONFIGMAPS.key, "", version) for version in versions],
        "audit": store.audit.entries(),
    }


WRITES = st.lists(
    st.tuples(st.sampled_from("abc"), st.one_of(st.none(), st.text(max_size=9)), st.booleans()), max_size=30
)


@settings(max_examples=40)
@given(writes=WRITES, cuts=st.sets(st.integers(0, 30), max_size=4))
def test_a_store_that_starts_again_is_the_store_that_ended(
    writes: list[tuple[str, str | None, bool]], cuts: set[int]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        clock, path = VirtualClock(), Path(folder) / "lab.db"
        model, journal = Store(Audit(clock, NoJournal())), SqliteJournal(path)
        store = Store(Audit(clock, journal))
        for index, (name, value, dry) in enumerate(writes):
            for each in (model, store):
                write(each, name, value, DRY if dry else WRITER)
            if index in cuts:
                journal.close()
                journal = SqliteJournal(path)
                store = Store(Audit(clock, journal))
                assert everything(store) == everything(model)
        journal.close()
        assert everything(store) == everything(model)


def test_versions_go_on_where_they_ended_and_an_old_object_is_a_conflict(open_store: Callable[[], Store]) -> None:
    first = open_store()
    old = first.create(CONFIGMAPS, config_map("a"), WRITER)
    first.update(CONFIGMAPS, {**old, "data": {"value": "new"}}, old, WRITER)
    again = open_store()
    assert again.version == first.version
    with pytest.raises(ApiError, match="the object has been modified"):
        again.update(CONFIGMAPS, {**old, "data": {"value": "stale"}}, old, WRITER)
    assert int(meta(again.create(SECRETS, config_map("b"), WRITER))["resourceVersion"]) == first.version + 1


def test_a_bounded_history_answers_410_after_a_restart_as_before(
    open_store: Callable[[], Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_module, "HISTORY", 5)
    monkeypatch.setattr(sqlite_module, "AUDITED", 7)
    monkeypatch.setattr(sqlite_module, "_PRUNE_EVERY", 3)
    store = open_store()
    for number in range(20):
        write(store, "a", str(number))
    again = open_store()
    assert [change.version for change in again.since(CONFIGMAPS.key, store.version - 5)] == list(range(17, 22))
    assert [entry["seq"] for entry in again.audit.entries()] == list(range(14, 21))
    with pytest.raises(ApiError, match="too old resource version") as gone:
        again.since(CONFIGMAPS.key, store.version - 6)
    assert gone.value.code == 410
    write(again, "a", "on")
    assert open_store().audit.entries()[-1]["seq"] == 21


def test_a_write_that_does_not_fit_the_disk_is_answered_500_and_never_was(
    open_store: Callable[[], Store], file: Path
) -> None:
    store = open_store()
    write(store, "a", "kept")
    before = everything(store)
    journal = store.audit.journal
    assert isinstance(journal, SqliteJournal)
    heard: list[Any] = []
    store.listen(heard.append)
    db = journal._db  # pyright: ignore[reportPrivateUsage] (who else could fill the disk)
    (pages,) = db.execute("PRAGMA page_count").fetchone()
    db.execute(f"PRAGMA max_page_count={pages}")
    with pytest.raises(ApiError, match=f"{file} cannot be written: database or disk is full") as refused:
        write(store, "a", "x" * 100_000)
    assert (refused.value.code, refused.value.reason) == (500, "InternalError")
    assert everything(store) == before
    assert heard == []
    assert everything(open_store()) == before


def test_the_file_is_its_owners_alone(open_store: Callable[[], Store], file: Path) -> None:
    open_store()
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_file_is_one_labs_at_a_time(open_store: Callable[[], Store], file: Path) -> None:
    store = open_store()
    with pytest.raises(StoreError, match="is in use by another lab: end that one, or give another file"):
        SqliteJournal(file)
    write(store, "a", "still writable")


def _text(path: Path) -> None:
    path.write_text("not a database, but long enough to be taken for one by its size alone\n" * 20)


def _foreign(path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE theirs (x)")
    db.close()


def _newer(path: Path) -> None:
    SqliteJournal(path).close()
    db = sqlite3.connect(path)
    db.execute("PRAGMA user_version=99")
    db.close()


def _truncated(path: Path) -> None:
    _filled(path)
    os.truncate(path, path.stat().st_size // 2)


def _scrambled(path: Path) -> None:
    _filled(path)
    content = bytearray(path.read_bytes())
    content[4096:] = random.Random(1).randbytes(len(content) - 4096)  # noqa: S311 (noise)
    path.write_bytes(content)


def _half_an_object(path: Path) -> None:
    _filled(path)
    db = sqlite3.connect(path)
    db.execute("UPDATE objects SET body = '{\"apiVersion\":' WHERE name = '7'")
    db.commit()
    db.close()


def _folder(path: Path) -> None:
    path.mkdir()


def _filled(path: Path) -> None:
    journal = SqliteJournal(path)
    store = Store(Audit(VirtualClock(), journal))
    for number in range(50):
        write(store, str(number), "x" * 500)
    journal.close()


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (_text, "is no file of a lab: give another"),
        (_foreign, "is a database of another program: give another file"),
        (_newer, r"was written by a newer Midwatch \(schema 99\): use that one"),
        (_truncated, "damaged|malformed"),
        (_scrambled, "damaged|malformed"),
        (_half_an_object, "is damaged .*: start from a copy of it, or give another file"),
        (_folder, "cannot be opened: Is a directory"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_by_name_and_left_alone(
    file: Path, spoil: Callable[[Path], None], why: str
) -> None:
    spoil(file)
    before = file.read_bytes() if file.is_file() else b""
    with pytest.raises(StoreError, match=why) as refused:
        Store(Audit(VirtualClock(), SqliteJournal(file)))
    assert str(file) in str(refused.value)
    if spoil in (_text, _foreign, _newer):
        assert file.read_bytes() == before


def test_custom_resources_are_served_again_also_where_the_end_came_between_two_writes(file: Path) -> None:
    first = ControlPlane(VirtualClock(), SqliteJournal(file))
    first.registry.create(CUSTOM_RESOURCE_DEFINITIONS, "", DEFINITION, WRITER)
    row = first.registry.catalog.by_path("x.io", "v1", "widgets")
    assert row is not None
    first.registry.create(row, "default", {"metadata": {"name": "w"}, "spec": {}}, WRITER)
    first.journal.close()
    again = ControlPlane(VirtualClock(), SqliteJournal(file))
    found = again.registry.catalog.by_path("x.io", "v1", "widgets")
    assert found is not None
    assert [name_of(obj) for obj in again.store.items(found.key)] == ["w"]
    assert again.store.version == first.store.version, "a quiet restart writes nothing"
    # The definition's write is on disk, what follows from it is not.
    definition = again.store.items(CUSTOM_RESOURCE_DEFINITIONS.key)[0]
    again.store.update(
        CUSTOM_RESOURCE_DEFINITIONS, {**definition, "status": {"storedVersions": ["v1"]}}, definition, WRITER
    )
    again.journal.close()
    last = ControlPlane(VirtualClock(), SqliteJournal(file))
    assert last.registry.catalog.by_path("x.io", "v1", "widgets") is not None
    last.journal.close()
