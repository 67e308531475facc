"""What stands between a binary operator and its right side, and lists of label names."""

from dataclasses import replace
from typing import Literal

from midwatch_contracts.errors import PromqlError
from midwatch_contracts.promql.ast import Matching
from midwatch_contracts.promql.cursor import Cursor
from midwatch_contracts.promql.durations import seconds_of
from midwatch_contracts.promql.features import Features
from midwatch_contracts.promql.lexer import KEYWORDS
from midwatch_contracts.promql.literals import unquote

_FILLS = ("fill", "fill_left", "fill_right")


def label_names(cursor: Cursor, where: str) -> tuple[str, ...]:
    """Read `(a, "b", sum)`."""
    cursor.expect("(", where)
    names: list[str] = []
    while cursor.peek.kind != ")":
        token = cursor.peek
        if token.kind == "string":
            names.append(unquote(token.text, token.start))
        elif token.kind == "name" or token.kind in KEYWORDS:
            names.append(token.text)
        else:
            raise cursor.unexpected("expected a label name or a closing parenthesis")
        if not names[-1]:
            raise PromqlError("a label name must not be empty", token.start)
        cursor.next()
        if not cursor.accept(","):
            break
    cursor.expect(")", "after the label names")
    return tuple(names)


def read_matching(cursor: Cursor, features: Features) -> Matching | None:
    """Read `on`, `ignoring`, `group_left`, `group_right` and the fill modifiers; None where none stands."""
    found = _labels(cursor)
    if cursor.peek.kind not in _FILLS or cursor.after().kind != "(":
        return found
    if not features.fill_modifiers:
        raise PromqlError(
            f"{cursor.peek.text} is experimental: enable it with promql-binop-fill-modifiers", cursor.peek.start
        )
    return _fills(cursor, Matching(on=False, labels=()) if found is None else found)


def _labels(cursor: Cursor) -> Matching | None:
    kind = cursor.peek.kind
    if kind not in ("on", "ignoring"):
        return None
    position = cursor.next().start
    labels = label_names(cursor, f"after {kind}")
    group: Literal["left", "right"] | None = None
    include: tuple[str, ...] = ()
    grouped = cursor.peek.kind
    if grouped in ("group_left", "group_right"):
        group = "left" if grouped == "group_left" else "right"
        if cursor.after().kind == "(":
            cursor.next()
            include = label_names(cursor, f"after {grouped}")
        else:
            cursor.next()
    both = set(labels) & set(include)
    if kind == "on" and both:
        raise PromqlError(f"the label {min(both)!r} must not stand in both on and group_{group}", position)
    return Matching(kind == "on", labels, group, include)


def _fills(cursor: Cursor, matching: Matching) -> Matching:
    """Read `fill (v)`, or `fill_left (v)` and `fill_right (v)` in either order."""
    first = cursor.next()
    value = _fill_value(cursor)
    if first.kind == "fill":
        return replace(matching, fill_left=value, fill_right=value)
    other = "fill_right" if first.kind == "fill_left" else "fill_left"
    second = None
    if cursor.peek.kind == other and cursor.after().kind == "(":
        cursor.next()
        second = _fill_value(cursor)
    left, right = (value, second) if first.kind == "fill_left" else (second, value)
    return replace(matching, fill_left=left, fill_right=right)


def _fill_value(cursor: Cursor) -> float:
    cursor.expect("(", "before the value to fill with")
    sign = -1.0 if cursor.peek.kind == "-" else 1.0
    if cursor.peek.kind in ("+", "-"):
        cursor.next()
    token = cursor.next()
    value = seconds_of(token)
    if value is None:
        raise PromqlError("a series is filled with a number", token.start)
    cursor.expect(")", "after the value to fill with")
    return sign * value
