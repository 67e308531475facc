"""What a pod template sets, as named values: flags of the command line, environment, resources, image (pure).

Flags are read as vLLM and most servers take them: `--flag=value`, `--flag value`, and a bare `--flag` (value `true`).
"""

import re
import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from midwatch_mcp.kubernetes.room import mapping, objects, text, texts

_SHELLS = frozenset({"sh", "bash", "/bin/sh", "/bin/bash", "/usr/bin/env"})
_NUMBER = re.compile(r"^-\d")


def flags_of(container: Mapping[str, Any]) -> dict[str, str]:
    """Return the flags of a container's command and arguments; of a flag given twice, the last."""
    return dict(_flags(_words(container)))


def settings_of(container: Mapping[str, Any]) -> dict[str, str]:
    """Return flags, `env:NAME`, `resources.limits.cpu` and the like, and `image`, as one map."""
    found = flags_of(container)
    for entry in objects(container.get("env")):
        found[f"env:{entry.get('name', '')}"] = _variable(entry)
    for part in ("limits", "requests"):
        for name, amount in mapping(container, "resources", part).items():
            found[f"resources.{part}.{name}"] = str(amount)
    found["image"] = str(container.get("image", ""))
    return found


def containers_of(template: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the containers of a pod template by name, init containers too."""
    spec = mapping(template, "spec")
    listed = [*objects(spec.get("initContainers")), *objects(spec.get("containers"))]
    return {str(container.get("name", "")): container for container in listed}


def beside_flags(container: Mapping[str, Any]) -> list[str]:
    """Return the words of a container's command line that are neither a flag nor a flag's value."""
    words = _words(container)
    beside: list[str] = []
    index = 0
    while index < len(words):
        if words[index].startswith("--") and words[index] != "--":
            index += 2 if _takes_next(words, index) else 1
        else:
            beside.append(words[index])
            index += 1
    return beside


def _words(container: Mapping[str, Any]) -> list[str]:
    words = [*texts(container, "command"), *texts(container, "args")]
    if words[:1] and words[0] in _SHELLS and "-c" in words[:-1]:
        script = words[words.index("-c") + 1]
        try:
            return shlex.split(script.replace("\\\n", " "))
        except ValueError:
            return script.split()
    return words


def _flags(words: list[str]) -> Iterator[tuple[str, str]]:
    for index, word in enumerate(words):
        if not word.startswith("--") or word == "--":
            continue
        name, equals, value = word.partition("=")
        if equals:
            yield name, value
        else:
            yield name, words[index + 1] if _takes_next(words, index) else "true"


def _takes_next(words: list[str], index: int) -> bool:
    """Say whether the word after a flag is its value."""
    following = words[index + 1] if index + 1 < len(words) else ""
    return (
        "=" not in words[index]
        and bool(following)
        and (not following.startswith("-") or bool(_NUMBER.match(following)))
    )


def _variable(entry: Mapping[str, Any]) -> str:
    source = mapping(entry, "valueFrom")
    kind = next(iter(source), None)
    if kind is None:
        return text(entry, "value")
    parts = [text(source, kind, name) for name in ("name", "key", "fieldPath", "resource")]
    return f"from {kind} {'/'.join(part for part in parts if part)}"
