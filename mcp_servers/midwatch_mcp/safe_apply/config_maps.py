"""ConfigMaps that are programs, flags or variables of the pods that take them in (pure).

A file that a container runs is a command, and a variable is a variable, wherever its text is kept; what a program
merely reads as its configuration is none of them.
"""

import base64
import binascii
import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, cast

import yaml

from midwatch_mcp.safe_apply.classification import hazards
from midwatch_mcp.safe_apply.command_lines import is_python, program, python_code, unwrapped
from midwatch_mcp.safe_apply.containers import (
    COMMAND,
    PROBES,
    flag_findings,
    flag_hazard,
    flag_values,
    variable_findings,
    word_findings,
)
from midwatch_mcp.safe_apply.findings import Finding

Json = Mapping[str, Any]

_LISTS = ("containers", "initContainers")
_LINE = re.compile(r"^[\s-]*[\"']?([A-Za-z][\w.-]*)[\"']?\s*[:=]", re.MULTILINE)
"""The name of a setting in a line of YAML, JSON, TOML or an environment file."""
_TRUSTED = "BEGIN CERTIFICATE"
_CONFIG = "config"
"""The flag that names a file of flags."""


@dataclass(frozen=True)
class Entry:
    """One key of a ConfigMap that differs; an absent text is empty."""

    key: str
    old: str
    new: str

    @property
    def is_program(self) -> bool:
        """Whether it looks like code by its name or its beginning."""
        by_name = self.key.endswith(hazards().program_files)
        return by_name or self.new.startswith(("#!", "\x7fELF")) or self.old.startswith(("#!", "\x7fELF"))


def config_findings(before: Json, after: Json, users: Iterable[Json]) -> list[Finding]:
    """Return what a change of a ConfigMap hides, by the pods and workloads of its namespace."""
    value = after or before
    name = str(value["metadata"]["name"])
    old, new = _texts(before), _texts(after)
    entries = [
        Entry(key, old.get(key, ""), new.get(key, "")) for key in sorted({*old, *new}) if old.get(key) != new.get(key)
    ]
    specs = [spec for user in users for spec in _pod_specs(user)]
    found = [finding for spec in specs for finding in _of_pods(name, entries, spec)]
    for entry in entries:
        if entry.is_program and not any(one.risk == "forbidden" and f" {entry.key}," in one.says for one in found):
            found.append(Finding("dangerous", f"it changes {entry.key}, which is a program for whoever runs it"))
        if _TRUSTED in entry.old or _TRUSTED in entry.new:
            found.append(Finding("dangerous", f"it changes {entry.key}, which says whom programs trust"))
        found += _settings(entry)
    return list(dict.fromkeys(found))


def _texts(value: Json) -> dict[str, str]:
    """Return the texts of a ConfigMap by key; bytes as one character each."""
    texts = {key: str(text) for key, text in cast("dict[str, Any]", value.get("data") or {}).items()}
    for key, coded in cast("dict[str, Any]", value.get("binaryData") or {}).items():
        try:
            texts[key] = base64.b64decode(str(coded)).decode("latin-1")
        except binascii.Error:
            texts[key] = str(coded)
    return texts


def _settings(entry: Entry) -> Iterator[Finding]:
    """Yield lines that set what no program but a serving engine calls so, and that is forbidden as its flag."""
    old, new = (set(_LINE.findall(text)) for text in (entry.old, entry.new))
    lines = {line.strip() for line in entry.new.splitlines()} ^ {line.strip() for line in entry.old.splitlines()}
    for setting in sorted(old | new):
        flag = setting.replace("_", "-").lower()
        hazard = hazards().flags.get(flag)
        if hazard is None or hazard.risk != "forbidden" or "-" not in flag:
            continue
        if any(setting in line for line in lines):
            yield Finding("forbidden", f"it changes the setting {setting} in {entry.key}: {hazard.why}", hazard.name)


def takes_in(value: Any, name: str) -> bool:
    """Say whether a pod, or the pods of a workload, take in a ConfigMap: as files, variables, or one variable."""
    if isinstance(value, dict):
        fields = cast("dict[str, Any]", value)
        held = (fields.get(key) for key in ("configMap", "configMapRef", "configMapKeyRef"))
        found = any(isinstance(one, dict) and cast("Json", one).get("name") == name for one in held)
        return found or any(takes_in(item, name) for item in fields.values())
    return isinstance(value, list) and any(takes_in(item, name) for item in cast("list[Any]", value))


# Pods that take it in


def _pod_specs(value: Any) -> Iterator[Json]:
    """Yield the pod specs in an object, at any depth."""
    if isinstance(value, dict):
        fields = cast("dict[str, Any]", value)
        if isinstance(fields.get("containers"), list):
            yield fields
        else:
            for item in fields.values():
                yield from _pod_specs(item)


def _of_pods(name: str, entries: Sequence[Entry], spec: Json) -> Iterator[Finding]:
    by_key = {entry.key: entry for entry in entries}
    for which in _LISTS:
        for container in cast("list[Json]", spec.get(which) or []):
            place = f"the container {container.get('name')}"
            variables = dict(_variables(name, entries, container))
            was, now = (_with(container, {key: texts[side] for key, texts in variables.items()}) for side in (0, 1))
            yield from variable_findings(place, _only(was, variables), _only(now, variables))
            yield from word_findings(place, was, now)
            for key, path in _paths(name, list(by_key), spec, container):
                yield from _file(by_key[key], path, place, now)


