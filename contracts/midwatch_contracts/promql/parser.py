"""The parser of PromQL, as a default Prometheus 3.16 reads it: precedence climbing over the lexer's tokens.

What a default server refuses (experimental functions and aggregations, fill modifiers) is read where `Features` say so,
and otherwise refused by name; so are unquoted UTF-8 names and the native histograms' operators, which are not offered.
Types are checked as nodes are made. Nothing is guessed: what does not parse is an error with a position.
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
from midwatch_contracts.promql.features import DEFAULT_FEATURES, Features
from midwatch_contracts.promql.lexer import NAMEABLE, POINTS, Token, lex
from midwatch_contracts.promql.literals import unquote
from midwatch_contracts.promql.matching import label_names, read_matching
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


def parse(text: str, features: Features = DEFAULT_FEATURES) -> Expr:
    """Parse and type-check a query in the language of a server with these features on.

    Raises:
        PromqlError: with the zero-based character offset of what is wrong; also for a query nested too deep.
    """
    parser = _Parser(Cursor(lex(text)), features)
    if parser.cursor.peek.kind == "eof":
        raise PromqlError("the query is empty", 0)
    expr = parser.expression(0, 0)
    if parser.cursor.peek.kind != "eof":
        raise parser.cursor.unexpected("expected an operator or the end")
    return expr


class _Parser:
    """Recursive descent. `height` is that of the tree returned last, so that chains count towards the depth limit."""

    __slots__ = ("any_series", "cursor", "features", "height")

    def __init__(self, cursor: Cursor, features: Features) -> None:
        self.cursor = cursor
        self.features = features
        self.height = 0
        self.any_series = False
        """A selector may select every series: the second argument of `info` only narrows."""

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
            matching = read_matching(cursor, self.features)
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
            return NumberLiteral(-expr.value if sign.kind == "-" else expr.value, sign.start, expr.end, expr.unit)
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
            return NumberLiteral(value, token.start, token.end, kind == "duration")
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
            return self.call(token, depth)
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
        if not self.any_series:
            check.not_all_metrics(found)
        return found

    def arguments(self, depth: int, where: str, function: str = "") -> tuple[tuple[Expr, ...], int]:
        """Read `(a, b)`; return the arguments and the offset after the parenthesis."""
        cursor = self.cursor
        cursor.expect("(", where)
        found: list[Expr] = []
        height = 0
        while cursor.peek.kind != ")" or found:
            self.any_series = function == "info" and len(found) == 1
            found.append(self.expression(0, depth + 1))
            self.any_series = False
            height = max(height, self.height)
            if not cursor.accept(","):
                break
            if cursor.peek.kind == ")":
                raise cursor.unexpected("no comma may stand before the closing parenthesis")
        end = cursor.expect(")", "after the arguments").end
        self.grown(height + 1)
        return tuple(found), end

    def call(self, name: Token, depth: int) -> Call:
        signature = check.signature(name, self.features)
        args, end = self.arguments(depth, f"after {name.text}", name.text)
        check.arguments(name, signature, args)
        return Call(name.text, args, signature.returns, name.start, end)

    def aggregation(self, token: Token, depth: int) -> Aggregate:
        cursor = self.cursor
        cursor.next()
        if token.kind in EXPERIMENTAL_AGGREGATIONS and not self.features.experimental_functions:
            raise PromqlError(
                f"the aggregation {token.text} is experimental: enable it with promql-experimental-functions",
                token.start,
            )
        grouping: tuple[str, ...] | None = None
        without = False
        if cursor.peek.kind != "(":
            without = cursor.next().kind == "without"
            grouping = label_names(cursor, "after by or without")
        args, end = self.arguments(depth, "after the grouping")
        if grouping is None and cursor.peek.kind in ("by", "without"):
            without = cursor.next().kind == "without"
            grouping = label_names(cursor, "after by or without")
            end = cursor.tokens[cursor.index - 1].end
        param, expr = check.aggregation(token, args)
        return Aggregate(token.kind, expr, param, grouping or (), without, token.start, end)

    def bool_modifier(self, operator: Token) -> bool:
        if self.cursor.peek.kind != "bool":
            return False
        if operator.kind not in COMPARISONS:
            raise PromqlError("bool may stand after a comparison only", operator.start)
        self.cursor.next()
        return True


def _binary(operator: Token, left: Expr, right: Expr, *, return_bool: bool, matching: Matching | None) -> Binary:
    matching = check.operation(operator, left, right, return_bool=return_bool, matching=matching)
    result = check.operation_type(left, right)
    return Binary(operator.kind, left, right, return_bool, matching, result, left.start, right.end)
