"""Events in their two versions: stored as core `v1`, shown as `events.k8s.io/v1` too."""

from collections.abc import Iterable
from typing import Any, Final

from midwatch_lab.objects import Object

_RENAMED: Final = (
    ("reportingComponent", "reportingController"),
    ("reportingInstance", "reportingInstance"),
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
)
"""(name in the core group, name in events.k8s.io)."""
_KEPT: Final = ("metadata", "eventTime", "series", "action", "reason", "related", "type")
_EMPTY: Final[tuple[tuple[str, Any], ...]] = (
    ("eventTime", None), ("firstTimestamp", None), ("lastTimestamp", None), ("source", {}), ("involvedObject", {}),
    ("reportingComponent", ""), ("reportingInstance", ""),
)  # fmt: skip
_EMPTY_V1: Final[tuple[tuple[str, Any], ...]] = (
    ("eventTime", None), ("deprecatedFirstTimestamp", None), ("deprecatedLastTimestamp", None),
    ("deprecatedSource", {}), ("regarding", {}),
)  # fmt: skip


def blank(event: Object) -> None:
    """Fill in what a core Event always shows (in place)."""
    _drop(event, ("reason", "message", "type", "action"))
    for key, value in _EMPTY:
        event.setdefault(key, value)


def blank_v1(event: Object) -> None:
    """Fill in what an `events.k8s.io/v1` Event always shows (in place)."""
    _drop(event, ("reason", "note", "type", "action", "reportingController", "reportingInstance"))
    for key, value in _EMPTY_V1:
        event.setdefault(key, value)


def _drop(event: Object, keys: Iterable[str]) -> None:
    for key in keys:
        if event.get(key) == "":
            del event[key]


def as_events_v1(event: Object) -> Object:
    """Return a core Event as an `events.k8s.io/v1` Event."""
    renamed = {new: event[old] for old, new in _RENAMED if event.get(old) not in (None, "")}
    kept = {key: event[key] for key in _KEPT if key in event}
    shown = {"kind": "Event", "apiVersion": "events.k8s.io/v1", **kept, **renamed}
    blank_v1(shown)
    return shown


def as_core(event: Object) -> Object:
    """Return an `events.k8s.io/v1` Event as a core Event."""
    renamed = {old: event[new] for old, new in _RENAMED if event.get(new) not in (None, "")}
    kept = {key: event[key] for key in _KEPT if key in event}
    shown = {"kind": "Event", "apiVersion": "v1", **kept, **renamed}
    blank(shown)
    return shown
