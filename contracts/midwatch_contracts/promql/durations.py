"""Durations in brackets and after `offset`: literals, and arithmetic over them.

What is constant is computed while parsing. `step()` and `range()` stand for the query's own step and span, so what
depends on them is computed by `resolved`, once those are known.
"""

import math
import operator
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from midwatch_contracts.errors import PromqlError
from midwatch_contracts.promql.ast import (
    Duration,
    DurationLiteral,
    DurationOperation,
    Expr,
    MatrixSelector,
    Subquery,
    VectorSelector,
)
from midwatch_contracts.promql.lexer import Token
from midwatch_contracts.promql.literals import MAX_DURATION_MS, duration_ms, number_value
from midwatch_contracts.promql.walk import rewritten

if TYPE_CHECKING:
    from midwatch_contracts.promql.cursor import Cursor

_PRECEDENCE = {"+": 1, "-": 1, "*": 2, "/": 2, "%": 2, "^": 3}
_UNARY = 2


def seconds_of(token: Token) -> float | None:
    """Return the value of a number or duration token in seconds; None for other tokens."""
    if token.kind == "number":
        low = token.text.lower()
        return math.inf if low == "inf" else math.nan if low == "nan" else number_value(token.text)
    if token.kind == "duration":
        return (duration_ms(token.text) or 0) / 1000
    return None


def positive_ms(cursor: "Cursor") -> tuple[int, DurationOperation | None]:
    """Read the duration of a range or a step; return it and, where it was not a literal, what it was computed from.

    Raises:
        PromqlError: when it is no duration, or less than a millisecond.
    """
    start = cursor.peek.start
    found = _Reader(cursor).expression(0, 0)
    milliseconds = _constant_ms(found, start)
    if milliseconds is not None and milliseconds <= 0:
        raise PromqlError("a range or step must be at least a millisecond", start)
    return milliseconds or 0, _operation(found)


def offset_ms(cursor: "Cursor") -> tuple[int, DurationOperation | None]:
    """Read what follows `offset`: a signed literal, or a duration expression that starts with a parenthesis."""
    start = cursor.peek.start
    reader = _Reader(cursor)
    if cursor.peek.kind == "(":
        found = reader.expression(0, 0)
    else:
        signs: list[Token] = []
        while cursor.peek.kind in ("+", "-"):
            signs.append(cursor.next())
        found = reader.primary(0)
        for sign in reversed(signs):
            found = _signed(sign, found)
    return _constant_ms(found, start) or 0, _operation(found)


def resolved(expr: Expr, step_ms: int, span_ms: int) -> Expr:
    """Return `expr` with every duration computed for a query's step and span (both 0 for an instant query).

    Raises:
        PromqlError: when one is no duration then; the text is the original's.
    """

    def of(duration: DurationOperation | None, known: int, *, signed: bool) -> int:
        if duration is None or not _depends(duration):
            return known
        seconds = _value(duration, step_ms / 1000, span_ms / 1000)
        where = f"{duration.start}:{duration.end}"
        if not math.isfinite(seconds):
            raise PromqlError(f"{where}: duration is NaN or infinite")
        if seconds <= 0 and not signed:
            raise PromqlError(f"{where}: duration must be greater than 0")
        if abs(seconds) * 1000 > MAX_DURATION_MS:
            raise PromqlError(f"{where}: duration is out of range")
        return int(seconds * 1000)

    def leaf(node: Expr) -> Expr:
        match node:
            case VectorSelector(offset_expr=DurationOperation()):
                return replace(node, offset_ms=of(node.offset_expr, node.offset_ms or 0, signed=True))
            case MatrixSelector():
                return replace(node, range_ms=of(node.range_expr, node.range_ms, signed=False))
            case Subquery():
                step = None if node.step_ms is None else of(node.step_expr, node.step_ms, signed=False)
                offset = (
                    node.offset_ms
                    if node.offset_expr is None
                    else of(node.offset_expr, node.offset_ms or 0, signed=True)
                )
                return replace(
                    node, range_ms=of(node.range_expr, node.range_ms, signed=False), step_ms=step, offset_ms=offset
                )
            case _:
                return node

    return rewritten(expr, leaf)


def _operation(found: Duration) -> DurationOperation | None:
    return found if isinstance(found, DurationOperation) else None


def _parts(duration: Duration) -> Iterator[Duration]:
    yield duration
    if isinstance(duration, DurationOperation):
        for side in (duration.left, duration.right):
            if side is not None:
                yield from _parts(side)


