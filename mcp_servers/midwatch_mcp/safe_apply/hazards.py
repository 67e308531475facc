"""What a diff hides: fields that give rights, images from elsewhere, shells, environment and flags (`hazards.yaml`).

All of it reads the object before and after, so that neither the name of an operation nor the form of a patch counts.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, cast

from midwatch_contracts.canonical import canonical_bytes
from midwatch_contracts.plan import Risk
from midwatch_mcp.safe_apply.classification import Hazard, hazards
from midwatch_mcp.safe_apply.command_lines import is_python, may_be_code, program, python_code, unwrapped
from midwatch_mcp.safe_apply.values import escape

_SHELL = re.compile(r"\$\(|`|&&|\|\||[;|]\s*[\w./]|[<>]\s*/|\n|(^|[\s/])(ba|da|z|k|a)?sh\s+-\w*c")
"""What only a shell would read: substitutions, chains, pipes, redirections, a shell by name."""
_COMMAND = "that is a command, not a setting"
_REFERENCE = re.compile(r"\$\(([^)]*)\)?")
"""A variable in the value of another, which the kubelet puts in."""
_SHORTEST = 4
"""Letters of a flag's name from which argparse's abbreviations are taken for the flag."""
_POD_LISTS = ("containers", "initContainers", "ephemeralContainers")

Place = tuple[str, Any]


@dataclass(frozen=True)
class Finding:
    """Why a change is worse than it looks."""

    risk: Risk
    says: str
    name: str = ""
    """The field, flag or variable, for a policy that lets it through."""


def findings(before: Mapping[str, Any], after: Mapping[str, Any], images: Iterable[str] = ()) -> list[Finding]:
    """Return what the change from `before` (empty for an object that is made) to `after` hides.

    `images` are globs of images that the policy lets in; without any, an image of another repository is dangerous.
    """
    found = list(_fields(before, after))
    old, new = dict(_containers(before)), dict(_containers(after))
    for place, container in new.items():
        was = old.get(place, {})
        found += _image(place, was, container, tuple(images))
        found += _words(place, was, container)
        found += _environment(place, was, container)
    return list(dict.fromkeys(found))


def embeds_pods(value: Mapping[str, Any]) -> bool:
    """Say whether an object of any kind holds containers: it is then at least what a workload is."""
    return any(True for _ in _containers(value))


# Fields


def _fields(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Finding]:
    made = not before
    old = {canonical_bytes([path, part]) for path, part, _ in _named(before, "")}
    new = {canonical_bytes([path, part]) for path, part, _ in _named(after, "")}
    for path, part, hazard in [*_named(before, ""), *_named(after, "")]:
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


# Serving backends

_ELSEWHERE = re.compile(r"^[a-z][a-z0-9+.-]*:|(^|/)\.\.(/|$)|[\x00-\x1f\x7f]", re.IGNORECASE)
"""A URL, a path that climbs, or a control character."""


def serving_findings(args: Mapping[str, Any]) -> list[Finding]:
    """Return what the arguments of an operation on a serving backend hide: flags by another name, and URLs."""
    found: list[Finding] = []
    values = args.get("values")
    for name in cast("dict[str, Any]", values) if isinstance(values, dict) else ():
        hazard = _flag(name.replace("_", "-").lower())
        if hazard is not None:
            found.append(Finding(hazard.risk, f"it changes the setting {name}: {hazard.why}", hazard.name))
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


# Containers


def _containers(value: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (place, container) at any depth of an object: a custom resource may embed pods anywhere."""
    if isinstance(value, dict):
        for key, item in cast("dict[str, Any]", value).items():
            place = f"{path}/{escape(key)}"
            if key in _POD_LISTS and isinstance(item, list):
                for index, part in enumerate(cast("list[Any]", item)):
                    if isinstance(part, dict):
                        container = cast("dict[str, Any]", part)
                        yield f"{place}[{container.get('name', index)}]", container
            elif key not in hazards().user_keys:
                yield from _containers(item, place)
    elif isinstance(value, list):
        for index, item in enumerate(cast("list[Any]", value)):
            yield from _containers(item, f"{path}/{index}")


def repository(image: str) -> str:
    """Return `registry/path` of an image reference, without tag and digest, with Docker Hub's names written out."""
    name = image.partition("@")[0]
    head, slash, tail = name.rpartition("/")
    name = f"{head}{slash}{tail.partition(':')[0]}"
    first = name.partition("/")[0]
    if "/" not in name:
        return f"docker.io/library/{name}"
    return name if "." in first or ":" in first or first == "localhost" else f"docker.io/{name}"


