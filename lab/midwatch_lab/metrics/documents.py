"""YAML read field by field, as Go's decoder reads it into structures: strict, typed by the field, with places.

A field takes any scalar where it is text, null is the same as nothing, and a key twice is a fault. All faults are
gathered, each with its line.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any, cast

import yaml

from midwatch_contracts.promql import duration_ms

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_NULL = "tag:yaml.org,2002:null"
_TEXT = "tag:yaml.org,2002:str"
_MERGE = "tag:yaml.org,2002:merge"
_LARGEST = 2**63
_BASED = re.compile(r"([-+]?)(0[xX](?=[0-9a-fA-F])|0[oO](?=[0-7])|0[bB](?=[01])|0(?=[0-7]+\Z))([0-9a-fA-F]+)")
_DECIMAL = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_TRUE = frozenset({"true", "True", "TRUE"})
_FALSE = frozenset({"false", "False", "FALSE"})
_OLD_TRUE = frozenset({"y", "Y", "yes", "Yes", "YES", "on", "On", "ON"})
_OLD_FALSE = frozenset({"n", "N", "no", "No", "NO", "off", "Off", "OFF"})
_MERGES_MAX = 20

Node = yaml.Node


@dataclass(frozen=True)
class Problem:
    """What is wrong, and where: lines count from 1, 0 is the whole file."""

    line: int
    message: str

    def __str__(self) -> str:
        return f"{self.line}: {self.message}" if self.line else self.message


@dataclass
class Document:
    """One YAML document and what is wrong in it."""

    problems: list[Problem] = field(default_factory=list[Problem])

    def root(self, text: str) -> Node | None:
        """Return the first document's root, None where there is none or it is no YAML."""
        try:
            loader = _LOADER(text)
            try:
                found = _first_document(loader)
            finally:
                loader.dispose()
        except yaml.MarkedYAMLError as error:
            line = 0 if error.problem_mark is None else error.problem_mark.line + 1
            self.problems.append(Problem(line, f"this is not YAML: {error.problem or error.context}"))
            return None
        except (yaml.YAMLError, RecursionError, UnicodeError) as error:
            self.problems.append(Problem(0, f"this is not YAML: {error}"))
            return None
        return found

    def fault(self, node: Node | None, message: str) -> None:
        """Note a problem at a node."""
        self.problems.append(Problem(0 if node is None else line_of(node), message))

    def fields(self, node: Node | None, what: str, known: Collection[str] | None) -> dict[str, Node]:
        """Return a mapping's values by name; `known` (None: any) are the names that it may have."""
        if node is None or is_null(node):
            return {}
        if not isinstance(node, yaml.MappingNode):
            self.fault(node, f"{what} is a mapping" + (f" of {', '.join(sorted(known))}" if known else ""))
            return {}
        found: dict[str, Node] = {}
        for key, value in self._pairs(node, _MERGES_MAX):
            if known is not None and key not in known:
                names = ", ".join(sorted(known))
                self.fault(value, f"{what} has no field {key!r}; it has {names}")
            found[key] = value
        return found

    def _pairs(self, node: yaml.MappingNode, merges: int) -> list[tuple[str, Node]]:
        merged: list[tuple[str, Node]] = []
        own: list[tuple[str, Node]] = []
        seen: dict[str, Node] = {}
        for key, value in cast("list[tuple[Node, Node]]", node.value):
            if key.tag == _MERGE:
                merged += self._merged(value, merges)
                continue
            if not isinstance(key, yaml.ScalarNode):
                self.fault(key, "a key is plain text")
                continue
            if is_null(key):
                continue
            name = str(cast("Any", key).value)
            if name in seen:
                self.fault(key, f"{name!r} stands twice, first in line {line_of(seen[name])}")
            seen[name] = key
            own.append((name, value))
        return [pair for pair in merged if pair[0] not in seen] + own

    def _merged(self, node: Node, merges: int) -> list[tuple[str, Node]]:
        if merges == 0:
            self.fault(node, f"mappings are merged more than {_MERGES_MAX} deep")
            return []
        if isinstance(node, yaml.MappingNode):
            return self._pairs(node, merges - 1)
        parts = cast("list[Node]", node.value) if isinstance(node, yaml.SequenceNode) else []
        if not parts or not all(isinstance(part, yaml.MappingNode) for part in parts):
            self.fault(node, "<< takes a mapping, or a list of mappings")
            return []
        # What stands first counts.
        return [pair for part in reversed(parts) for pair in self._pairs(cast("yaml.MappingNode", part), merges - 1)]

    def items(self, node: Node | None, what: str) -> list[Node]:
        """Return a list's items; one that is null is none."""
        if node is None or is_null(node):
            return []
        if not isinstance(node, yaml.SequenceNode):
            self.fault(node, f"{what} is a list")
            return []
        return [item for item in cast("list[Node]", node.value) if not is_null(item)]

    def text(self, node: Node | None, what: str) -> str:
        """Return a scalar as it is written; nothing is an empty text."""
        if node is None or is_null(node):
            return ""
        if not isinstance(node, yaml.ScalarNode):
            self.fault(node, f"{what} is text")
            return ""
        return str(cast("Any", node).value)

    def texts(self, node: Node | None, what: str) -> dict[str, str]:
        """Return a mapping of text to text."""
        return {name: self.text(value, f"{what}: {name}") for name, value in self.fields(node, what, None).items()}

    def words(self, node: Node | None, what: str) -> list[str]:
        """Return a list of texts."""
        return [self.text(item, what) for item in self.items(node, what)]

    def seconds(self, node: Node | None, what: str) -> float | None:
        """Return a duration in seconds, None where there is none."""
        if node is None or is_null(node):
            return None
        given = self.text(node, what)
        found = 0 if given == "0" else duration_ms(given)
        if found is None:
            self.fault(node, f"{what} is a duration such as 30s or 5m, not {given!r}")
            return None
        return found / 1000

    def integer(self, node: Node | None, what: str, default: int = 0) -> int:
        """Return a whole number."""
        if node is None or is_null(node):
            return default
        found = _number(node)
        if found is None or not -_LARGEST <= found < _LARGEST:
            self.fault(node, f"{what} is a whole number")
            return default
        return int(found)

    def number(self, node: Node | None, what: str) -> float:
        """Return a number; nothing is 0."""
        if node is None or is_null(node):
            return 0.0
        found = _number(node)
        if found is None:
            self.fault(node, f"{what} is a number")
            return 0.0
        return found

    def truth(self, node: Node | None, what: str, *, default: bool) -> bool:
        """Return `true` or `false`."""
        if node is None or is_null(node):
            return default
        given = self.text(node, what)
        if given in _TRUE | _OLD_TRUE:
            return True
        if given not in _FALSE | _OLD_FALSE:
            self.fault(node, f"{what} is true or false")
        return False


