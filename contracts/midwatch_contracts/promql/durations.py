"""Durations in brackets and after `offset`: literals, and arithmetic over them, which is computed while parsing.

Duration expressions that depend on the query's own step or range (`step()`, `range()`) are refused by name.
"""

import math
from typing import TYPE_CHECKING

from midwatch_contracts.errors import PromqlError
from midwatch_contracts.promql.lexer import Token
from midwatch_contracts.promql.literals import MAX_DURATION_MS, duration_ms, number_value

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


def positive_ms(cursor: "Cursor") -> int:
    """Read the duration of a range or a step.

    Raises:
        PromqlError: when it is no duration, or less than a millisecond.
    """
    start = cursor.peek.start
    found, computed = _Duration(cursor).expression(0, 0)
    milliseconds = _milliseconds(found, start, computed=computed)
    if milliseconds <= 0:
        raise PromqlError("a range or step must be at least a millisecond", start)
    return milliseconds


def offset_ms(cursor: "Cursor") -> int:
    """Read what follows `offset`: a signed literal, or a duration expression that starts with a parenthesis."""
    start = cursor.peek.start
    reader = _Duration(cursor)
    if cursor.peek.kind == "(":
        found, _ = reader.expression(0, 0)
        return _milliseconds(found, start, computed=True)
    sign, computed = 1.0, False
    while cursor.peek.kind in ("+", "-"):
        sign = -sign if cursor.next().kind == "-" else sign
    if cursor.peek.kind in ("number", "duration"):
        found = seconds_of(cursor.next())
        assert found is not None  # noqa: S101 (both kinds have a value)
    else:
        found, computed = reader.primary(0)
    return _milliseconds(sign * found, start, computed=computed)


def _milliseconds(seconds: float, position: int, *, computed: bool) -> int:
    """Truncate as Prometheus does: literals by way of nanoseconds, computed values straight to milliseconds."""
    if not math.isfinite(seconds) or abs(seconds) * 1000 > MAX_DURATION_MS:
        raise PromqlError("the duration is out of range (some 292 years)", position)
    return int(seconds * 1000) if computed else int(round(seconds * 1e9) / 1_000_000)


class _Duration:
    """Precedence climbing over durations; every method returns (seconds, was it computed?)."""

    def __init__(self, cursor: "Cursor") -> None:
        self.cursor = cursor

    def expression(self, least: int, depth: int) -> tuple[float, bool]:
        self.cursor.check_depth(depth)
        left, computed = self.primary(depth)
        while True:
            operator = self.cursor.peek
            precedence = _PRECEDENCE.get(operator.kind)
            if precedence is None or precedence < least:
                return left, computed
            self.cursor.next()
            right, _ = self.expression(precedence if operator.kind == "^" else precedence + 1, depth + 1)
            left, computed = _compute(operator, left, right), True

    def primary(self, depth: int) -> tuple[float, bool]:
        token = self.cursor.next()
        value = seconds_of(token)
        if value is not None:
            return value, False
        if token.kind in ("+", "-"):
            literal = self.cursor.peek.kind in ("number", "duration")
            value, computed = self.expression(_UNARY + 1, depth + 1)
            return (-value if token.kind == "-" else value), computed or not literal
        if token.kind == "(":
            value, _ = self.expression(0, depth + 1)
            self.cursor.expect(")", "after a duration in parentheses")
            return value, True
        if token.text.lower() in ("min_of", "max_of"):
            return self.choice(token, depth)
        if token.kind in ("step", "range"):
            raise PromqlError(f"{token.kind}() in a duration is not offered: write the duration itself", token.start)
        raise PromqlError("expected a duration such as 5m or 90s", token.start)

    def choice(self, token: Token, depth: int) -> tuple[float, bool]:
        self.cursor.expect("(", f"after {token.text}")
        first, _ = self.expression(0, depth + 1)
        self.cursor.expect(",", f"between the arguments of {token.text}")
        second, _ = self.expression(0, depth + 1)
        self.cursor.expect(")", f"after the arguments of {token.text}")
        return (min if token.text.lower() == "min_of" else max)(first, second), True


def _compute(operator: Token, left: float, right: float) -> float:
    try:
        match operator.kind:
            case "+":
                return left + right
            case "-":
                return left - right
            case "*":
                return left * right
            case "/":
                return left / right
            case "%":
                return math.fmod(left, right)
            case _:
                return math.pow(left, right)
    except (ZeroDivisionError, ValueError, OverflowError) as error:
        raise PromqlError(f"{left:g} {operator.kind} {right:g} is no duration", operator.start) from error
