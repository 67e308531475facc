"""From text to a small tree: cel-python's grammar, without what the environment does not offer.

cel-python is imported when the first expression is compiled: it takes a quarter of a second, and `midwatch --help`
must not pay for it.
"""

import re
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any, cast

from midwatch_contracts.cel.nodes import (
    Binary,
    Call,
    Choice,
    Has,
    Index,
    Items,
    Literal,
    Macro,
    Member,
    Method,
    Name,
    Node,
    Pairs,
    Unary,
)
from midwatch_contracts.errors import CelError
from midwatch_contracts.times import parse_duration

if TYPE_CHECKING:
    from lark import Tree

MAX_TEXT = 4096
MAX_DEPTH = 64
MACROS = frozenset({"all", "exists", "exists_one", "filter", "map"})
FUNCTIONS: dict[str, tuple[int, int]] = {
    "size": (1, 1),
    "double": (1, 1),
    "string": (1, 1),
    "duration": (1, 1),
    "min": (2, 16),
    "max": (2, 16),
    "ceil": (1, 1),
    "floor": (1, 1),
    "abs": (1, 1),
}
"""Functions by name, with the fewest and the most arguments."""
METHODS: dict[str, tuple[int, int]] = {
    "size": (0, 0),
    "contains": (1, 1),
    "startsWith": (1, 1),
    "endsWith": (1, 1),
    "split": (1, 1),
    "sum": (0, 0),
    "min": (0, 0),
    "max": (0, 0),
    "join": (0, 1),
}
"""Methods by name, with the fewest and the most arguments."""


_OPERATORS = {
    "relation_lt": "<",
    "relation_le": "<=",
    "relation_gt": ">",
    "relation_ge": ">=",
    "relation_eq": "==",
    "relation_ne": "!=",
    "relation_in": "in",
    "addition_add": "+",
    "addition_sub": "-",
    "multiplication_mul": "*",
    "multiplication_div": "/",
    "multiplication_mod": "%",
}
_THROUGH = frozenset(
    {"expr", "conditionalor", "conditionaland", "relation", "addition", "multiplication", "unary", "member", "primary"}
    | {"paren_expr"}
)
"""Rules that stand for their only child."""
_REFUSED = {
    "member_object": 'messages (`Type{…}`) are not on offer: write an object as {"key": value}',
    "dot_ident": "a name does not start with a dot here: leave the dot out",
    "dot_ident_arg": "a function does not start with a dot here: leave the dot out",
}
_ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-3][0-7]{2})|(.))", re.DOTALL)
_SIMPLE = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_QUOTED = re.compile(r"\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])*'", re.DOTALL)


@cache
def _parser() -> Callable[[str], "Tree[Any]"]:
    from celpy.celparser import CELParser

    return cast("Callable[[str], Tree[Any]]", CELParser().parse)  # pyright: ignore[reportUnknownMemberType] (untyped there)


def parse(text: str) -> Node:
    """Parse an expression.

    Raises:
        CelError: with the position, for text that is no CEL or uses what the environment does not offer.
    """
    if not text.strip():
        raise CelError("the expression is empty", 0)
    if len(text) > MAX_TEXT:
        raise CelError(f"the expression has {len(text)} characters, more than {MAX_TEXT}: save parts under names", 0)
    _check_nesting(text)
    from celpy.celparser import CELParseError

    try:
        tree = _parser()(text)
    except CELParseError as error:
        at = _offset(text, error.line, error.column)
        rest = text[at : at + 20]
        where = f"at {rest!r}" if rest else "at its end"
        raise CelError(f"no CEL {where} (column {at + 1}) of: {text}", at) from error
    return _Builder(text).build(tree, 0)


def _check_nesting(text: str) -> None:
    """Refuse deep brackets before the parser builds a tree of them."""
    depth = 0
    for character in _QUOTED.sub("", text):
        depth += (character in "([{") - (character in ")]}")
        if depth > MAX_DEPTH:
            raise CelError(f"the expression nests deeper than {MAX_DEPTH}: save parts under names", 0)


def _offset(text: str, line: int | None, column: int | None) -> int:
    if line is None or column is None or line < 1 or column < 1:
        return len(text)
    lines = text.splitlines(keepends=True)
    return min(len(text), sum(map(len, lines[: line - 1])) + column - 1)


