"""Queries broken into lines where they are long, as Prometheus's `format_query` breaks them."""

from dataclasses import replace

from midwatch_contracts.promql.ast import (
    Aggregate,
    Binary,
    Call,
    Expr,
    Matcher,
    Paren,
    Subquery,
    Unary,
    VectorSelector,
)
from midwatch_contracts.promql.printer import aggregate_head, format_expr, matcher_text, operator_text, subquery_suffix
from midwatch_contracts.promql.walk import rewritten

_WIDTH = 100


def pretty_expr(expr: Expr) -> str:
    """Return a query in Prometheus's layout: matchers sorted, nodes of more than 100 bytes on several lines."""
    return _pretty(rewritten(expr, _sorted), 0)


def _sorted(expr: Expr) -> Expr:
    if not isinstance(expr, VectorSelector):
        return expr

    def key(matcher: Matcher) -> bytes:
        return matcher_text(matcher).encode("utf-8", "surrogatepass")

    return replace(expr, matchers=tuple(sorted(expr.matchers, key=key)))


def _pretty(expr: Expr, level: int) -> str:  # noqa: PLR0911 (one case a kind of node)
    text, indent = format_expr(expr), "  " * level
    if isinstance(expr, Unary):
        return f"{indent}{expr.op}{_pretty(expr.expr, level).strip()}"
    long = len(text.encode("utf-8", "surrogatepass")) > _WIDTH
    if isinstance(expr, Subquery):
        return f"{_pretty(expr.expr, level)}{subquery_suffix(expr)}" if long else text
    if not long:
        return indent + text
    match expr:
        case Aggregate():
            parts = [expr.expr] if expr.param is None else [expr.param, expr.expr]
            inner = ",\n".join(_pretty(part, level + 1) for part in parts)
            return f"{indent}{aggregate_head(expr)}(\n{inner}\n{indent})"
        case Binary():
            left, right = _pretty(expr.left, level + 1), _pretty(expr.right, level + 1)
            return f"{left}\n{indent}{operator_text(expr)}\n{right}"
        case Call():
            inner = ",\n".join(_pretty(arg, level + 1) for arg in expr.args)
            return f"{indent}{expr.function}(\n{inner}\n{indent})"
        case Paren():
            return f"{indent}(\n{_pretty(expr.expr, level + 1)}\n{indent})"
        case _:
            return indent + text
