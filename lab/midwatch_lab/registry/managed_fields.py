"""Who owns which field: `metadata.managedFields`, in the FieldsV1 form of the original (KEP-555).

Managers are kept by key, each with the set of the fields that it owns. An update takes what it changes, whoever had it.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, Final, TypeAlias, cast

import orjson

from midwatch_contracts.times import rfc3339
from midwatch_lab import status
from midwatch_lab.objects import Object, meta, without
from midwatch_lab.registry.typed import Comparison, Path
from midwatch_lab.store.audit import Origin

Key: TypeAlias = tuple[str, str, str, str]
"""(operation, manager, apiVersion but for an apply, subresource)."""

APPLY: Final = "Apply"
UPDATE: Final = "Update"
ANCIENT: Final = "ancient-changes"
BEFORE_APPLY: Final = "before-first-apply"
_UPDATERS_MAX: Final = 10


@dataclass(frozen=True)
class Owned:
    """What one manager owns, at which version of the kind, and since when."""

    paths: frozenset[Path]
    api_version: str
    time: str | None = None

    def without(self, gone: set[Path]) -> "Owned":
        """Return what is left."""
        return replace(self, paths=self.paths - gone) if self.paths & gone else self


Managers: TypeAlias = dict[Key, Owned]


def key_of(origin: Origin, operation: str, api_version: str) -> Key:
    """Return the key under which the one who writes is kept."""
    return operation, origin.manager, "" if operation == APPLY else api_version, origin.subresource


def encode(paths: Iterable[Path]) -> Object:
    """Return paths as FieldsV1."""
    wanted = set(paths)
    root: Object = {}
    for path in sorted(wanted):
        node = root
        for step in path:
            node = node.setdefault(step, {})
    for path in wanted:
        node = root
        for step in path:
            node = node[step]
        if node:
            node["."] = {}
    return root


def decode(fields: Object) -> set[Path]:
    """Return the paths of a FieldsV1 object."""
    found: set[Path] = set()

    def walk(node: Object, path: Path) -> None:
        if path and (not node or "." in node):
            found.add(path)
        for step, inner in node.items():
            if step != ".":
                walk(inner, (*path, step))

    walk(fields, ())
    return found


def read(entries: list[Object]) -> Managers:
    """Return the managers of an object."""
    found: Managers = {}
    for entry in entries:
        operation, api_version = str(entry.get("operation", "")), str(entry.get("apiVersion", ""))
        manager, subresource = str(entry.get("manager", "")), str(entry.get("subresource", ""))
        key = operation, manager, "" if operation == APPLY else api_version, subresource
        found[key] = Owned(frozenset(decode(entry.get("fieldsV1") or {})), api_version, entry.get("time"))
    return found


def stated(new: Object, old: Object) -> Managers:
    """Return the managers that an update starts from: those that the client sends, else those that are stored.

    A client takes all of them away by sending one empty entry.
    """
    sent: Any = meta(new).get("managedFields")
    if isinstance(sent, list) and sent == [{}]:
        return {}
    usable = isinstance(sent, list) and all(_is_sound(entry) for entry in sent)  # pyright: ignore[reportUnknownVariableType] (JSON of unknown shape)
    return (read(sent) if usable and sent else {}) or read(meta(old).get("managedFields", []))  # pyright: ignore[reportUnknownArgumentType] (JSON of unknown shape)


def _is_sound(entry: Any) -> bool:
    if not isinstance(entry, dict):
        return False
    known = cast("Object", entry)
    whole = known.get("operation") in (APPLY, UPDATE) and bool(known.get("apiVersion"))
    return whole and _is_field_set(known.get("fieldsV1") or {})


def _is_field_set(node: Any) -> bool:
    """Tell whether a value has the form of FieldsV1; the elements of keys and values are JSON themselves."""
    if not isinstance(node, dict):
        return False
    return all(_is_step(step) and _is_field_set(inner) for step, inner in cast("Object", node).items())


def _is_step(step: str) -> bool:
    kind, colon, rest = step.partition(":")
    if step == "." or (kind in ("f", "i") and colon):
        return True
    if kind not in ("k", "v") or not colon:
        return False
    try:
        value: Any = orjson.loads(rest)
    except orjson.JSONDecodeError:
        return False
    return kind == "v" or isinstance(value, dict)


def write(managers: Managers) -> list[Object]:
    """Return managers as `managedFields`, in the original's order: applies first, then by time and name."""
    entries: list[Object] = []
    for (operation, manager, _, subresource), owned in managers.items():
        entry: Object = {"manager": manager, "operation": operation, "apiVersion": owned.api_version}
        if owned.time is not None:
            entry["time"] = owned.time
        entry |= {"fieldsType": "FieldsV1", "fieldsV1": encode(owned.paths)}
        entries.append(entry | ({"subresource": subresource} if subresource else {}))
    names = ("operation", "time", "manager", "apiVersion", "subresource")
    return sorted(entries, key=lambda entry: [entry.get(name, "") for name in names])


