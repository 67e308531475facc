"""Edits a YAML or JSON text in place: only what changes is written anew, every other byte stays.

Each value that differs is found in the text and replaced, inserted or cut out there, in the style of what stands around
it. The outcome is read again before it is returned: what does not say exactly the wanted value is refused.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from typing import Any, cast

from midwatch_contracts.canonical import canonical_bytes
from midwatch_mcp.safe_apply.as_git import nodes
from midwatch_mcp.safe_apply.as_git.blocks import (
    block_lines,
    entry_lines,
    flow,
    habits_of,
    is_block,
    item_lines,
    literal,
    scalar,
)
from midwatch_mcp.safe_apply.as_git.lines import Lines
from midwatch_mcp.safe_apply.as_git.nodes import parsed
from midwatch_mcp.safe_apply.as_git.scalars import Style, written
from midwatch_mcp.safe_apply.errors import GitError
from midwatch_mcp.safe_apply.values import same


@dataclass(frozen=True)
class Slot:
    """Where a value stands: right `after` a colon or dash, whose key or dash is in `column`."""

    after: int
    column: int
    dash: bool = False
    flow: bool = False
    json: bool = False


def edited(text: str, name: str, number: int, value: Any) -> str:
    """Return a text whose document of a number (from 0) says `value`.

    Raises:
        GitError: it cannot be edited in place; `name` is the file's.
    """
    documents = parsed(text, name)
    splicer = _Splicer(text, name, documents[number].root)
    splicer.change(documents[number].root, documents[number].value, value, Slot(0, 0))
    wanted = [value if at == number else document.value for at, document in enumerate(documents)]
    for result in splicer.results():
        try:
            if same([document.value for document in parsed(result, name)], wanted):
                return result
        except GitError:
            continue
    raise GitError(f"{name}: the change cannot be written in place without touching what is around it: edit it by hand")


class _Splicer:
    """Collects the edits of one document."""

    def __init__(self, text: str, name: str, root: nodes.Node) -> None:
        self._name = name
        self._lines = Lines(text)
        self._habits = habits_of(root, self._lines.column)

    def results(self) -> Sequence[str]:
        """Return what comes of the edits."""
        return self._lines.results()

    def change(self, node: nodes.Node, old: Any, new: Any, slot: Slot) -> None:
        """Make a node say `new`."""
        if same(old, new):
            return
        if node.used or (node.tag and not isinstance(node, nodes.Scalar)):
            raise self._shared(node)
        match node:
            case nodes.Mapping() if isinstance(new, dict) and new:
                self._mapping(node, cast("dict[str, Any]", old), cast("dict[str, Any]", new), slot)
            case nodes.Sequence() if isinstance(new, list) and new:
                self._sequence(node, cast("list[Any]", old), cast("list[Any]", new), slot)
            case nodes.Scalar() if not isinstance(new, dict | list):
                self._scalar(node, new, slot)
            case _:
                self._swap(node, new, slot)

    def _shared(self, node: nodes.Node) -> GitError:
        line = self._lines.number(node.start)
        return GitError(
            f"{self._name}:{line}: the anchor &{node.anchor} is used at {node.used} other places, which would change "
            "with it: write the value out at those places first"
        )

    def _refuse_shared(self, gone: Sequence[nodes.Node]) -> None:
        for node in gone:
            for part in nodes.leaves(node):
                if part.used:
                    raise self._shared(part)

    # Scalars, and what becomes another kind of node

    def _scalar(self, node: nodes.Scalar, new: Any, slot: Slot) -> None:
        if node.style == "block":
            self._block_scalar(node, new, slot)
            return
        style: Style = "double" if slot.json else node.style
        start = node.start if node.tag else node.at
        self._inline(start, node.end, written(new, style, flow=slot.flow))

    def _block_scalar(self, node: nodes.Scalar, new: Any, slot: Slot) -> None:
        lines, end = self._lines, self._lines.next_line(self._lines.last(node))
        indent = lines.indent_below(node.at, end) or slot.column + self._habits.step
        text = literal(new, indent) if isinstance(new, str) else None
        if text is None:
            lines.edit(node.at, end, written(new) + lines.newline)
            return
        header = lines.text[node.at : lines.line_end(node.at)]
        comment = header.partition(" #")
        text[0] += f" #{comment[2]}" if comment[1] else ""
        lines.edit(node.at, end, "".join(line + lines.newline for line in text))

    def _inline(self, start: int, end: int, text: str) -> None:
        before = self._lines.text[start - 1 : start]
        gap = " " if start == end and before in (":", "-") else ""
        self._lines.edit(start, end, gap + text)

    def _swap(self, node: nodes.Node, new: Any, slot: Slot) -> None:
        """Put a value of another kind in the place of a node."""
        lines = self._lines
        self._refuse_shared([node])
        begins = lines.first(node)
        if slot.flow:
            lines.edit(node.start, node.end, flow(new, json=slot.json))
            return
        own_lines = lines.line_start(begins) > slot.after and isinstance(node, nodes.Mapping | nodes.Sequence)
        last = lines.last(node)
        # A block scalar ends behind the break of its last line, which stays.
        stop, end = min(node.end, lines.line_end(last)), lines.next_line(last)
        if not is_block(new):
            text = flow(new, json=False) if isinstance(new, dict | list) else written(new)
            if own_lines:
                lines.edit(slot.after, slot.after, f" {text}")
                lines.edit(lines.line_start(begins), end, "")
            else:
                self._inline(node.start, stop, text)
            return
        inner = slot.column + (self._habits.dashes_in if isinstance(new, list) else self._habits.step)
        fresh = block_lines(new, slot.column + 2 if slot.dash else inner, self._habits)
        whole = "".join(line + lines.newline for line in fresh)
        if own_lines:
            lines.edit(lines.line_start(begins), end, whole)
        elif slot.dash and not lines.text[stop : lines.line_end(stop)].strip(" "):
            self._inline(node.start, stop, lines.newline.join(fresh).lstrip(" "))
        else:
            lines.edit(slot.after, stop, "")
            lines.edit(end, end, whole)

    # Mappings

    def _mapping(self, node: nodes.Mapping, old: dict[str, Any], new: dict[str, Any], slot: Slot) -> None:
        own = {entry.key.text for entry in node.entries}
        lost = [key for key in old if key not in new and key not in own]
        if lost:
            raise GitError(f"{self._name}:{self._lines.number(node.start)}: {lost[0]!r} comes in by <<, not from here")
        gone = {at for at, entry in enumerate(node.entries) if entry.key.text not in new}
        added = {key: item for key, item in new.items() if key not in own and not (key in old and same(old[key], item))}
        if len(gone) == len(node.entries):
            if node.merged:
                raise GitError(f"{self._name}:{self._lines.number(node.start)}: only << would be left here")
            self._swap(node, new, slot)
            return
        self._refuse_shared([node.entries[at].value for at in gone])
        quoted = slot.json or (node.flow and all(entry.key.style == "double" for entry in node.entries))
        column = self._lines.column(node.entries[0].key.start)
        for at, entry in enumerate(node.entries):
            if at in gone:
                continue
            inner = Slot(entry.colon + 1, column, flow=node.flow, json=quoted)
            self.change(entry.value, old[entry.key.text], new[entry.key.text], inner)
        starts = [entry.key.start for entry in node.entries]
        values = [_at_least(entry.value, entry.colon + 1) for entry in node.entries]
        if node.flow:
            texts = [f"{scalar(key, json=quoted)}: {flow(item, json=quoted)}" for key, item in added.items()]
            self._lines.flow_parts(starts, values, gone, {len(starts): texts})
        else:
            fresh = [line for key, item in added.items() for line in entry_lines(key, item, column, self._habits)]
            self._lines.block_parts(starts, values, gone, {len(starts): fresh})

    # Sequences

    def _sequence(self, node: nodes.Sequence, old: list[Any], new: list[Any], slot: Slot) -> None:
        pairs, gone, added = aligned(old, new)
        if not pairs:
            self._swap(node, new, slot)
            return
        self._refuse_shared([node.items[at] for at in gone])
        json = slot.json or (node.flow and _all_double(node))
        column = self._lines.column(node.items[0].start if node.flow else node.dashes[0])
        for at, to in pairs:
            after = node.items[at].start if node.flow else node.dashes[at] + 1
            inner = Slot(after, column, dash=not node.flow, flow=node.flow, json=json)
            self.change(node.items[at], old[at], new[to], inner)
        if node.flow:
            style = _style(node.items)
            texts = {at: [_flow_item(new[to], style, json=json) for to in items] for at, items in added.items()}
            self._lines.flow_parts([item.start for item in node.items], node.items, gone, texts)
        else:
            style = _style(node.items)
            fresh = {
                at: [line for to in items for line in item_lines(new[to], column, self._habits, style)]
                for at, items in added.items()
            }
            values = [_at_least(item, dash + 1) for item, dash in zip(node.items, node.dashes, strict=True)]
            self._lines.block_parts(node.dashes, values, gone, fresh)


def _at_least(node: nodes.Node, end: int) -> nodes.Node:
    """Return a node that ends no earlier than its colon or dash, which an empty value does not always."""
    return node if node.end >= end else replace(node, end=end)


def _flow_item(value: Any, style: Style, *, json: bool) -> str:
    return written(value, style, flow=True) if isinstance(value, str) and not json else flow(value, json=json)


def _style(items: Sequence[nodes.Node]) -> Style:
    """Return the quotes that the texts of a list have, if they all have the same."""
    found = {item.style for item in items if isinstance(item, nodes.Scalar)}
    only = next(iter(found)) if len(found) == 1 else "plain"
    return only if only in ("single", "double") else "plain"


def _all_double(node: nodes.Node) -> bool:
    """Say whether a flow collection is written as JSON: its texts, and there are some, all in double quotes."""
    texts = [part.style for part in nodes.leaves(node) if isinstance(part, nodes.Scalar)]
    keys = [entry.key.style for part in nodes.leaves(node) if isinstance(part, nodes.Mapping) for entry in part.entries]
    return bool(keys) and all(style == "double" for style in keys) and "single" not in texts


def aligned(old: list[Any], new: list[Any]) -> tuple[list[tuple[int, int]], set[int], dict[int, list[int]]]:
    """Return which items of two lists belong together, which of `old` are gone, and which of `new` come before which.

    Items go by their `name`, if each has one of its own, else by their value, unless as many stay where they are.
    """
    named = _named(old) and _named(new)
    before, after = ([_identity(item, named=named) for item in items] for items in (old, new))
    matcher = SequenceMatcher(None, before, after, autojunk=False)
    in_place = sum(one == other for one, other in zip(before, after, strict=False))
    if len(old) == len(new) and in_place >= sum(block.size for block in matcher.get_matching_blocks()):
        return [(at, at) for at in range(len(old))], set(), {}
    pairs: list[tuple[int, int]] = []
    gone: set[int] = set()
    added: dict[int, list[int]] = {}
    for _, a1, a2, b1, b2 in matcher.get_opcodes():
        both = min(a2 - a1, b2 - b1)
        pairs += [(a1 + at, b1 + at) for at in range(both)]
        gone |= set(range(a1 + both, a2))
        if b1 + both < b2:
            added.setdefault(a2, []).extend(range(b1 + both, b2))
    return pairs, gone, added


def _named(items: list[Any]) -> bool:
    names = [cast("dict[str, Any]", item).get("name") for item in items if isinstance(item, dict)]
    texts = [name for name in names if isinstance(name, str)]
    return len(texts) == len(items) == len(set(texts))


def _identity(item: Any, *, named: bool) -> Any:
    return item["name"] if named else canonical_bytes(item)
