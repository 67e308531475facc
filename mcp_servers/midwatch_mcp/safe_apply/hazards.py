"""What a diff hides: fields that give rights, what containers run, and settings of backends (`hazards.yaml`).

All of it reads the object before and after, so that neither the name of an operation nor the form of a patch counts.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, cast

from midwatch_contracts.canonical import canonical_bytes
from midwatch_mcp.safe_apply.classification import Hazard, hazards
from midwatch_mcp.safe_apply.containers import container_findings, containers, flag_hazard
from midwatch_mcp.safe_apply.findings import Finding
from midwatch_mcp.safe_apply.values import escape


def findings(before: Mapping[str, Any], after: Mapping[str, Any], images: Iterable[str] = ()) -> list[Finding]:
    """Return what the change from `before` (empty for an object that is made) to `after` hides.

    `images` are globs of images that the policy lets in; without any, an image of another repository is dangerous.
    """
    found = list(_fields(before, after))
    old, new = dict(containers(before)), dict(containers(after))
    for place, container in new.items():
        was = old.get(place, {})
        found += container_findings(place, was, container, images)
    for place in old.keys() - new.keys() if after else ():
        found.append(Finding("dangerous", f"{place} goes, and what it did for the others: a proxy, a guard, a log"))
    return list(dict.fromkeys(found))


def embeds_pods(value: Mapping[str, Any]) -> bool:
    """Say whether an object of any kind holds containers: it is then at least what a workload is."""
    return any(True for _ in containers(value))


# Fields


def _fields(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Finding]:
    made = not before
    held, coming = ([*_named(value, ""), *_placed(value, f"{after.get('kind')}/", "")] for value in (before, after))
    old, new = ({canonical_bytes([path, part]) for path, part, _ in found} for found in (held, coming))
    for path, part, hazard in [*held, *coming]:
        differs = canonical_bytes([path, part]) in old ^ new
        free = made and (hazard.new == "free" or part in ("", [], {}) or part in hazard.harmless)
        if differs and after and not free:
            yield Finding(hazard.risk, f"it changes the field {hazard.name} ({path}): {hazard.why}", hazard.name)


def _named(value: Any, path: str) -> Iterator[tuple[str, Any, Hazard]]:
    """Yield (place, value, hazard) of each field with a name that counts; elements of lists go by their names."""
    known = hazards()
    if isinstance(value, dict):
        for key, item in cast("dict[str, Any]", value).items():
            place = f"{path}/{escape(key)}"
            if key in known.fields:
                yield place, item, known.fields[key]
            if key not in known.user_keys:
                yield from _named(item, place)
    elif isinstance(value, list):
        for index, item in enumerate(cast("list[Any]", value)):
            name = cast("dict[str, Any]", item).get("name", index) if isinstance(item, dict) else index
            yield from _named(item, f"{path}/{name}")


def _placed(value: Any, kind: str, path: str) -> Iterator[tuple[str, Any, Hazard]]:
    """Yield (place, value, hazard) of each field that counts in one kind only, by its place."""
    for hazard in hazards().places.values():
        if hazard.name.startswith(kind):
            yield from ((place, part, hazard) for place, part in _at(value, hazard.name.split("/")[1:], path))


def _at(value: Any, steps: Sequence[str], path: str) -> Iterator[tuple[str, Any]]:
    """Yield (place, value) of what lies below a value by names; `*` is every element of a list."""
    if not steps:
        yield path, value
    elif steps[0] == "*" and isinstance(value, list):
        for index, item in enumerate(cast("list[Any]", value)):
            yield from _at(item, steps[1:], f"{path}/{index}")
    elif isinstance(value, dict) and steps[0] in value:
        yield from _at(cast("dict[str, Any]", value)[steps[0]], steps[1:], f"{path}/{escape(steps[0])}")


# Serving backends

_ELSEWHERE = re.compile(r"^[a-z][a-z0-9+.-]*:|(^|/)\.\.(/|$)|[\x00-\x1f\x7f]", re.IGNORECASE)
"""A URL, a path that climbs, or a control character."""


def serving_findings(args: Mapping[str, Any], adapters: Iterable[str] = ()) -> list[Finding]:
    """Return what the arguments of an operation on a serving backend hide: flags by another name, URLs, and adapters.

    `adapters` are globs of paths that the policy lets adapters in from; without any, one of a model hub is dangerous.
    """
    found: list[Finding] = []
    values = args.get("values")
    for name in cast("dict[str, Any]", values) if isinstance(values, dict) else ():
        hazard = flag_hazard(name.replace("_", "-").lower())
        if hazard is not None:
            found.append(Finding(hazard.risk, f"it changes the setting {name}: {hazard.why}", hazard.name))
    path, globs = args.get("path"), tuple(adapters)
    if isinstance(path, str) and globs and not any(fnmatchcase(path, glob) for glob in globs):
        found.append(Finding("forbidden", f"the policy lets no adapter of {path[:60]!r} in"))
    elif isinstance(path, str) and not globs and not path.startswith("/"):
        found.append(Finding("dangerous", f"the backend would fetch the adapter {path[:60]!r} from a model hub"))
    found += [
        Finding("forbidden", f"{text[:60]!r} leads elsewhere: the backend would fetch or read it")
        for text in _all_texts(args)
        if _ELSEWHERE.search(text)
    ]
    return found


def _all_texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in cast("dict[str, Any]", value).values():
            yield from _all_texts(item)
    elif isinstance(value, list | tuple):
        for item in cast("list[Any]", value):
            yield from _all_texts(item)
