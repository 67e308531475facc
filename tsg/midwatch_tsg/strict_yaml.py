"""YAML as guides use it: plain data with the line of every value, and nothing that surprises.

Refused: a key twice, anchors and aliases (a few lines of them expand to gigabytes), tags, and anything deeper or longer
than a guide needs. Plain scalars follow YAML 1.2: `yes`, `no` and `on` are text, `010` and `1:30` too.
"""

import re
from dataclasses import dataclass, field
from typing import Any

import yaml

MAX_CHARACTERS = 100_000
MAX_DEPTH = 24
Path = tuple[str | int, ...]

_INT = re.compile(r"[-+]?(0|[1-9][0-9]*)", re.ASCII)
_FLOAT = re.compile(r"[-+]?([0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))([eE][-+]?[0-9]+)?", re.ASCII)
_WORDS: dict[str, Any] = {"": None, "~": None, "null": None, "true": True, "false": False}


class YamlError(Exception):
    """Text is not the YAML that a guide may hold; `line` counts from 1 in the file."""

    def __init__(self, what: str, mend: str, line: int) -> None:
        super().__init__(what)
        self.what, self.mend, self.line = what, mend, line


@dataclass(frozen=True)
class Document:
    """Plain data, and the line in the file of each value by its path."""

    data: Any
    lines: dict[Path, int] = field(default_factory=dict[Path, int])

    def line(self, path: Path) -> int:
        """Return the line of a value, or of what holds it."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)


def load(text: str, first_line: int) -> Document:
    """Read YAML that starts on `first_line` of its file.

    Raises:
        YamlError: with the line, for what is no YAML or is refused.
    """
    if len(text) > MAX_CHARACTERS:
        raise YamlError(f"a block of {len(text)} characters", f"keep it under {MAX_CHARACTERS}", first_line)
    try:
        depth = 0
        for event in yaml.parse(text, Loader=yaml.SafeLoader):  # lazily, so that what is refused is not read on
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            _refuse(event, depth, first_line)
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = first_line + (mark.line if mark else 0)
        raise YamlError(f"no YAML: {error.problem or error}", "quote text that holds : # { } [ ] or `", line) from error
    except yaml.YAMLError as error:
        raise YamlError(f"no YAML: {error}", "remove characters that do not print", first_line) from error
    lines: dict[Path, int] = {(): first_line}
    return Document(None if node is None else _plain(node, (), first_line, lines), lines)


def _refuse(event: yaml.Event, depth: int, first_line: int) -> None:
    line = first_line + (event.start_mark.line if event.start_mark else 0)
    if depth > MAX_DEPTH:
        raise YamlError("the block nests too deeply", f"at most {MAX_DEPTH} levels", line)
    if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
        raise YamlError("anchors and aliases are not allowed", "write the value out where it is used", line)
    tag = getattr(event, "tag", None)
    if tag is not None:
        raise YamlError(f"the tag {tag} is not allowed", "leave it out: values are text, numbers, lists", line)
    if isinstance(event, yaml.DocumentStartEvent) and event.explicit:
        raise YamlError("a second YAML document", "keep one document in a block", line)


def _plain(node: yaml.Node, path: Path, first_line: int, lines: dict[Path, int]) -> Any:
    line = first_line + node.start_mark.line
    lines[path] = line
    match node:
        case yaml.ScalarNode():
            return _scalar(node)
        case yaml.SequenceNode():
            return [_plain(item, (*path, index), first_line, lines) for index, item in enumerate(node.value)]
        case yaml.MappingNode():
            return _mapping(node, path, first_line, lines)
        case _:
            raise YamlError("an unknown kind of value", "use text, numbers, lists and mappings", line)


def _mapping(node: yaml.MappingNode, path: Path, first_line: int, lines: dict[Path, int]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key_node, value_node in node.value:
        line = first_line + key_node.start_mark.line
        key = key_node.value
        if not isinstance(key_node, yaml.ScalarNode) or not isinstance(key, str):
            raise YamlError("a key that is no text", "use plain names as keys; quote a value that starts with {", line)
        if key in found:
            raise YamlError(f"the key `{key}` stands twice", "remove one of them: only one would count", line)
        found[key] = _plain(value_node, (*path, key), first_line, lines)
        lines[*path, key] = line
    return found


def _scalar(node: yaml.ScalarNode) -> Any:
    text: str = node.value
    if node.style is not None:
        return text
    if text in _WORDS:
        return _WORDS[text]
    if _INT.fullmatch(text):
        return int(text)
    return float(text) if _FLOAT.fullmatch(text) else text