def _depends(duration: Duration) -> bool:
    """Say whether a duration depends on the query's step or span."""
    return any(isinstance(part, DurationOperation) and part.op in ("step", "range") for part in _parts(duration))


def _constant_ms(found: Duration, position: int) -> int | None:
    """Truncate as Prometheus does: literals by way of nanoseconds, computed values straight to milliseconds."""
    if _depends(found):
        return None
    seconds = _value(found, 0.0, 0.0)
    if not math.isfinite(seconds) or abs(seconds) * 1000 > MAX_DURATION_MS:
        raise PromqlError("the duration is out of range (some 292 years)", position)
    computed = isinstance(found, DurationOperation)
    return int(seconds * 1000) if computed else int(round(seconds * 1e9) / 1_000_000)


_OPERATIONS: dict[str, Callable[[float, float], float]] = {
    "min_of": min,
    "max_of": max,
    "group": operator.add,
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": lambda left, right: left / right,
    "%": math.fmod,
    "^": math.pow,
}


def _value(duration: Duration, step_s: float, span_s: float) -> float:
    """Compute a duration in seconds; a side that is not there counts as nothing."""
    if isinstance(duration, DurationLiteral):
        return duration.seconds
    if duration.op in ("step", "range"):
        return step_s if duration.op == "step" else span_s
    left = 0.0 if duration.left is None else _value(duration.left, step_s, span_s)
    right = 0.0 if duration.right is None else _value(duration.right, step_s, span_s)
    try:
        return _OPERATIONS[duration.op](left, right)
    except (ZeroDivisionError, ValueError, OverflowError) as error:
        raise PromqlError(f"{left:g} {duration.op} {right:g} is no duration", duration.start) from error


def _signed(sign: Token, operand: Duration) -> Duration:
    """Put a sign before a duration; that of a literal is part of it."""
    if isinstance(operand, DurationLiteral):
        seconds = -operand.seconds if sign.kind == "-" else operand.seconds
        return DurationLiteral(seconds, operand.unit, sign.start, operand.end)
    if sign.kind == "+":
        return operand
    return DurationOperation("-", None, operand, wrapped=False, start=sign.start, end=operand.end)


class _Reader:
    """Precedence climbing over durations."""

    def __init__(self, cursor: "Cursor") -> None:
        self.cursor = cursor

    def expression(self, least: int, depth: int) -> Duration:
        self.cursor.check_depth(depth)
        left = self.primary(depth)
        while True:
            sign = self.cursor.peek
            precedence = _PRECEDENCE.get(sign.kind)
            if precedence is None or precedence < least:
                return left
            self.cursor.next()
            depth += 1
            right = self.expression(precedence if sign.kind == "^" else precedence + 1, depth)
            if sign.kind in ("/", "%") and isinstance(right, DurationLiteral) and right.seconds == 0:
                raise PromqlError("a duration is divided by zero", sign.start)
            left = DurationOperation(sign.kind, left, right, wrapped=False, start=left.start, end=right.end)

    def primary(self, depth: int) -> Duration:
        token = self.cursor.next()
        value = seconds_of(token)
        if value is not None:
            return DurationLiteral(value, token.kind == "duration", token.start, token.end)
        if token.kind in ("+", "-"):
            return _signed(token, self.expression(_UNARY + 1, depth + 1))
        if token.kind == "(":
            inner = self.expression(0, depth + 1)
            end = self.cursor.expect(")", "after a duration in parentheses").end
            if isinstance(inner, DurationLiteral):
                return DurationOperation("group", None, inner, wrapped=True, start=token.start, end=end)
            return replace(inner, wrapped=True, start=token.start, end=end)
        word = token.text.lower()
        if word in ("min_of", "max_of"):
            return self.choice(token, depth)
        if word in ("step", "range"):
            self.cursor.expect("(", f"after {word}")
            end = self.cursor.expect(")", f"after {word}(").end
            return DurationOperation(word, None, None, wrapped=False, start=token.start, end=end)
        raise PromqlError("expected a duration such as 5m or 90s", token.start)

    def choice(self, token: Token, depth: int) -> Duration:
        self.cursor.expect("(", f"after {token.text}")
        first = self.expression(0, depth + 1)
        self.cursor.expect(",", f"between the arguments of {token.text}")
        second = self.expression(0, depth + 1)
        end = self.cursor.expect(")", f"after the arguments of {token.text}").end
        return DurationOperation(token.text.lower(), first, second, wrapped=False, start=token.start, end=end)
