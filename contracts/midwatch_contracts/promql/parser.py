"""The parser of PromQL, as a default Prometheus 3.16 reads it: precedence climbing over the lexer's tokens.

What a default server refuses (experimental functions and aggregations, fill modifiers, unquoted UTF-8 names) is refused
by name; so are the few forms it accepts and we do not (`step()` and `range()` in durations, the native histograms'
operators). Types are checked as nodes are made. Nothing is guessed: what does not parse is an error with a position.
"""

from typing import Literal, cast

from midwatch_contracts.errors import PromqlError
from midwatch_contracts.promql import check
from midwatch_contracts.promql.ast import (
    AGGREGATIONS,
    COMPARISONS,
    EXPERIMENTAL_AGGREGATIONS,
    Aggregate,
    Binary,
    Call,
    Expr,
    Matching,
    NumberLiteral,
    Paren,
    StringLiteral,
    Unary,
    VectorSelector,
)
from midwatch_contracts.promql.cursor import Cursor
from midwatch_contracts.promql.durations import seconds_of
from midwatch_contracts.promql.lexer import KEYWORDS, NAMEABLE, POINTS, Token, lex
from midwatch_contracts.promql.literals import unquote
from midwatch_contracts.promql.selection import POSTFIX, braces, postfix

_PRECEDENCE: dict[str, int] = {
    "or": 1,
    "and": 2,
    "unless": 2,
    **dict.fromkeys(COMPARISONS, 3),
    "+": 4,
    "-": 4,
    "*": 5,
    "/": 5,
    "%": 5,
    "atan2": 5,
    "^": 6,
    "</": 3,
    ">/": 3,
}
_POWER = 6


def parse(text: str) -> Expr:
    """Parse and type-check a query.

    Raises:
        PromqlError: with the zero-based character offset of what is wrong; also for a query nested too deep.
    """
    parser = _Parser(Cursor(lex(text)))
    if parser.cursor.peek.kind == "eof":
        raise PromqlError("the query is empty", 0)
    expr = parser.expression(0, 0)
    if parser.cursor.peek.kind != "eof":
        raise parser.cursor.unexpected("expected an operator or the end")
    return expr


