"""Labels and annotations that somebody acts on, of an object or of the pods in it (`metadata_keys.yaml`)."""

from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any, cast

from midwatch_mcp.safe_apply.classification import Hazard, hazards
from midwatch_mcp.safe_apply.findings import Finding


def touched_keys(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Return the keys of labels and annotations, of the object or of pods in it, that differ."""
    old, new = dict(_entries(before, "")), dict(_entries(after, ""))
    return sorted({path[-1] for path in {*old, *new} if old.get(path) != new.get(path)})


def key_findings(keys: Iterable[str], inert: Iterable[str]) -> Iterator[Finding]:
    """Yield why a change of some keys is worse than it looks; `inert` are globs of those on which nobody acts."""
    known_inert = tuple(inert)
    for key in keys:
        hazard = _hazard(key)
        if hazard is None and "/" in key:
            hazard = Hazard.model_validate({"name": key, "class": "dangerous", "why": _UNKNOWN})
        if hazard is None or hazard.risk == "change":
            continue
        if hazard.risk == "forbidden" or not any(fnmatchcase(key, glob) for glob in known_inert):
            yield Finding(hazard.risk, f"it sets, replaces or takes away {key}: {hazard.why}", hazard.name)


_UNKNOWN = "who acts on it is not known here (the policy's `inert` may say that nobody does)"


def _hazard(key: str) -> Hazard | None:
    return next((hazard for hazard in hazards().keys if fnmatchcase(key, hazard.name)), None)


def _entries(value: Any, path: str) -> Iterator[tuple[tuple[str, str], Any]]:
    """Yield ((place, key), value) of every label and annotation at any depth."""
    if isinstance(value, dict):
        for key, item in cast("dict[str, Any]", value).items():
            place = f"{path}/{key}"
            if key in ("labels", "annotations") and isinstance(item, dict) and path.endswith("/metadata"):
                yield from (((place, name), held) for name, held in cast("dict[str, Any]", item).items())
            elif key != "managedFields":
                yield from _entries(item, place)
    elif isinstance(value, list):
        for index, item in enumerate(cast("list[Any]", value)):
            yield from _entries(item, f"{path}/{index}")