class _Builder:
    """Builds nodes from the tree of one text."""

    def __init__(self, text: str) -> None:
        self._text = text

    def build(self, tree: "Tree[Any]", depth: int) -> Node:
        while str(tree.data) in _THROUGH and len(tree.children) == 1:
            tree = tree.children[0]
        rule = str(tree.data)
        at: int = tree.meta.start_pos if not tree.meta.empty else 0
        if depth > MAX_DEPTH:
            raise CelError(f"the expression nests deeper than {MAX_DEPTH}: save parts under names", at)
        if rule in _REFUSED:
            raise CelError(f"{_REFUSED[rule]}: {self._text}", at)
        return getattr(self, f"_{rule}")(tree.children, at, depth + 1)

    def _all(self, tree: "Tree[Any] | None", depth: int) -> tuple[Node, ...]:
        return () if tree is None else tuple(self.build(child, depth) for child in tree.children)

    def _expr(self, children: list[Any], at: int, depth: int) -> Node:
        condition, yes, no = (self.build(child, depth) for child in children)
        return Choice(condition, yes, no, at)

    def _conditionalor(self, children: list[Any], at: int, depth: int) -> Node:
        return Binary("||", self.build(children[0], depth), self.build(children[1], depth), at)

    def _conditionaland(self, children: list[Any], at: int, depth: int) -> Node:
        return Binary("&&", self.build(children[0], depth), self.build(children[1], depth), at)

    def _relation(self, children: list[Any], at: int, depth: int) -> Node:
        head = children[0]
        return Binary(
            _OPERATORS[str(head.data)], self.build(head.children[0], depth), self.build(children[1], depth), at
        )

    _addition = _relation
    _multiplication = _relation

    def _unary(self, children: list[Any], at: int, depth: int) -> Node:
        operator = "!" if str(children[0].data) == "unary_not" else "-"
        return Unary(operator, self.build(children[1], depth), at)

    def _member_dot(self, children: list[Any], at: int, depth: int) -> Node:
        return Member(self.build(children[0], depth), str(children[1]), at)

    def _member_index(self, children: list[Any], at: int, depth: int) -> Node:
        return Index(self.build(children[0], depth), self.build(children[1], depth), at)

    def _member_dot_arg(self, children: list[Any], at: int, depth: int) -> Node:
        operand = self.build(children[0], depth)
        name = str(children[1])
        arguments = self._all(children[2] if len(children) > 2 else None, depth)  # noqa: PLR2004 (operand, name, list)
        if name in MACROS:
            if len(arguments) != 2 or not isinstance(arguments[0], Name):  # noqa: PLR2004 (variable, body)
                raise CelError(f"`{name}` takes a variable and an expression, as in list.{name}(x, x > 1)", at)
            return Macro(operand, name, arguments[0].name, arguments[1], at)
        _check_call(name, len(arguments), METHODS, "method", at)
        return Method(operand, name, arguments, at)

    def _ident_arg(self, children: list[Any], at: int, depth: int) -> Node:
        name = str(children[0])
        arguments = self._all(children[1] if len(children) > 1 else None, depth)
        if name == "has":
            if len(arguments) != 1 or not isinstance(arguments[0], Member):
                raise CelError("`has` takes one field, as in has(result.value)", at)
            return Has(arguments[0], at)
        _check_call(name, len(arguments), FUNCTIONS, "function", at)
        if name == "duration":
            return _duration(arguments[0], at)
        return Call(name, arguments, at)

    def _ident(self, children: list[Any], at: int, _depth: int) -> Node:
        return Name(str(children[0]), at)

    def _list_lit(self, children: list[Any], at: int, depth: int) -> Node:
        return Items(self._all(children[0] if children else None, depth), at)

    def _map_lit(self, children: list[Any], at: int, depth: int) -> Node:
        flat = self._all(children[0] if children else None, depth)
        return Pairs(tuple(zip(flat[::2], flat[1::2], strict=True)), at)

    def _literal(self, children: list[Any], at: int, _depth: int) -> Node:
        token = children[0]
        text = str(token)
        match str(token.type):
            case "BOOL_LIT":
                return Literal(text == "true", at)
            case "NULL_LIT":
                return Literal(None, at)
            case "INT_LIT":
                whole = int(text, 16 if "x" in text else 10)
                if abs(whole) >= 2**53:
                    raise CelError(f"{text} is too large to be an exact double", at)
                return Literal(float(whole), at)
            case "FLOAT_LIT":
                return Literal(float(text), at)
            case "STRING_LIT" | "MLSTRING_LIT":
                return Literal(_unquote(text, at), at)
            case kind:
                what = "unsigned integers" if kind == "UINT_LIT" else "bytes"
                raise CelError(f"{what} are not on offer: {text} should be a plain number or a string", at)


def _check_call(name: str, count: int, known: dict[str, tuple[int, int]], what: str, at: int) -> None:
    if name not in known:
        raise CelError(f"unknown {what} `{name}`: on offer are {', '.join(sorted(known))}", at)
    low, high = known[name]
    if not low <= count <= high:
        wanted = str(low) if low == high else f"{low} to {high}"
        raise CelError(f"the {what} `{name}` takes {wanted} argument(s), not {count}", at)


def _duration(argument: Node, at: int) -> Literal:
    if not isinstance(argument, Literal) or not isinstance(argument.value, str):
        raise CelError('`duration` takes a literal, as in duration("90s"); durations in names are seconds already', at)
    return Literal(parse_duration(argument.value), at, "seconds")


def _unquote(text: str, at: int) -> str:
    raw = text[0] in "rR"
    body = text[1:] if raw else text
    width = 3 if body[:3] in {'"""', "'''"} else 1
    body = body[width:-width]
    return body if raw else _ESCAPE.sub(lambda found: _unescape(found, at), body)


def _unescape(found: re.Match[str], at: int) -> str:
    two, four, eight, octal, plain = found.groups()
    if plain is not None:
        if plain not in _SIMPLE and plain not in "\\'\"`?":
            raise CelError(f"unknown escape {found[0]} in a string: write \\\\ for a backslash", at)
        return _SIMPLE.get(plain, plain)
    code = int(octal, 8) if octal else int(two or four or eight, 16)
    if code > 0x10FFFF or 0xD800 <= code <= 0xDFFF:  # noqa: PLR2004 (the bounds of Unicode)
        raise CelError(f"{found[0]} is no character", at)
    return chr(code)
