"""A query's syntax tree as the HTTP API's `parse_query` shows it."""

from typing import Any

from midwatch_contracts.promql import (
    FUNCTIONS,
    SET_OPERATORS,
    Aggregate,
    Binary,
    Call,
    Duration,
    DurationLiteral,
    Expr,
    Matching,
    MatrixSelector,
    NumberLiteral,
    Paren,
    StringLiteral,
    Subquery,
    Unary,
    ValueType,
    VectorSelector,
    number_literal,
)


def tree(expr: Expr) -> dict[str, Any]:  # noqa: C901, PLR0911 (one case a kind of node)
    """Return a node and all below it."""
    match expr:
        case Aggregate():
            return {
                "type": "aggregation",
                "op": expr.op,
                "expr": tree(expr.expr),
                "param": None if expr.param is None else tree(expr.param),
                "grouping": list(expr.grouping),
                "without": expr.without,
            }
        case Binary():
            return _binary(expr)
        case Call():
            return _call(expr)
        case MatrixSelector():
            span = {"range": _written(expr.range_ms, expr.range_expr), "rangeExpr": _duration(expr.range_expr)}
            return {"type": "matrixSelector", **_selector(expr.selector), **span}
        case Subquery():
            return {
                "type": "subquery",
                "expr": tree(expr.expr),
                "range": _written(expr.range_ms, expr.range_expr),
                "rangeExpr": _duration(expr.range_expr),
                "step": _written(expr.step_ms, expr.step_expr),
                "stepExpr": _duration(expr.step_expr),
                **_read_at(expr),
            }
        case NumberLiteral():
            return {"type": "numberLiteral", "val": number_literal(expr.value)}
        case StringLiteral():
            return {"type": "stringLiteral", "val": expr.value}
        case Paren():
            return {"type": "parenExpr", "expr": tree(expr.expr)}
        case Unary():
            return {"type": "unaryExpr", "op": expr.op, "expr": tree(expr.expr)}
        case VectorSelector():
            return {"type": "vectorSelector", **_selector(expr)}


def _selector(expr: VectorSelector) -> dict[str, Any]:
    # The original keeps the matcher for a name before the braces behind the others.
    own = [m for m in expr.all_matchers() if m not in expr.matchers]
    return {
        "name": expr.name or "",
        "matchers": [{"name": m.name, "value": m.value, "type": m.op} for m in (*expr.matchers, *own)],
        "anchored": expr.extension == "anchored",
        "smoothed": expr.extension == "smoothed",
        **_read_at(expr),
    }


def _read_at(expr: VectorSelector | Subquery) -> dict[str, Any]:
    return {
        "offset": _written(expr.offset_ms, expr.offset_expr),
        "offsetExpr": _duration(expr.offset_expr),
        "timestamp": expr.at if isinstance(expr.at, int) else None,
        "startOrEnd": expr.at if isinstance(expr.at, str) else None,
    }


def _written(milliseconds: int | None, expr: Duration | None) -> int:
    """Return a duration that was written as a literal; what is computed stands beside it."""
    return 0 if expr is not None or milliseconds is None else milliseconds


def _duration(duration: Duration | None) -> dict[str, Any] | None:
    if duration is None:
        return None
    if isinstance(duration, DurationLiteral):
        return {"type": "numberLiteral", "val": number_literal(duration.seconds), "duration": duration.unit}
    return {
        "type": "durationExpr",
        "op": "+" if duration.op == "group" else duration.op,
        "lhs": _duration(duration.left),
        "rhs": _duration(duration.right),
        "wrapped": duration.wrapped,
    }


def _binary(expr: Binary) -> dict[str, Any]:
    vectors = expr.left.type is ValueType.VECTOR and expr.right.type is ValueType.VECTOR
    return {
        "type": "binaryExpr",
        "op": expr.op,
        "lhs": tree(expr.left),
        "rhs": tree(expr.right),
        "matching": _matching(expr) if vectors else None,
        "bool": expr.return_bool,
    }


def _matching(expr: Binary) -> dict[str, Any]:
    found = expr.matching or Matching(on=False, labels=())
    card = {"left": "many-to-one", "right": "one-to-many", None: "one-to-one"}[found.group]
    return {
        "card": "many-to-many" if expr.op in SET_OPERATORS else card,
        "labels": list(found.labels),
        "on": found.on,
        "include": list(found.include),
        "fillValues": {"lhs": found.fill_left, "rhs": found.fill_right},
    }


def _call(expr: Call) -> dict[str, Any]:
    signature = FUNCTIONS[expr.function]
    return {
        "type": "call",
        "func": {
            "name": expr.function,
            "argTypes": [kind.value for kind in signature.args],
            "variadic": signature.optional,
            "returnType": signature.returns.value,
        },
        "args": [tree(arg) for arg in expr.args],
    }