class _Parser:
    """Recursive descent. `height` is that of the tree returned last, so that chains count towards the depth limit."""

    __slots__ = ("cursor", "height")

    def __init__(self, cursor: Cursor) -> None:
        self.cursor = cursor
        self.height = 0

    def grown(self, height: int) -> None:
        """Record the height of a node just made."""
        self.height = height
        self.cursor.check_depth(height)

    def expression(self, least: int, depth: int) -> Expr:
        """Read operands joined by operators that bind at least as tightly as `least`."""
        cursor = self.cursor
        cursor.check_depth(depth)
        left = self.operand(depth)
        while True:
            operator = cursor.peek
            precedence = _PRECEDENCE.get(operator.kind)
            if precedence is None or precedence < least:
                return left
            cursor.next()
            height = self.height
            return_bool = self.bool_modifier(operator)
            matching = self.matching()
            right = self.expression(precedence if precedence == _POWER else precedence + 1, depth + 1)
            left = _binary(operator, left, right, return_bool=return_bool, matching=matching)
            self.grown(max(height, self.height) + 1)

    def operand(self, depth: int) -> Expr:
        """Read a signed or plain operand with its postfix modifiers."""
        cursor = self.cursor
        token = cursor.peek
        if token.kind in ("+", "-"):
            cursor.next()
            return self.signed(token, self.expression(_POWER, depth + 1))
        expr = self.primary(depth)
        while cursor.peek.kind in POSTFIX:
            expr = postfix(expr, cursor)
            self.grown(self.height + 1)
        return expr

    def signed(self, sign: Token, expr: Expr) -> Expr:
        if isinstance(expr, NumberLiteral):
            return NumberLiteral(-expr.value if sign.kind == "-" else expr.value, sign.start, expr.end)
        check.sign(expr, sign.start)
        self.grown(self.height + 1)
        return Unary(cast("Literal['+', '-']", sign.kind), expr, expr.type, sign.start, expr.end)

    def primary(self, depth: int) -> Expr:  # noqa: PLR0911 (one return a kind of operand)
        cursor = self.cursor
        token = cursor.peek
        kind = token.kind
        self.height = 0
        if kind == "name":
            cursor.next()
            if cursor.peek.kind == "(" and ":" not in token.text:
                return self.call(token, depth)
            return self.selector(token)
        if kind in ("number", "duration"):
            cursor.next()
            value = seconds_of(token)
            assert value is not None  # noqa: S101 (both kinds have a value)
            return NumberLiteral(value, token.start, token.end)
        if kind == "(":
            cursor.next()
            inner = self.expression(0, depth + 1)
            end = cursor.expect(")", "to close the parenthesis").end
            self.grown(self.height + 1)
            return Paren(inner, inner.type, token.start, end)
        if kind == "string":
            cursor.next()
            return StringLiteral(unquote(token.text, token.start), token.start, token.end)
        if kind == "{":
            return self.selector(None)
        if kind in NAMEABLE:
            return self.keyword(token, depth)
        raise cursor.unexpected("expected a selector, a function, a number or a parenthesis")

    def keyword(self, token: Token, depth: int) -> Expr:
        """Read an aggregation, or a metric that is named like a keyword."""
        following = self.cursor.after().kind
        if token.kind in AGGREGATIONS | EXPERIMENTAL_AGGREGATIONS and following in ("(", "by", "without"):
            return self.aggregation(token, depth)
        self.cursor.next()
        if following == "(" and token.kind in POINTS:
            raise PromqlError(f"the function {token.text} is experimental, and not offered", token.start)
        return self.selector(token)

    def selector(self, name: Token | None) -> VectorSelector:
        cursor = self.cursor
        start = name.start if name is not None else cursor.peek.start
        end = name.end if name is not None else start
        matchers, named = (), None
        if cursor.peek.kind == "{":
            matchers, named, end = braces(cursor)
        if name is not None and (named is not None or any(m.name == "__name__" for m in matchers)):
            raise PromqlError(f"the metric's name is set twice: {name.text!r} and inside the braces", start)
        found = VectorSelector(name.text if name is not None else None, matchers, start, end)
        check.not_all_metrics(found)
        return found

    def arguments(self, depth: int, where: str) -> tuple[tuple[Expr, ...], int]:
        """Read `(a, b)`; return the arguments and the offset after the parenthesis."""
        cursor = self.cursor
        cursor.expect("(", where)
        found: list[Expr] = []
        height = 0
        while cursor.peek.kind != ")" or found:
            found.append(self.expression(0, depth + 1))
            height = max(height, self.height)
            if not cursor.accept(","):
                break
            if cursor.peek.kind == ")":
                raise cursor.unexpected("no comma may stand before the closing parenthesis")
        end = cursor.expect(")", "after the arguments").end
        self.grown(height + 1)
        return tuple(found), end

    def call(self, name: Token, depth: int) -> Call:
        signature = check.signature(name)
        args, end = self.arguments(depth, f"after {name.text}")
        check.arguments(name, signature, args)
        return Call(name.text, args, signature.returns, name.start, end)

    def aggregation(self, token: Token, depth: int) -> Aggregate:
        cursor = self.cursor
        cursor.next()
        if token.kind in EXPERIMENTAL_AGGREGATIONS:
            raise PromqlError(f"the aggregation {token.text} is experimental, and not offered", token.start)
        grouping: tuple[str, ...] | None = None
        without = False
        if cursor.peek.kind != "(":
            without = cursor.next().kind == "without"
            grouping = self.labels("after by or without")
        args, end = self.arguments(depth, "after the grouping")
        if grouping is None and cursor.peek.kind in ("by", "without"):
            without = cursor.next().kind == "without"
            grouping = self.labels("after by or without")
            end = cursor.tokens[cursor.index - 1].end
        param, expr = check.aggregation(token, args)
        return Aggregate(token.kind, expr, param, grouping or (), without, token.start, end)

    def labels(self, where: str) -> tuple[str, ...]:
        """Read `(a, "b", sum)`."""
        cursor = self.cursor
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

    def bool_modifier(self, operator: Token) -> bool:
        if self.cursor.peek.kind != "bool":
            return False
        if operator.kind not in COMPARISONS:
            raise PromqlError("bool may stand after a comparison only", operator.start)
        self.cursor.next()
        return True

    def matching(self) -> Matching | None:
        cursor = self.cursor
        kind = cursor.peek.kind
        if kind not in ("on", "ignoring"):
            self.refuse_fill()
            return None
        position = cursor.next().start
        labels = self.labels(f"after {kind}")
        group: Literal["left", "right"] | None = None
        include: tuple[str, ...] = ()
        grouped = cursor.peek.kind
        if grouped in ("group_left", "group_right"):
            group = "left" if grouped == "group_left" else "right"
            if cursor.after().kind == "(":
                cursor.next()
                include = self.labels(f"after {grouped}")
            else:
                cursor.next()
        self.refuse_fill()
        both = set(labels) & set(include)
        if kind == "on" and both:
            raise PromqlError(f"the label {min(both)!r} must not stand in both on and group_{group}", position)
        return Matching(kind == "on", labels, group, include)

    def refuse_fill(self) -> None:
        token = self.cursor.peek
        if token.kind in ("fill", "fill_left", "fill_right") and self.cursor.after().kind == "(":
            raise PromqlError(f"{token.text} is experimental, and not offered", token.start)


def _binary(operator: Token, left: Expr, right: Expr, *, return_bool: bool, matching: Matching | None) -> Binary:
    matching = check.operation(operator, left, right, return_bool=return_bool, matching=matching)
    result = check.operation_type(left, right)
    return Binary(operator.kind, left, right, return_bool, matching, result, left.start, right.end)
