"""Walking the syntax tree: what stands below a node, and trees made from trees."""

from collections.abc import Callable
from dataclasses import replace

from midwatch_contracts.promql.ast import (
    Aggregate,
    Binary,
    Call,
    Expr,
    MatrixSelector,
    Paren,
    Subquery,
    Unary,
    VectorSelector,
)


def children(expr: Expr) -> tuple[Expr, ...]:
    """Return the direct sub-expressions in the order of the text."""
    match expr:
        case MatrixSelector():
            return (expr.selector,)
        case Subquery() | Paren() | Unary():
            return (expr.expr,)
        case Binary():
            return (expr.left, expr.right)
        case Call():
            return expr.args
        case Aggregate():
            return (expr.expr,) if expr.param is None else (expr.param, expr.expr)
        case _:
            return ()


def mapped(expr: Expr, change: Callable[[Expr], Expr]) -> Expr:
    """Return a node with `change` applied to its direct sub-expressions; it keeps the kind of a selector."""
    match expr:
        case MatrixSelector():
            selector = change(expr.selector)
            assert isinstance(selector, VectorSelector)  # noqa: S101 (as the docstring asks)
            return replace(expr, selector=selector)
        case Subquery() | Paren() | Unary():
            return replace(expr, expr=change(expr.expr))
        case Binary():
            return replace(expr, left=change(expr.left), right=change(expr.right))
        case Call():
            return replace(expr, args=tuple(map(change, expr.args)))
        case Aggregate():
            param = None if expr.param is None else change(expr.param)
            return replace(expr, param=param, expr=change(expr.expr))
        case _:
            return expr


def rewritten(expr: Expr, change: Callable[[Expr], Expr]) -> Expr:
    """Return a tree in which `change` has been applied to every node, the innermost first."""
    return change(mapped(expr, lambda child: rewritten(child, change)))


def selectors(expr: Expr) -> list[VectorSelector]:
    """Return every vector selector in the order of the text, those inside range selectors too."""
    if isinstance(expr, VectorSelector):
        return [expr]
    return [found for child in children(expr) for found in selectors(child)]


def metric_names(expr: Expr) -> list[str]:
    """Return the metric names that a query selects by equality, each once, in the order of the text."""
    names: dict[str, None] = {}
    for selector in selectors(expr):
        for matcher in selector.all_matchers():
            if matcher.name == "__name__" and matcher.op == "=":
                names[matcher.value] = None
    return list(names)
