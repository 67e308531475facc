"""What containers run: images from elsewhere, command lines with shells, flags and variables that load code (pure)."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, cast

import orjson

from midwatch_contracts.canonical import canonical_bytes
from midwatch_mcp.safe_apply.classification import Hazard, hazards
from midwatch_mcp.safe_apply.command_lines import is_python, may_be_code, program, python_code, unwrapped
from midwatch_mcp.safe_apply.findings import Finding
from midwatch_mcp.safe_apply.values import escape

_SHELL = re.compile(r"\$\(|`|&&|\|\||[;|]\s*[\w./]|[<>]\s*/|\n|(^|[\s/])(ba|da|z|k|a)?sh\s+-\w*c")
"""What only a shell would read: substitutions, chains, pipes, redirections, a shell by name."""
COMMAND = "that is a command, not a setting"
_REFERENCE = re.compile(r"\$\(([^)]*)\)?")
"""A variable in the value of another, which the kubelet puts in."""
_ADDRESS = b"://"
_SHORTEST = 4
"""Letters of a flag's name from which argparse's abbreviations are taken for the flag."""
PROBES = ("livenessProbe", "readinessProbe", "startupProbe")
_POD_LISTS = ("containers", "initContainers", "ephemeralContainers")


def container_findings(
    place: str, was: Mapping[str, Any], now: Mapping[str, Any], images: Iterable[str] = ()
) -> Iterator[Finding]:
    """Yield what the change of one container hides; `was` is empty for one that comes."""
    yield from _image(place, was, now, tuple(images))
    yield from word_findings(place, was, now)
    yield from variable_findings(place, was, now)
    for probe in PROBES:
        if was.get(probe) and not now.get(probe):
            yield Finding("dangerous", f"{place} has no {probe} any more, so that nobody sees when it cannot answer")


def containers(value: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
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
                yield from containers(item, place)
    elif isinstance(value, list):
        for index, item in enumerate(cast("list[Any]", value)):
            yield from containers(item, f"{path}/{index}")


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


def word_findings(place: str, was: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[Finding]:
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
        yield Finding("forbidden", f"{place} runs {name}, which runs what it is given: {COMMAND}")
    elif is_python(name) and python_code(before) != python_code(line):
        yield Finding("forbidden", f"{place} gives {name} other code to run: {COMMAND}")
    elif any(_plain(program([word])) in hazards().shells for word in fresh):
        yield Finding("forbidden", f"{place} names a shell: {COMMAND}")
    elif was and (old["command"] or new["command"]) and before[:1] != line[:1]:
        yield Finding("dangerous", f"{place} runs another program")
    elif not new["command"] and any(may_be_code(word) for word in fresh):
        yield Finding("dangerous", f"{place} has words that are code, if the image's entrypoint is an interpreter")
    for word in fresh:
        if _SHELL.search(word):
            yield Finding("forbidden", f"{place}: the word {word[:60]!r} is a shell's: {COMMAND}")
    yield from flag_findings(place, set(flag_values(line)) ^ set(flag_values(before)))
    if was:
        yield from _pointing(place, before, line)


def _pointing(place: str, before: Sequence[str], line: Sequence[str]) -> Iterator[Finding]:
    """Yield words that come and name a model, a file or an address: those of no flag, and values with a slash."""
    if _alone(line) != _alone(before):
        yield Finding("dangerous", f"{place} has other words that belong to no flag: a model, a file or a command")
    for word in line:
        if word not in before and "/" in word:
            yield Finding("dangerous", f"{place}: the word {word[:60]!r} names a model, a file or an address")


def _alone(line: Sequence[str]) -> list[str]:
    """Return the words that are no flag, and do not follow one that may take them as its value."""
    return [
        word
        for index, word in enumerate(line)
        if not word.startswith("-") and not (index and line[index - 1].startswith("-") and "=" not in line[index - 1])
    ]


def _plain(name: str) -> str:
    """Return a program's name without version and variant: `perl5.36`, `busybox.static`."""
    return re.split(r"[0-9.-]", name, maxsplit=1)[0] or name


def _texts(value: Any) -> list[str]:
    return [str(word) for word in cast("list[Any]", value)] if isinstance(value, list) else []


def flag_values(line: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield (flag without dashes, value or next word) of each word that begins with two dashes."""
    for index, word in enumerate(line):
        if word.startswith("--") and len(word) > 2:  # noqa: PLR2004 (a lone -- is no flag)
            name, joined, value = word[2:].partition("=")
            yield name.replace("_", "-").lower(), value if joined else next(iter(line[index + 1 : index + 2]), "")


def flag_findings(place: str, changed: set[tuple[str, str]]) -> Iterator[Finding]:
    """Yield the flags that count among (flag without dashes, value) pairs that came or went."""
    for name in sorted({name for name, _ in changed}):
        hazard = flag_hazard(name.removeprefix("no-"))
        if hazard is not None:
            yield Finding(hazard.risk, f"{place} changes the flag --{name}: {hazard.why}", hazard.name)


def flag_hazard(name: str) -> Hazard | None:
    """Return the hazard of a flag, written out or abbreviated as argparse allows; the part before a dot counts."""
    known = hazards().flags
    exact = known.get(name) or known.get(name.partition(".")[0])
    if exact is not None or len(name) < _SHORTEST:
        return exact
    near = [hazard for flag, hazard in known.items() if flag.startswith(name)]
    return next((hazard for hazard in near if hazard.risk == "forbidden"), near[0] if near else None)


def variable_findings(place: str, was: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[Finding]:
    """Judge variables that differ: by their names, by what they take in, and by flags that they hold."""
    old, new = _variables(was), _variables(now)
    plain = {name for name, entry in new.items() if b'"valueFrom"' not in entry}
    for name in sorted({*old, *new}):
        if old.get(name) == new.get(name):
            continue
        if not set(_REFERENCE.findall(new.get(name, b"").decode())) <= plain:
            yield Finding(
                "forbidden", f"{place}: the variable {name} takes in a value that is not shown, a secret's too"
            )
        yield from flag_findings(f"{place}: the variable {name}", _flags_in(new.get(name)) ^ _flags_in(old.get(name)))
        if b'"configMapKeyRef"' in new.get(name, b""):
            yield Finding(
                "dangerous", f"{place}: the value of the variable {name} is kept in a ConfigMap, and not shown"
            )
        if _ADDRESS in new.get(name, b""):
            yield Finding("dangerous", f"{place}: the variable {name} is an address")
        for hazard in hazards().environment.values():
            if fnmatchcase(name.upper(), hazard.name):
                yield Finding(hazard.risk, f"{place} changes the variable {name}: {hazard.why}", hazard.name)
    if was.get("envFrom") != now.get("envFrom"):
        yield Finding("dangerous", f"{place} takes other variables from elsewhere (envFrom)")


def _flags_in(entry: bytes | None) -> set[tuple[str, str]]:
    """Return the flags that a variable's value holds: images often hand such a value on to their program."""
    value = orjson.loads(entry).get("value") if entry else None
    return set(flag_values(str(value or "").split()))


def _variables(container: Mapping[str, Any]) -> dict[str, bytes]:
    entries = container.get("env")
    listed = cast("list[Any]", entries) if isinstance(entries, list) else []
    found = [cast("dict[str, Any]", entry) for entry in listed if isinstance(entry, dict)]
    return {str(entry.get("name", "")): canonical_bytes(entry) for entry in found}
