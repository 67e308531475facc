"""YAML as a tree of nodes that know where in the text they stand: the ground on which a text is edited in place.

Built from PyYAML's events rather than from its node graph, which forgets where an alias stood. What could be read in
two ways is refused: keys that stand twice, tags, keys that are no text; so is what would exhaust a reader.
"""

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, cast

import yaml
from yaml.parser import Parser
from yaml.reader import Reader
from yaml.scanner import Scanner

from midwatch_mcp.safe_apply.as_git.scalars import MARKS, Style, resolved
from midwatch_mcp.safe_apply.errors import GitError

MAX_NODES = 200_000
"""Of one file, aliases written out: 50 times the largest manifest of kube-prometheus."""
_DEEPEST = 64
_MERGE = "<<"
_BREAKS = "\n\r\x85\u2028\u2029"


@dataclass
class Node:
    """A part of the text, from `start` to `end` (character offsets; `end` of a block collection is its last leaf's)."""

    start: int
    end: int
    anchor: str = ""
    tag: str = ""
    used: int = 0
    """How many aliases stand for it."""


@dataclass
class Scalar(Node):
    """One scalar. `text` is what it says, `at` where its own text begins, behind anchor and tag."""

    text: str = ""
    style: Style = "plain"
    at: int = 0


@dataclass
class Alias(Node):
    """A place where another node stands once more."""

    target: Node = field(default_factory=lambda: Scalar(0, 0))


@dataclass
class Entry:
    """One key and its value."""

    key: Scalar
    colon: int
    value: Node


@dataclass
class Mapping(Node):
    """A block or flow mapping; `merged` is what `<<` takes in."""

    entries: list[Entry] = field(default_factory=list[Entry])
    merged: list[Node] = field(default_factory=list[Node])
    flow: bool = False

    def entry(self, key: str) -> Entry | None:
        """Return the entry of a key that stands here itself."""
        return next((entry for entry in self.entries if entry.key.text == key), None)


@dataclass
class Sequence(Node):
    """A block or flow sequence; `dashes` are the places of a block's dashes."""

    items: list[Node] = field(default_factory=list[Node])
    dashes: list[int] = field(default_factory=list[int])
    flow: bool = False


@dataclass(frozen=True)
class Document:
    """One document of a file, and its value as JSON data."""

    root: Node
    value: Any


class _Events(Reader, Scanner, Parser):
    """PyYAML's events, with the places of dashes and colons."""

    def __init__(self, text: str) -> None:
        Reader.__init__(self, text)
        Scanner.__init__(self)
        Parser.__init__(self)
        self.dashes: list[int] = []
        self.colons: list[int] = []

    def fetch_block_entry(self) -> None:
        self.dashes.append(self.index)
        super().fetch_block_entry()

    def fetch_value(self) -> None:
        self.colons.append(self.index)
        super().fetch_value()


def parsed(text: str, name: str) -> list[Document]:
    """Return the documents of a file; empty ones too. `name` stands in errors.

    Raises:
        GitError: it is no YAML, or none that means one thing only; names the line.
    """
    try:
        builder = _Builder(text, name)
        return builder.documents()
    except yaml.YAMLError as error:
        raise GitError(f"{name} is no YAML: {' '.join(str(error).split())[:300]}") from error
    except RecursionError as error:
        raise GitError(f"{name} is nested more than {_DEEPEST} levels deep") from error