def _first_document(loader: Any) -> Node | None:
    """Compose a document's nodes; of a name that is given twice the later counts, where PyYAML's own refuses it."""
    loader.get_event()
    if loader.check_event(yaml.StreamEndEvent):
        return None
    loader.get_event()
    return _composed(loader, {})


def _composed(loader: Any, anchors: dict[str, Node]) -> Node:
    event: Any = loader.get_event()
    if isinstance(event, yaml.AliasEvent):
        if event.anchor not in anchors:
            raise yaml.MarkedYAMLError(None, None, f"nothing is called {event.anchor!r}", cast("Any", event).start_mark)
        return anchors[event.anchor]
    scalar = isinstance(event, yaml.ScalarEvent)
    made: Any = yaml.MappingNode
    if not isinstance(event, yaml.MappingStartEvent):
        made = yaml.ScalarNode if scalar else yaml.SequenceNode
    value: Any = cast("Any", event).value if scalar else []
    tag: Any = cast("Any", event).tag
    if tag in (None, "!"):
        tag = loader.resolve(made, value if scalar else None, cast("Any", event).implicit)
    node: Any = made(tag, value, event.start_mark, event.end_mark)
    if scalar:
        node.style = cast("Any", event).style
    if event.anchor is not None:
        anchors[event.anchor] = node
    while isinstance(event, yaml.SequenceStartEvent) and not loader.check_event(yaml.SequenceEndEvent):
        value.append(_composed(loader, anchors))
    while isinstance(event, yaml.MappingStartEvent) and not loader.check_event(yaml.MappingEndEvent):
        key = _composed(loader, anchors)
        value.append((key, _composed(loader, anchors)))
    if not scalar:
        loader.get_event()
    return node


def is_null(node: Node) -> bool:
    """Say whether a node is null: nothing, `~`, `null`."""
    return node.tag == _NULL


def line_of(node: Node) -> int:
    """Return the line in which a node begins."""
    return int(node.start_mark.line) + 1


def _number(node: Node) -> float | None:
    if not isinstance(node, yaml.ScalarNode) or (cast("Any", node).style and node.tag == _TEXT):
        return None
    given = str(cast("Any", node).value).replace("_", "")
    special = {".nan": "nan", ".inf": "inf", "+.inf": "inf", "-.inf": "-inf"}.get(given.lower())
    if special is not None:
        return float(special)
    based = _BASED.fullmatch(given)
    if based is not None:
        base = 8 if based[2] in ("0", "0o", "0O") else 16 if based[2] in ("0x", "0X") else 2
        return float(int(based[1] + based[3], base))
    return float(given) if _DECIMAL.fullmatch(given) else None