def _image(place: str, was: Mapping[str, Any], now: Mapping[str, Any], allowed: tuple[str, ...]) -> Iterator[Finding]:
    old, new = str(was.get("image", "")), str(now.get("image", ""))
    if new == old or not new:
        return
    source = repository(new)
    if allowed:
        if not any(fnmatchcase(source, glob) or fnmatchcase(new, glob) for glob in allowed):
            yield Finding("forbidden", f"{place}: the policy lets no image of {source} in")
    elif not old or repository(old) != source:
        yield Finding("dangerous", f"{place}: an image of another repository, {source}")


def _words(place: str, was: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[Finding]:
    """Judge new words of a command line. A program that runs its arguments makes every new word a command."""
    old = {which: _texts(was.get(which)) for which in ("command", "args")}
    new = {which: _texts(now.get(which)) for which in ("command", "args")}
    if old == new:
        return
    known = {*old["command"], *old["args"]}
    fresh = [word for side in new.values() for word in side if word not in known]
    before, line = (unwrapped([*words["command"], *words["args"]]) for words in (old, new))
    # Without a command the image's own entrypoint runs, and the first word may be an argument of it.
    name = program(line) if new["command"] or not old["command"] else ""
    if _plain(name) in hazards().programs and (fresh or before != line):
        yield Finding("forbidden", f"{place} runs {name}, which runs what it is given: {_COMMAND}")
    elif is_python(name) and python_code(before) != python_code(line):
        yield Finding("forbidden", f"{place} gives {name} other code to run: {_COMMAND}")
    elif any(_plain(program([word])) in hazards().shells for word in fresh):
        yield Finding("forbidden", f"{place} names a shell: {_COMMAND}")
    elif was and (old["command"] or new["command"]) and before[:1] != line[:1]:
        yield Finding("dangerous", f"{place} runs another program")
    elif not new["command"] and any(may_be_code(word) for word in fresh):
        yield Finding("dangerous", f"{place} has words that are code, if the image's entrypoint is an interpreter")
    for word in fresh:
        if _SHELL.search(word):
            yield Finding("forbidden", f"{place}: the word {word[:60]!r} is a shell's: {_COMMAND}")
    yield from _flags(place, set(_flag_values(line)) ^ set(_flag_values(before)))


def _plain(name: str) -> str:
    """Return a program's name without version and variant: `perl5.36`, `busybox.static`."""
    return re.split(r"[0-9.-]", name, maxsplit=1)[0] or name


def _texts(value: Any) -> list[str]:
    return [str(word) for word in cast("list[Any]", value)] if isinstance(value, list) else []


def _flag_values(line: list[str]) -> Iterator[tuple[str, str]]:
    """Yield (flag without dashes, value or next word) of each word that begins with two dashes."""
    for index, word in enumerate(line):
        if word.startswith("--") and len(word) > 2:  # noqa: PLR2004 (a lone -- is no flag)
            name, joined, value = word[2:].partition("=")
            yield name.replace("_", "-").lower(), value if joined else (line[index + 1 : index + 2] or [""])[0]


def _flags(place: str, changed: set[tuple[str, str]]) -> Iterator[Finding]:
    for name in sorted({name for name, _ in changed}):
        hazard = _flag(name.removeprefix("no-"))
        if hazard is not None:
            yield Finding(hazard.risk, f"{place} changes the flag --{name}: {hazard.why}", hazard.name)


def _flag(name: str) -> Hazard | None:
    """Return the hazard of a flag, written out or abbreviated as argparse allows; the part before a dot counts."""
    known = hazards().flags
    exact = known.get(name) or known.get(name.partition(".")[0])
    if exact is not None or len(name) < _SHORTEST:
        return exact
    near = [hazard for flag, hazard in known.items() if flag.startswith(name)]
    return next((hazard for hazard in near if hazard.risk == "forbidden"), near[0] if near else None)


def _environment(place: str, was: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[Finding]:
    old, new = _variables(was), _variables(now)
    plain = {name for name, entry in new.items() if b'"valueFrom"' not in entry}
    for name in sorted({*old, *new}):
        if old.get(name) == new.get(name):
            continue
        if not set(_REFERENCE.findall(new.get(name, b"").decode())) <= plain:
            yield Finding(
                "forbidden", f"{place}: the variable {name} takes in a value that is not shown, a secret's too"
            )
        for hazard in hazards().environment.values():
            if fnmatchcase(name.upper(), hazard.name):
                yield Finding(hazard.risk, f"{place} changes the variable {name}: {hazard.why}", hazard.name)
    if was.get("envFrom") != now.get("envFrom"):
        yield Finding("dangerous", f"{place} takes other variables from elsewhere (envFrom)")


def _variables(container: Mapping[str, Any]) -> dict[str, bytes]:
    entries = container.get("env")
    listed = cast("list[Any]", entries) if isinstance(entries, list) else []
    found = [cast("dict[str, Any]", entry) for entry in listed if isinstance(entry, dict)]
    return {str(entry.get("name", "")): canonical_bytes(entry) for entry in found}
