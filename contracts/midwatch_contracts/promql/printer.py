"""Expressions as text, on one line, such that parsing the text gives the same tree."""

import re

from midwatch_contracts.promql.ast import (
    Aggregate,
    AtPoint,
    Binary,
    Call,
    Expr,
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
        case NumberLiteral():
            return number_literal(expr.value)
        case StringLiteral():
            return quote_value(expr.value)
        case VectorSelector():
            return _selector(expr) + _modifiers(expr.at, expr.offset_ms)
        case MatrixSelector():
            inner = expr.selector
            text = f"{_bare(inner)}[{duration_literal(expr.range_ms)}]{_extension(inner)}"
            return text + _modifiers(inner.at, inner.offset_ms)
        case Subquery():
            step = "" if expr.step_ms is None else duration_literal(expr.step_ms)
            text = f"{format_expr(expr.expr)}[{duration_literal(expr.range_ms)}:{step}]"
            return text + _modifiers(expr.at, expr.offset_ms)
        case Paren():
            return f"({format_expr(expr.expr)})"
        case Unary():
            return expr.op + format_expr(expr.expr)
        case Binary():
            modifiers = (" bool" if expr.return_bool else "") + _matching(expr.matching)
            return f"{format_expr(expr.left)} {expr.op}{modifiers} {format_expr(expr.right)}"
        case Call():
            return f"{expr.function}({', '.join(map(format_expr, expr.args))})"
        case Aggregate():
            return _aggregate(expr)


def label_name(name: str) -> str:
    """Return a label name as it stands in a grouping or a matcher: bare where it may be, else quoted."""
    return name if _LABEL.fullmatch(name) else quote_value(name)


def _bare(selector: VectorSelector) -> str:
    matchers = ", ".join(f"{label_name(m.name)}{m.op}{quote_value(m.value)}" for m in selector.matchers)
    return (selector.name or "") + (f"{{{matchers}}}" if matchers or selector.name is None else "")


def _extension(selector: VectorSelector) -> str:
    return "" if selector.extension is None else f" {selector.extension}"


def _selector(selector: VectorSelector) -> str:
    return _bare(selector) + _extension(selector)


def _modifiers(at: AtPoint, offset: int | None) -> str:
    text = ""
    if at is not None:
        text += f" @ {at}()" if isinstance(at, str) else f" @ {_at(at)}"
    return text if offset is None else f"{text} offset {duration_literal(offset)}"


def _at(milliseconds: int) -> str:
    whole, rest = divmod(abs(milliseconds), 1000)
    return f"{'-' * (milliseconds < 0)}{whole}.{rest:03d}"


def _labels(names: tuple[str, ...]) -> str:
    return f"({', '.join(map(label_name, names))})"


def _matching(matching: Matching | None) -> str:
    if matching is None:
        return ""
    text = f" {'on' if matching.on else 'ignoring'} {_labels(matching.labels)}"
    return text if matching.group is None else f"{text} group_{matching.group} {_labels(matching.include)}"


def _aggregate(expr: Aggregate) -> str:
    grouping = ""
    if expr.without or expr.grouping:
        grouping = f" {'without' if expr.without else 'by'} {_labels(expr.grouping)} "
    param = "" if expr.param is None else f"{format_expr(expr.param)}, "
    return f"{expr.op}{grouping}({param}{format_expr(expr.expr)})"
