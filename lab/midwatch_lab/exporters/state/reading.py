"""Readers of values out of objects: numbers, times, sets of states, conditions, owners, amounts of resources."""

import math
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Final

from midwatch_contracts.times import unix_seconds
from midwatch_lab.exporters.family import Family, Point, Reader
from midwatch_lab.objects import Object, dig, meta
from midwatch_lab.quantity import parse

_NOT_PLAIN: Final = re.compile(r"[^a-zA-Z0-9_]")
_STATUSES: Final = ("true", "false", "unknown")
_MILLI_MAX: Final = (2**63 - 1) // 1000
"""Above this many units the original no longer counts in thousandths."""
_BYTES: Final = ("memory", "storage", "ephemeral-storage")
_BYTE_PREFIXES: Final = ("hugepages-", "attachable-volumes-")

Path = tuple[str, ...]


def number(*path: str) -> Reader:
    """Read a number or a truth; 0 where there is none."""
    return lambda obj: (({}, float(dig(obj, *path, default=0))),)


def given(*path: str) -> Reader:
    """Read a number or a truth, where there is one."""

    def read(obj: Object) -> Iterable[Point]:
        found = dig(obj, *path)
        return () if found is None else (({}, float(found)),)

    return read


def count(*path: str) -> Reader:
    """Count the items of a list."""
    return lambda obj: (({}, float(len(dig(obj, *path, default=[])))),)


def seconds(text: str) -> float:
    """Return a time in whole Unix seconds."""
    return float(math.floor(unix_seconds(text)))


def moment(*path: str) -> Reader:
    """Read a time, where there is one."""

    def read(obj: Object) -> Iterable[Point]:
        found = dig(obj, *path)
        return (({}, seconds(found)),) if found else ()

    return read


def words(labels: Mapping[str, Path]) -> Reader:
    """Read texts into the labels of a series that is always 1."""
    return lambda obj: (({label: _text(dig(obj, *path)) for label, path in labels.items()}, 1.0),)


def _text(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)


def one(_obj: Object) -> Iterable[Point]:
    """Say that the object is there."""
    return (({}, 1.0),)


def states(label: str, choices: tuple[str, ...], *path: str, always: bool = False) -> Reader:
    """Read one word of a set into a series for each: 1 for the word that it is; nothing where it is none yet."""

    def read(obj: Object) -> Iterable[Point]:
        found = dig(obj, *path)
        return [({label: word}, float(word == found)) for word in choices] if found or always else ()

    return read


def conditions(obj: Object) -> Iterable[Point]:
    """Read the status conditions: three series a condition."""
    for item in dig(obj, "status", "conditions", default=[]):
        status = str(item.get("status", "")).lower()
        for word in _STATUSES:
            yield {"condition": str(item.get("type", "")), "status": word}, float(status == word)


def condition(kind: str) -> Reader:
    """Read one status condition: three series, where it is there."""

    def read(obj: Object) -> Iterable[Point]:
        for item in dig(obj, "status", "conditions", default=[]):
            if item.get("type") == kind:
                status = str(item.get("status", "")).lower()
                yield from (({"condition": word}, float(status == word)) for word in _STATUSES)

    return read


def since(kind: str) -> Reader:
    """Read since when a status condition is true, where it is."""

    def read(obj: Object) -> Iterable[Point]:
        for item in dig(obj, "status", "conditions", default=[]):
            if item.get("type") == kind and item.get("status") == "True" and item.get("lastTransitionTime"):
                yield {}, seconds(item["lastTransitionTime"])

    return read


def owners(obj: Object) -> Iterable[Point]:
    """Read the owners; one series without their labels where there are none."""
    found: list[Object] = meta(obj).get("ownerReferences") or [{}]
    for owner in found:
        controller = _text(owner.get("controller", False)) if owner else ""
        labels = {"owner_kind": owner.get("kind", ""), "owner_name": owner.get("name", "")}
        yield {**labels, "owner_is_controller": controller}, 1.0


OWNER_LABELS: Final = ("owner_kind", "owner_name", "owner_is_controller")


@lru_cache(maxsize=4096)
def amount(text: str) -> float:
    """Return a quantity as a number: rounded up to thousandths, as the original reads it."""
    exact = parse(text)
    whole = math.ceil(exact)
    return float(whole) if whole > _MILLI_MAX else math.ceil(exact * 1000) / 1000


@lru_cache(maxsize=4096)
def whole_amount(text: str) -> float:
    """Return a quantity rounded up to a whole number."""
    return float(math.ceil(parse(text)))


@lru_cache(maxsize=1024)
def unit_of(resource: str) -> str | None:
    """Return the unit in which the original counts a resource of containers and nodes; None where it leaves it out."""
    if resource == "cpu":
        return "core"
    if resource in _BYTES or resource.startswith(_BYTE_PREFIXES):
        return "byte"
    extended = "/" in resource and "kubernetes.io/" not in resource and not resource.startswith("requests.")
    return "integer" if extended else None


def plain(name: str) -> str:
    """Return a name as it may stand without quotes in a query: each other character is an underscore."""
    return _NOT_PLAIN.sub("_", name)


def created(prefix: str) -> Family:
    """Return the family of creation times."""
    return Family(f"{prefix}_created", "Time of creation, in Unix seconds", moment("metadata", "creationTimestamp"))


def deleted(name: str) -> Family:
    """Return the family of times at which deletion was asked for."""
    return Family(name, "Time for which deletion is set, in Unix seconds", moment("metadata", "deletionTimestamp"))


def generation(prefix: str) -> Family:
    """Return the family of generations."""
    text = "How often anything but status and metadata was changed, and one"
    return Family(f"{prefix}_metadata_generation", text, number("metadata", "generation"))


def observed(prefix: str) -> Family:
    """Return the family of generations that a controller has seen."""
    text = "The generation that the controller has seen"
    return Family(f"{prefix}_status_observed_generation", text, number("status", "observedGeneration"))


def resource_version(prefix: str) -> Family:
    """Return the family of resource versions."""
    return Family(f"{prefix}_metadata_resource_version", "The resourceVersion", given("metadata", "resourceVersion"))
