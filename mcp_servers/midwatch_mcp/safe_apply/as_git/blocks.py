"""New YAML in the habit of the text that it goes into: indentation of lists, step, quotes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from midwatch_mcp.safe_apply.as_git import nodes
from midwatch_mcp.safe_apply.as_git.scalars import Style, quoted, written


@dataclass(frozen=True)
class Habits:
    """How a text is laid out."""

    step: int = 2
    dashes_in: int = 2
    """How far the dashes of a list stand to the right of its key: 0 or more."""


def habits_of(root: nodes.Node, column: Any) -> Habits:
    """Return the habits of a document by the first example of each; `column` gives the column of an offset."""
    step = dashes_in = None
    for node in nodes.leaves(root):
        if not isinstance(node, nodes.Mapping) or node.flow:
            continue
        for entry in node.entries:
            value = entry.value
            if isinstance(value, nodes.Mapping) and not value.flow and value.entries and step is None:
                step = column(value.entries[0].key.start) - column(entry.key.start)
            if isinstance(value, nodes.Sequence) and not value.flow and dashes_in is None:
                dashes_in = column(value.dashes[0]) - column(entry.key.start)
    return Habits(step or 2, 2 if dashes_in is None else dashes_in)


def flow(value: Any, *, json: bool) -> str:
    """Return a value on one line; `json` quotes every text."""
    match value:
        case Mapping():
            entries = cast("Mapping[str, Any]", value).items()
            return "{" + ", ".join(f"{scalar(key, json=json)}: {flow(item, json=json)}" for key, item in entries) + "}"
        case list():
            return "[" + ", ".join(flow(item, json=json) for item in cast("list[Any]", value)) + "]"
        case _:
            return scalar(value, json=json)


def scalar(value: Any, *, json: bool) -> str:
    """Return a scalar inside of brackets."""
    return quoted(value) if json and isinstance(value, str) else written(value, flow=True)


def entry_lines(key: str, value: Any, column: int, habits: Habits) -> list[str]:
    """Return the lines of one entry of a block mapping."""
    head = f"{' ' * column}{written(key)}:"
    if not is_block(value):
        return _with_text(head, value, column + habits.step)
    inner = column + (habits.dashes_in if isinstance(value, list) else habits.step)
    return [head, *block_lines(value, inner, habits)]


def item_lines(value: Any, column: int, habits: Habits, style: Style = "plain") -> list[str]:
    """Return the lines of one item of a block sequence."""
    head = f"{' ' * column}-"
    if not is_block(value):
        return _with_text(head, value, column + habits.step, style)
    first, *rest = block_lines(value, column + 2, habits)
    return [f"{head} {first.lstrip(' ')}", *rest]


def block_lines(value: Any, column: int, habits: Habits) -> list[str]:
    """Return the lines of a mapping or sequence that is not empty."""
    if isinstance(value, Mapping):
        entries = cast("Mapping[str, Any]", value).items()
        return [line for key, item in entries for line in entry_lines(key, item, column, habits)]
    return [line for item in cast("list[Any]", value) for line in item_lines(item, column, habits)]


def is_block(value: Any) -> bool:
    """Say whether a value takes lines of its own."""
    return isinstance(value, Mapping | list) and bool(cast("Any", value))


def _with_text(head: str, value: Any, column: int, style: Style = "plain") -> list[str]:
    text = literal(value, column) if isinstance(value, str) else None
    if text is not None:
        return [f"{head} {text[0]}", *text[1:]]
    return [f"{head} {flow(value, json=False) if isinstance(value, Mapping | list) else written(value, style)}"]


def literal(text: str, column: int) -> list[str] | None:
    """Return a text of several lines as a literal block scalar, its header first; None where that cannot carry it."""
    body = text.rstrip("\n")
    lines = body.split("\n")
    if "\n" not in text or not body or lines[0][:1] in ("", " ") or not all(line.isprintable() for line in lines):
        return None
    ends = len(text) - len(body)
    chomp = "-" if ends == 0 else "" if ends == 1 else "+"
    filled = [" " * column + line if line else "" for line in lines]
    return [f"|{chomp}", *filled, *[""] * (ends - 1)]
