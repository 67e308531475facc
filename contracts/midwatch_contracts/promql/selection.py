"""What stands in braces after a metric's name, and what modifies a selector behind it."""

import math
from dataclasses import replace
from typing import Literal, cast

from midwatch_contracts.errors import PromqlError
from midwatch_contracts.promql.ast import (
    AtPoint,
    Expr,
    Matcher,
    MatrixSelector,
    Subquery,
    ValueType,
    VectorSelector,
)
from midwatch_contracts.promql.cursor import Cursor
from midwatch_contracts.promql.durations import offset_ms, positive_ms, seconds_of
from midwatch_contracts.promql.lexer import NAMEABLE, Token, lex
from midwatch_contracts.promql.literals import unquote
from midwatch_contracts.promql.regex import matches_empty

POSTFIX = frozenset({"[", "offset", "@", "anchored", "smoothed"})
_MAX_MS = 2.0**63


def braces(cursor: Cursor) -> tuple[tuple[Matcher, ...], str | None, int]:
    """Read `{a="b", "metric"}`; return the matchers, the quoted metric's name if one stands there, and the end."""
    cursor.expect("{", "before matchers")
    matchers: list[Matcher] = []
    named: str | None = None
    while cursor.peek.kind != "}":
        token = cursor.next()
        if token.kind not in ("name", "string"):
            raise PromqlError(f"unexpected {token.text!r}: expected a label name or a closing brace", token.start)
        name = token.text if token.kind == "name" else unquote(token.text, token.start)
        if token.kind == "string" and cursor.peek.kind in (",", "}"):
            named = name
            matchers.append(Matcher("__name__", "=", name))
        else:
            matchers.append(_matcher(cursor, token, name))
        if not cursor.accept(","):
            break
    return tuple(matchers), named, cursor.expect("}", "after the matchers").end


def matchers_of(text: str) -> tuple[tuple[Matcher, ...], str | None]:
    """Read `name{matchers}`, which may select anything; return the matchers, and the name if one stands before them.

    Raises:
        PromqlError: when it is something else.
    """
    cursor = Cursor(lex(text))
    name = cursor.next().text if cursor.peek.kind == "name" or cursor.peek.kind in NAMEABLE else None
    matchers = braces(cursor)[0] if cursor.peek.kind == "{" else ()
    if cursor.peek.kind != "eof" or (name is None and not text.strip()):
        raise cursor.unexpected("expected a metric's name and labels in braces")
    return matchers, name


def _matcher(cursor: Cursor, token: Token, name: str) -> Matcher:
    operator = cursor.next()
    if operator.kind not in ("=", "!=", "=~", "!~"):
        raise PromqlError(f"expected =, !=, =~ or !~ after {token.text!r}", operator.start)
    literal = cursor.expect("string", f"after {operator.text}")
    value = unquote(literal.text, literal.start)
    if operator.kind in ("=~", "!~"):
        try:
            matches_empty(value)
        except PromqlError as error:
            raise PromqlError(str(error), literal.start) from error
    return Matcher(name, operator.kind, value)


def postfix(expr: Expr, cursor: Cursor) -> Expr:
    """Read one modifier behind `expr` and return what both make."""
    token = cursor.next()
    if token.kind == "[":
        return _brackets(expr, token, cursor)
    if token.kind == "offset":
        return _offset(expr, token, cursor)
    if token.kind == "@":
        return _at(expr, token, cursor)
    return _extended(expr, token)


def _brackets(expr: Expr, token: Token, cursor: Cursor) -> Expr:
    span, span_expr = positive_ms(cursor)
    if cursor.accept(":"):
        step, step_expr = (None, None) if cursor.peek.kind == "]" else positive_ms(cursor)
        end = cursor.expect("]", "after the step").end
        if expr.type is not ValueType.VECTOR:
            raise PromqlError(f"a subquery needs an instant vector, not a {expr.type}", token.start)
        return Subquery(expr, span, step, expr.start, end, range_expr=span_expr, step_expr=step_expr)
    end = cursor.expect("]", "after the range").end
    if not isinstance(expr, VectorSelector):
        raise PromqlError(
            "a range may follow a selector only; over an expression write a subquery: [5m:1m]", token.start
        )
    if expr.offset_ms is not None or expr.at is not None:
        raise PromqlError("offset and @ stand after the range, not before it", token.start)
    return MatrixSelector(expr, span, expr.start, end, span_expr)


def _offset(expr: Expr, token: Token, cursor: Cursor) -> Expr:
    value, written = offset_ms(cursor)
    end = cursor.tokens[cursor.index - 1].end
    target = _target(expr, token)
    if target.offset_ms is not None:
        raise PromqlError("offset stands twice", token.start)
    if isinstance(expr, MatrixSelector):
        return replace(expr, selector=replace(expr.selector, offset_ms=value, offset_expr=written), end=end)
    return replace(target, offset_ms=value, offset_expr=written, end=end)


def _at(expr: Expr, token: Token, cursor: Cursor) -> Expr:
    point: AtPoint
    following = cursor.next()
    if following.kind in ("start", "end"):
        cursor.expect("(", f"after {following.text}")
        cursor.expect(")", f"after {following.text}(")
        point = following.kind
    else:
        sign = -1.0 if following.kind == "-" else 1.0
        if following.kind in ("+", "-"):
            following = cursor.next()
        seconds = seconds_of(following)
        if seconds is None:
            raise PromqlError("expected a time after @: Unix seconds, start() or end()", following.start)
        point = _at_ms(sign * seconds, following.start)
    end = cursor.tokens[cursor.index - 1].end
    target = _target(expr, token)
    if target.at is not None:
        raise PromqlError("@ stands twice", token.start)
    if isinstance(expr, MatrixSelector):
        return replace(expr, selector=replace(expr.selector, at=point), end=end)
    return replace(target, at=point, end=end)


def _at_ms(seconds: float, position: int) -> int:
    """Round to milliseconds, halves away from zero."""
    if not math.isfinite(seconds) or abs(seconds) * 1000 >= _MAX_MS:
        raise PromqlError("the time after @ is out of range", position)
    return int(math.copysign(math.floor(abs(seconds) * 1000 + 0.5), seconds))


def _extended(expr: Expr, token: Token) -> Expr:
    if isinstance(expr, Subquery):
        raise PromqlError(f"{token.text} may not follow a subquery", token.start)
    target = _target(expr, token)
    if isinstance(target, Subquery):
        raise PromqlError(f"{token.text} may not follow a subquery", token.start)
    if target.extension is not None:
        raise PromqlError("anchored and smoothed stand once, and not together", token.start)
    selector = replace(target, extension=cast("Literal['anchored', 'smoothed']", token.kind), end=token.end)
    return replace(expr, selector=selector, end=token.end) if isinstance(expr, MatrixSelector) else selector


def _target(expr: Expr, token: Token) -> VectorSelector | Subquery:
    """Return what a modifier behind `expr` modifies."""
    if isinstance(expr, MatrixSelector):
        return expr.selector
    if isinstance(expr, VectorSelector | Subquery):
        return expr
    raise PromqlError(f"{token.text} may follow a selector or a subquery only", token.start)
