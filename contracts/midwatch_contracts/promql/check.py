"""The type rules of PromQL, applied as nodes are made."""

import difflib

from midwatch_contracts.errors import PromqlError
from midwatch_contracts.promql.ast import (
    COMPARISONS,
    SET_OPERATORS,
    Expr,
    Matching,
    ValueType,
    VectorSelector,
)
from midwatch_contracts.promql.features import Features
from midwatch_contracts.promql.functions import FUNCTIONS, Signature
from midwatch_contracts.promql.lexer import Token
from midwatch_contracts.promql.regex import matches_empty

_NAMES = {
    ValueType.SCALAR: "a scalar",
    ValueType.STRING: "a string",
    ValueType.VECTOR: "an instant vector",
    ValueType.MATRIX: "a range vector",
}
_NUMERIC = (ValueType.SCALAR, ValueType.VECTOR)
_PARAMETERS = {
    "topk": ValueType.SCALAR,
    "bottomk": ValueType.SCALAR,
    "limitk": ValueType.SCALAR,
    "limit_ratio": ValueType.SCALAR,
    "quantile": ValueType.SCALAR,
    "count_values": ValueType.STRING,
}


def sign(expr: Expr, position: int) -> None:
    """Refuse a sign before anything but numbers."""
    if expr.type not in _NUMERIC:
        raise PromqlError(f"a sign may not stand before {_NAMES[expr.type]}", position)


def not_all_metrics(selector: VectorSelector) -> None:
    """Refuse a selector without a name or a matcher that the empty string fails, lest a slip select every series."""
    if selector.name is not None:
        return
    for matcher in selector.matchers:
        if matcher.op in ("=", "!="):
            empty = (matcher.value == "") == (matcher.op == "=")
        else:
            empty = matches_empty(matcher.value) == (matcher.op == "=~")
        if not empty:
            return
    raise PromqlError("the selector would match every series: add a metric name or a non-empty matcher", selector.start)


def signature(name: Token, features: Features) -> Signature:
    """Return the signature of a function."""
    found = FUNCTIONS.get(name.text)
    if found is not None and found.experimental and not features.experimental_functions:
        raise PromqlError(
            f"the function {name.text} is experimental: enable it with promql-experimental-functions", name.start
        )
    if found is not None:
        return found
    near = difflib.get_close_matches(name.text, FUNCTIONS, n=1)
    raise PromqlError(f"unknown function {name.text}" + (f": did you mean {near[0]}?" if near else ""), name.start)


def arguments(name: Token, expected: Signature, args: tuple[Expr, ...]) -> None:
    """Check number and types of a call's arguments."""
    if len(args) < expected.least or (expected.most is not None and len(args) > expected.most):
        most = "more" if expected.most is None else str(expected.most)
        wanted = most if expected.most == expected.least else f"{expected.least} to {most}"
        raise PromqlError(f"{name.text} takes {wanted} arguments, not {len(args)}", name.start)
    if name.text == "info" and len(args) > 1 and (not isinstance(args[1], VectorSelector) or args[1].name is not None):
        raise PromqlError("info takes label matchers in braces as its second argument", args[1].start)
    for index, arg in enumerate(args):
        wanted_type = expected.args[min(index, len(expected.args) - 1)]
        if arg.type is not wanted_type:
            hint = ": add a range such as [5m]" if wanted_type is ValueType.MATRIX else ""
            raise PromqlError(
                f"{name.text} takes {_NAMES[wanted_type]} as argument {index + 1}, not {_NAMES[arg.type]}{hint}",
                arg.start,
            )


def aggregation(token: Token, args: tuple[Expr, ...]) -> tuple[Expr | None, Expr]:
    """Check an aggregation's arguments; return (parameter, vector)."""
    wanted = _PARAMETERS.get(token.kind)
    count = 1 if wanted is None else 2
    if len(args) != count:
        raise PromqlError(f"{token.text} takes {count} argument{'s' * (count > 1)}, not {len(args)}", token.start)
    if args[-1].type is not ValueType.VECTOR:
        raise PromqlError(f"{token.text} aggregates an instant vector, not {_NAMES[args[-1].type]}", args[-1].start)
    if wanted is None:
        return None, args[0]
    if args[0].type is not wanted:
        raise PromqlError(f"{token.text} takes {_NAMES[wanted]} first, not {_NAMES[args[0].type]}", args[0].start)
    return args[0], args[1]


def operation(
    operator: Token, left: Expr, right: Expr, *, return_bool: bool, matching: Matching | None
) -> Matching | None:
    """Check a binary operation; return its matching, None where it means nothing (`on()` beside a scalar)."""
    kind = operator.kind
    if kind in ("</", ">/"):
        raise PromqlError(f"{kind} works on native histograms only, which are not offered", operator.start)
    for side in (left, right):
        if side.type not in _NUMERIC:
            raise PromqlError(f"{kind} works on scalars and instant vectors, not on {_NAMES[side.type]}", side.start)
    scalars = (left.type is ValueType.SCALAR) + (right.type is ValueType.SCALAR)
    if kind in COMPARISONS and not return_bool and scalars == 2:  # noqa: PLR2004 (both sides)
        raise PromqlError(f"comparing two scalars needs bool: {kind} bool", operator.start)
    if kind in SET_OPERATORS:
        _refuse_in_sets(matching, operator, scalars)
    if scalars or kind in SET_OPERATORS:
        _refuse_fill(matching, operator)
    if scalars and matching is not None:
        if matching.labels:
            raise PromqlError("labels are matched between instant vectors only", operator.start)
        return None
    return matching


def _refuse_in_sets(matching: Matching | None, operator: Token, scalars: int) -> None:
    if scalars:
        raise PromqlError(f"{operator.kind} works on instant vectors only", operator.start)
    if matching is not None and matching.group is not None:
        raise PromqlError(f"{operator.kind} takes no group_left or group_right", operator.start)


def _refuse_fill(matching: Matching | None, operator: Token) -> None:
    if matching is not None and (matching.fill_left is not None or matching.fill_right is not None):
        raise PromqlError("fill stands between instant vectors only, and not with and, or, unless", operator.start)


def operation_type(left: Expr, right: Expr) -> ValueType:
    """Return the type of a binary operation."""
    both = left.type is ValueType.SCALAR and right.type is ValueType.SCALAR
    return ValueType.SCALAR if both else ValueType.VECTOR
