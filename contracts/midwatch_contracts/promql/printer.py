"""Expressions as text, on one line, such that parsing the text gives the same tree."""

import re

from midwatch_contracts.promql.ast import (
    Aggregate,
    AtPoint,
    Binary,
    Call,
    Duration,
    DurationLiteral,
    DurationOperation,
    Expr,
    Matcher,
    Matching,
    MatrixSelector,
    NumberLiteral,
    Paren,
    StringLiteral,
    Subquery,
    Unary,
    VectorSelector,
)
from midwatch_contracts.promql.literals import duration_literal, number_literal, quote_value

_LABEL = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def format_expr(expr: Expr) -> str:  # noqa: C901, PLR0911 (one case a kind of node)
    """Return a query's canonical text."""
    match expr:
        case NumberLiteral(unit=True):
            return duration_literal(round(expr.value * 1000))
        case NumberLiteral():
            return number_literal(expr.value)
        case StringLiteral():
            return quote_value(expr.value)
        case VectorSelector():
            return _bare(expr) + _at(expr.at) + _extension(expr) + _offset(expr.offset_ms, expr.offset_expr)
        case MatrixSelector():
            inner = expr.selector
            text = f"{_bare(inner)}[{_duration(expr.range_ms, expr.range_expr)}]{_extension(inner)}"
            return text + _modifiers(inner.at, inner.offset_ms, inner.offset_expr)
        case Subquery():
            return format_expr(expr.expr) + subquery_suffix(expr)
        case Paren():
            return f"({format_expr(expr.expr)})"
        case Unary():
            return expr.op + format_expr(expr.expr)
        case Binary():
            return f"{format_expr(expr.left)} {operator_text(expr)} {format_expr(expr.right)}"
        case Call():
            return f"{expr.function}({', '.join(map(format_expr, expr.args))})"
        case Aggregate():
            return _aggregate(expr)


def subquery_suffix(expr: Subquery) -> str:
    """Return what follows the expression of a subquery: brackets and modifiers."""
    step = "" if expr.step_ms is None else _duration(expr.step_ms, expr.step_expr)
    brackets = f"[{_duration(expr.range_ms, expr.range_expr)}:{step}]"
    return brackets + _modifiers(expr.at, expr.offset_ms, expr.offset_expr)


def operator_text(expr: Binary) -> str:
    """Return a binary operator with its modifiers."""
    return expr.op + (" bool" if expr.return_bool else "") + _matching(expr.matching)


def matcher_text(matcher: Matcher) -> str:
    """Return a matcher."""
    return f"{label_name(matcher.name)}{matcher.op}{quote_value(matcher.value)}"


def label_name(name: str) -> str:
    """Return a label name as it stands in a grouping or a matcher: bare where it may be, else quoted."""
    return name if _LABEL.fullmatch(name) else quote_value(name)


def _bare(selector: VectorSelector) -> str:
    matchers = ",".join(map(matcher_text, selector.matchers))
    return (selector.name or "") + (f"{{{matchers}}}" if matchers or selector.name is None else "")


def _extension(selector: VectorSelector) -> str:
    return "" if selector.extension is None else f" {selector.extension}"


def _modifiers(at: AtPoint, offset: int | None, written: DurationOperation | None) -> str:
    return _at(at) + _offset(offset, written)


def _offset(offset: int | None, written: DurationOperation | None) -> str:
    return "" if offset is None else f" offset {_duration(offset, written)}"


def _at(at: AtPoint) -> str:
    if at is None or isinstance(at, str):
        return "" if at is None else f" @ {at}()"
    whole, rest = divmod(abs(at), 1000)
    return f" @ {'-' * (at < 0)}{whole}.{rest:03d}"


def _duration(milliseconds: int, written: DurationOperation | None) -> str:
    return duration_literal(milliseconds) if written is None else _operation(written)


def _operation(duration: Duration | None) -> str:
    if duration is None:
        return ""
    if isinstance(duration, DurationLiteral):
        if duration.unit:
            return duration_literal(round(duration.seconds * 1000))
        return number_literal(duration.seconds)
    left, right = _operation(duration.left), _operation(duration.right)
    match duration.op:
        case "step" | "range":
            text = f"{duration.op}()"
        case "min_of" | "max_of":
            text = f"{duration.op}({left}, {right})"
        case "group":
            text = right
        case op:
            text = f"{left} {op} {right}" if left else op + right
    return f"({text})" if duration.wrapped else text


def _labels(names: tuple[str, ...]) -> str:
    return f"({', '.join(map(label_name, names))})"


def _matching(matching: Matching | None) -> str:
    if matching is None:
        return ""
    text = ""
    if matching.labels or matching.on or matching.group is not None:
        text = f" {'on' if matching.on else 'ignoring'} {_labels(matching.labels)}"
    if matching.group is not None:
        text += f" group_{matching.group} {_labels(matching.include)}"
    return text + _fill(matching)


def _fill(matching: Matching) -> str:
    left, right = matching.fill_left, matching.fill_right
    if left is not None and left == right:
        return f" fill ({number_literal(left)})"
    return "".join(
        f" {name} ({number_literal(value)})"
        for name, value in (("fill_left", left), ("fill_right", right))
        if value is not None
    )


def aggregate_head(expr: Aggregate) -> str:
    """Return an aggregation up to the parenthesis of its arguments."""
    grouping = ""
    if expr.without or expr.grouping:
        grouping = f" {'without' if expr.without else 'by'} {_labels(expr.grouping)} "
    return expr.op + grouping


def _aggregate(expr: Aggregate) -> str:
    param = "" if expr.param is None else f"{format_expr(expr.param)}, "
    return f"{aggregate_head(expr)}({param}{format_expr(expr.expr)})"
