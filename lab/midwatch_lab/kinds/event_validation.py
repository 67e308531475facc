"""Rules of Events: the old ones of the core group, and those of `events.k8s.io/v1` for who writes through that."""

from collections.abc import Sequence
from typing import Any, Final

from midwatch_lab import names
from midwatch_lab.kinds import rules
from midwatch_lab.kinds.rules import Faults
from midwatch_lab.objects import Object, dig, namespace_of
from midwatch_lab.status import Struct, invalid_value, required

_SHORT: Final = 128
_NOTE: Final = 1024
_REFERENCE: Final = ("Kind", "Namespace", "Name", "UID", "APIVersion", "ResourceVersion", "FieldPath")
_FIXED: Final = (
    "involvedObject", "reason", "message", "source", "firstTimestamp", "lastTimestamp", "count", "reason", "type",
    "eventTime", "action", "related", "reportingComponent", "reportingInstance",
)  # fmt: skip
"""What an update through events.k8s.io leaves alone, in the original's order and with its repetition."""


def core(event: Object) -> Faults:
    """Check an Event that was written through the core group."""
    yield from _event(event, "reportingComponent")


def group(event: Object, old: Object | None) -> Faults:
    """Check an Event that was written through events.k8s.io."""
    yield from _event(event, "reportingController")
    if old is None:
        yield from rules.metadata(event, names.dns_subdomain_fault)
        yield from _series(event)
        if not event.get("eventTime"):
            yield required("eventTime")
        if event.get("type") not in ("Normal", "Warning"):
            yield invalid_value("type", "", f"has invalid value: {event.get('type', '')}")
        for key in ("firstTimestamp", "lastTimestamp", "count", "source"):
            if event.get(key):
                yield invalid_value(key, "", "needs to be unset")
        return
    if event.get("series") != old.get("series"):
        yield from _series(event)
    for key in _FIXED:
        if event.get(key) != old.get(key):
            shown = "reportingController" if key == "reportingComponent" else key
            yield invalid_value(shown, _shown(event.get(key)), "field is immutable")


def _shown(value: Any) -> Any:
    """Return a value as a message has it: a reference in the order of the original's structure."""
    if not isinstance(value, dict):
        return value
    given: Object = value  # pyright: ignore[reportUnknownVariableType] (JSON)
    known = {key.lower(): item for key, item in given.items()}
    return Struct(tuple((name, known.get(name.lower(), "")) for name in _REFERENCE))


def _series(event: Object) -> Faults:
    series: Object | None = event.get("series")
    if series is None:
        return
    if series.get("count", 0) < 2:  # noqa: PLR2004 (one event is no series)
        yield invalid_value("series.count", "", "should be at least 2")
    if not series.get("lastObservedTime"):
        yield required("series.lastObservedTime")


def _event(event: Object, controller: str) -> Faults:
    about, home = str(dig(event, "involvedObject", "namespace", default="")), namespace_of(event)
    apart = invalid_value("involvedObject.namespace", about, "does not match event.namespace")
    if event.get("eventTime"):
        if not about and home not in ("default", "kube-system"):
            yield apart
        yield from _new(event, controller)
    elif home != about and (about or home != "default"):
        yield apart


def _new(event: Object, controller: str) -> Faults:
    """Check what an event with a time of its own must have."""
    name = str(event.get("reportingComponent", ""))
    if not name:
        yield required(controller)
    for fault in names.label_key_faults(name):
        yield invalid_value(controller, name, fault)
    yield from _words(event, ("reportingInstance", "action", "reason"))
    if len(event.get("message", "")) > _NOTE:
        yield invalid_value("message", "", f"can have at most {_NOTE} characters")


def _words(event: Object, keys: Sequence[str]) -> Faults:
    for key in keys:
        text = event.get(key, "")
        if not text:
            yield required(key)
        elif len(text) > _SHORT:
            yield invalid_value(key, "", f"can have at most {_SHORT} characters")