def _variables(name: str, entries: Sequence[Entry], container: Json) -> Iterator[tuple[str, tuple[str, str]]]:
    """Yield (variable, (old text, new text)) of what a container takes from a ConfigMap; later ones win."""
    for source in cast("list[Json]", container.get("envFrom") or []):
        if cast("Json", source.get("configMapRef") or {}).get("name") == name:
            yield from ((f"{source.get('prefix') or ''}{one.key}", (one.old, one.new)) for one in entries)
    for variable in cast("list[Json]", container.get("env") or []):
        reference = cast("Json", cast("Json", variable.get("valueFrom") or {}).get("configMapKeyRef") or {})
        if reference.get("name") == name:
            yield from (
                (str(variable.get("name")), (one.old, one.new)) for one in entries if one.key == reference.get("key")
            )


def _with(container: Json, variables: Mapping[str, str]) -> dict[str, Any]:
    """Return a container with its variables, and with their values where its command line names them."""
    filled = dict(container) | {"env": [{"name": name, "value": value} for name, value in variables.items() if value]}
    for part in ("command", "args"):
        filled[part] = [_filled(str(word), variables) for word in cast("list[Any]", container.get(part) or [])]
    return filled


def _filled(word: str, variables: Mapping[str, str]) -> str:
    for name, value in variables.items():
        word = re.sub(rf"\$(\({re.escape(name)}\)|\{{{re.escape(name)}\}}|{re.escape(name)}\b)", lambda _: value, word)  # noqa: B023 (called at once)
    return word


def _only(container: Json, variables: Mapping[str, Any]) -> Json:
    return {"env": [entry for entry in container["env"] if entry["name"] in variables]}


def _paths(name: str, keys: Sequence[str], spec: Json, container: Json) -> Iterator[tuple[str, str]]:
    """Yield (key, path) of where a container finds keys of a ConfigMap."""
    volumes = {str(volume.get("name")): volume for volume in cast("list[Json]", spec.get("volumes") or [])}
    for mount in cast("list[Json]", container.get("volumeMounts") or []):
        at, below = str(mount.get("mountPath", "")).rstrip("/"), str(mount.get("subPath") or "").strip("/")
        for key, path in _files(name, keys, volumes.get(str(mount.get("name")), {})):
            if not below or path == below or path.startswith(f"{below}/"):
                yield key, at + (path.removeprefix(below) if below else f"/{path}")


def _files(name: str, keys: Sequence[str], volume: Json) -> Iterator[tuple[str, str]]:
    """Yield (key, path in the volume) each time that a volume takes in one of the keys."""
    projected = cast("list[Json]", cast("Json", volume.get("projected") or {}).get("sources") or [])
    for source in (volume, *projected):
        found = cast("Json", source.get("configMap") or {})
        if found.get("name") != name:
            continue
        if not found.get("items"):
            yield from ((key, key) for key in keys)
        for item in cast("list[Json]", found.get("items") or []):
            if item.get("key") in keys:
                yield str(item["key"]), str(item["path"])


def _file(entry: Entry, path: str, place: str, container: Json) -> Iterator[Finding]:
    """Yield what a file is to the container that has it at `path`."""
    line = unwrapped([*container["command"], *container["args"]])
    if entry.is_program or path in _run(line, container):
        yield Finding("forbidden", f"it changes {entry.key}, which {place} has at {path}: {COMMAND}")
    elif any(fnmatchcase(path, glob) for glob in hazards().program_places):
        yield Finding(
            "forbidden", f"it changes {entry.key}, which {place} has at {path}: files there are run, loaded or trusted"
        )
    for flag, value in flag_values(line):
        hazard = flag_hazard(flag)
        if hazard is None or value != path:
            continue
        if hazard.name == _CONFIG:
            yield from flag_findings(f"{entry.key}, which {place} reads its flags from,", _flags(entry))
        else:
            yield Finding(
                hazard.risk,
                f"it changes {entry.key}, which {place} reads for --{hazard.name}: {hazard.why}",
                hazard.name,
            )


def _run(line: Sequence[str], container: Json) -> set[str]:
    """Return the paths that a container runs: its program, what an interpreter is given, the kubelet's commands."""
    name = program(line)
    words = [*line[:1], *(word for command in _kubelets(container) for word in command)]
    if is_python(name):
        words += python_code(line)
    elif name in hazards().programs:
        words += line
    folder = str(container.get("workingDir") or "/")
    return {posixpath.normpath(posixpath.join(folder, word)) for word in words}


def _kubelets(container: Json) -> Iterator[list[str]]:
    """Yield the commands of probes and hooks."""
    hooks = cast("Json", container.get("lifecycle") or {})
    for held in (*(container.get(probe) for probe in PROBES), hooks.get("postStart"), hooks.get("preStop")):
        execution = cast("Json", cast("Json", held or {}).get("exec") or {})
        yield [str(word) for word in cast("list[Any]", execution.get("command") or [])]


def _flags(entry: Entry) -> set[tuple[str, str]]:
    """Return the (flag, value) pairs that come or go in a file of flags; one that cannot be read counts as a flag."""
    found: list[set[tuple[str, str]]] = []
    for text in (entry.old, entry.new):
        try:
            held: Any = yaml.safe_load(text)
        except yaml.YAMLError:
            return {(_CONFIG, text)}
        if held is not None and not isinstance(held, dict):
            return {(_CONFIG, text)}
        fields = cast("dict[Any, Any]", held or {})
        found.append({(str(name).replace("_", "-").lower(), str(value)) for name, value in fields.items()})
    return found[0] ^ found[1]