class _Builder:
    def __init__(self, text: str, name: str) -> None:
        self._text = text
        self._name = name
        self._events = _Events(text)
        self._anchors: dict[str, Node] = {}
        self._count = 0

    def _next(self) -> Any:
        return cast("Any", self._events).get_event()

    def _refuse(self, what: str, at: int) -> GitError:
        return GitError(f"{self._name}:{self._text.count(chr(10), 0, at) + 1}: {what}")

    def documents(self) -> list[Document]:
        found: list[Document] = []
        self._next()  # the stream begins
        while not self._events.check_event(yaml.StreamEndEvent):
            self._next()  # the document begins
            self._anchors = {}
            root = self._node(0)
            self._next()
            self._count = 0
            found.append(Document(root, self._value(root, 0)))
        return found

    def _node(self, depth: int) -> Node:
        event = self._next()
        self._count += 1
        start = cast("int", event.start_mark.index)
        if self._count > MAX_NODES or depth > _DEEPEST:
            raise self._refuse("it is larger or nested deeper than any manifest", start)
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event, start)
        anchor, tag = event.anchor or "", event.tag or ""
        if isinstance(event, yaml.ScalarEvent):
            node: Node = self._scalar(event, start, anchor, tag)
        elif isinstance(event, yaml.MappingStartEvent):
            node = self._mapping(event, start, anchor, depth)
        else:
            node = self._sequence(event, start, anchor, depth)
        if tag and not isinstance(node, Scalar):
            raise self._refuse(f"the tag {tag} is not understood", start)
        if anchor:
            self._anchors[anchor] = node
        return node

    def _alias(self, event: Any, start: int) -> Alias:
        target = self._anchors.get(event.anchor)
        if target is None:
            raise self._refuse(f"*{event.anchor} stands for nothing that came before it", start)
        target.used += 1
        return Alias(start, event.end_mark.index, target=target)

    def _scalar(self, event: Any, start: int, anchor: str, tag: str) -> Scalar:
        at = start
        for _ in range(bool(anchor) + bool(tag)):
            while at < len(self._text) and self._text[at] not in f" {_BREAKS}":
                at += 1
            while at < len(self._text) and self._text[at] == " ":
                at += 1
        end = event.end_mark.index
        return Scalar(start, end, anchor, tag, text=event.value, style=MARKS[event.style], at=min(at, end))

    def _mapping(self, event: Any, start: int, anchor: str, depth: int) -> Mapping:
        node = Mapping(start, start, anchor, flow=bool(event.flow_style))
        seen: set[str] = set()
        while not self._events.check_event(yaml.MappingEndEvent):
            key = self._node(depth + 1)
            if not isinstance(key, Scalar) or self._text[: key.start].rstrip(" ").endswith("?") or key.style == "block":
                raise self._refuse("a key is no plain text", key.start)
            at = bisect_left(self._events.colons, key.end)
            value = self._node(depth + 1)
            colon = self._events.colons[at] if at < len(self._events.colons) else value.end
            if value.start <= colon:
                raise self._refuse("a key without a colon is not understood", key.start)
            if key.text == _MERGE and key.style == "plain":
                node.merged += value.items if isinstance(value, Sequence) else [value]
                node.end = max(node.end, value.end)
                continue
            if key.text in seen:
                raise self._refuse(
                    f"the key {key.text!r} stands twice, and readers differ in which one counts", key.start
                )
            seen.add(key.text)
            node.entries.append(Entry(key, colon, value))
            node.end = max(value.end, colon + 1)
        end = self._next()
        if node.flow:
            node.end = end.end_mark.index
        return node

    def _sequence(self, event: Any, start: int, anchor: str, depth: int) -> Sequence:
        node = Sequence(start, start, anchor, flow=bool(event.flow_style))
        while not self._events.check_event(yaml.SequenceEndEvent):
            item = self._node(depth + 1)
            node.items.append(item)
            if not node.flow:
                node.dashes.append(self._events.dashes[bisect_left(self._events.dashes, item.start) - 1])
            node.end = max(item.end, node.dashes[-1] + 1 if node.dashes else 0)
        end = self._next()
        if node.flow:
            node.end = end.end_mark.index
        return node

    # Values

    def _value(self, node: Node, depth: int) -> Any:
        self._count += 1
        if self._count > MAX_NODES or depth > _DEEPEST:
            raise self._refuse("with its aliases written out it is larger or deeper than any manifest", node.start)
        match node:
            case Alias():
                return self._value(node.target, depth + 1)
            case Scalar():
                return self._scalar_value(node)
            case Sequence():
                return [self._value(item, depth + 1) for item in node.items]
            case Mapping():
                found: dict[str, Any] = {}
                for merged in reversed(node.merged):
                    taken = self._value(merged, depth + 1)
                    if not isinstance(taken, dict):
                        raise self._refuse("<< takes in what is no mapping", merged.start)
                    found |= cast("dict[str, Any]", taken)
                return found | {entry.key.text: self._value(entry.value, depth + 1) for entry in node.entries}
            case _:
                raise self._refuse("it is not understood", node.start)

    def _scalar_value(self, node: Scalar) -> Any:
        if node.tag not in ("", "!", "tag:yaml.org,2002:str"):
            raise self._refuse(f"the tag {node.tag} is not understood", node.start)
        if node.style != "plain" or node.tag:
            try:
                # JSON writes a character beyond the first 65,536 as two.
                return node.text.encode("utf-16", "surrogatepass").decode("utf-16")
            except UnicodeDecodeError as error:
                raise self._refuse("half a character is no text", node.start) from error
        try:
            return resolved(node.text)
        except ValueError as error:
            raise self._refuse(str(error), node.start) from error


def leaves(node: Node) -> Iterator[Node]:
    """Yield every node below and including one, where it stands; what an alias stands for is elsewhere."""
    yield node
    if isinstance(node, Mapping):
        for entry in node.entries:
            yield from leaves(entry.value)
    elif isinstance(node, Sequence):
        for item in node.items:
            yield from leaves(item)