def time_text(now: float) -> str:
    """Return a time as entries have it."""
    return rfc3339(now).partition(".")[0] + "Z"


def bereft(managers: Managers, compare: Callable[[str], Comparison | None]) -> Managers:
    """Return what a change leaves to managers, each by the change as its version shows it.

    `compare` gives that, or None for a version that the kind has no more: its owners are forgotten.
    """
    found: Managers = {}
    for key, owned in managers.items():
        changes = compare(owned.api_version)
        if changes is not None:
            found[key] = owned.without(changes.added | changes.modified | changes.removed)
    return found


def after_update(
    managers: Managers, compare: Callable[[str], Comparison | None], origin: Origin, api_version: str, now: float
) -> Managers:
    """Return the managers after a write that is no apply: whoever changes a field owns it alone."""
    changes = compare(api_version) or Comparison()
    taken = changes.added | changes.modified
    found = bereft(managers, compare)
    key = key_of(origin, UPDATE, api_version)
    if taken:
        before = found[key].paths if key in found else frozenset[Path]()
        # The original translates owners between a Scale and its workload, and loses the time on the way.
        time = None if origin.subresource == "scale" else time_text(now)
        found[key] = Owned(before | taken, api_version, time)
    return capped({key: owned for key, owned in found.items() if owned.paths})


def capped(managers: Managers) -> Managers:
    """Return the managers with the oldest updaters merged into one entry a version, once there are more than ten."""
    updaters = sorted(
        (key for key in managers if key[0] == UPDATE), key=lambda key: (managers[key].time or "", key[1:])
    )
    if len(updaters) <= _UPDATERS_MAX:
        return managers
    found, left = dict(managers), len(updaters)
    firsts: dict[str, Key] = {}
    for key in updaters:
        if left <= _UPDATERS_MAX:
            break
        owned = found[key]
        bucket = UPDATE, ANCIENT, owned.api_version, ""
        first = firsts.setdefault(owned.api_version, key)
        if first == key:
            continue
        if bucket not in found:
            found[bucket] = found.pop(first)
        found[bucket] = replace(owned, paths=owned.paths | found[bucket].paths)
        del found[key]
        left -= 1
    return found


def check(entries: Any) -> list[status.FieldFault]:
    """Return what is wrong with the managedFields that a client sends."""
    faults: list[status.FieldFault] = []
    for index, entry in enumerate(entries or []):
        path = f"metadata.managedFields[{index}]"
        if entry.get("operation", "") not in (APPLY, UPDATE):
            faults.append(
                status.invalid_value(f"{path}.operation", entry.get("operation", ""), "must be `Apply` or `Update`")
            )
        if entry.get("fieldsType", "") != "FieldsV1":
            faults.append(status.invalid_value(f"{path}.fieldsType", entry.get("fieldsType", ""), "must be `FieldsV1`"))
    return faults


def put(obj: Object, managers: Managers) -> None:
    """Write managers into an object (in place)."""
    if managers:
        obj["metadata"]["managedFields"] = write(managers)
    else:
        obj["metadata"].pop("managedFields", None)


def but_for_times(obj: Object) -> Object:
    """Return an object without the times in managedFields: one who writes what is there does not become its owner."""
    metadata = meta(obj)
    entries = [without(entry, ["time"]) for entry in metadata.get("managedFields", [])]
    return {**obj, "metadata": {**metadata, "managedFields": entries}}
