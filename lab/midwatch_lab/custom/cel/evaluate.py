"""Evaluation of a checked expression, within a budget, so that no rule keeps the server."""

import math
import operator
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, Final, cast

from midwatch_lab.custom.cel.library import FUNCTIONS, METHODS, Overload
from midwatch_lab.custom.cel.nodes import Binding, EvaluationError, Node
from midwatch_lab.custom.cel.values import Fields, TypeName, int64, kind_of

_STEPS: Final = 200_000
_ORDER: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip


def evaluate(node: Node, names: Binding) -> Any:
    """Return the value of an expression.

    Raises:
        EvaluationError: when it cannot be worked out.
    """
    return _Evaluation().value(node, names)


class _Evaluation:
    def __init__(self) -> None:
        self.left = _STEPS

    def value(self, node: Node, names: Binding) -> Any:  # noqa: C901, PLR0911, PLR0912 (one case an operation)
        self.left -= 1
        if self.left < 0:
            raise EvaluationError("operation cancelled: actual cost limit exceeded")
        match node.op:
            case "literal":
                return node.value
            case "name":
                return names[str(node.value)] if str(node.value) in names else TypeName(str(node.value))
            case "select":
                return _field(self.value(node.args[0], names), str(node.value))
            case "has":
                return _has(self.value(node.args[0], names), str(node.value))
            case "index":
                return _index(self.value(node.args[0], names), self.value(node.args[1], names))
            case "list":
                return [self.value(item, names) for item in node.args]
            case "map":
                parts = [self.value(item, names) for item in node.args]
                return dict(zip(parts[::2], parts[1::2], strict=True))
            case "macro":
                return self.macro(node, names)
            case "call":
                return _called(FUNCTIONS[str(node.value)], [self.value(part, names) for part in node.args])
            case "method":
                return self.method(node, names)
            case "?:":
                return self.value(node.args[1 if self.truth(node.args[0], names) else 2], names)
            case "!":
                return not self.truth(node.args[0], names)
            case "negate":
                return -self.value(node.args[0], names)
            case "&&" | "||":
                return self.decided([(part, names) for part in node.args], by=node.op == "||")
            case _:
                return _binary(node.op, self.value(node.args[0], names), self.value(node.args[1], names))

    def truth(self, node: Node, names: Binding) -> bool:
        found = self.value(node, names)
        if not isinstance(found, bool):
            raise EvaluationError("no such overload")
        return found

    def method(self, node: Node, names: Binding) -> Any:
        target = node.args[0]
        qualified = f"{target.value}.{node.value}"
        if target.op == "name" and str(target.value) not in names and qualified in FUNCTIONS:
            return _called(FUNCTIONS[qualified], [self.value(part, names) for part in node.args[1:]])
        return _called(METHODS[str(node.value)], [self.value(part, names) for part in node.args])

    def macro(self, node: Node, names: Binding) -> Any:
        target, body = node.args
        name, variables = node.value
        over = self.value(target, names)
        if isinstance(over, Fields):
            over = dict(over.found)
        if not isinstance(over, list | dict):
            raise EvaluationError("no such overload")
        if isinstance(over, dict):
            pairs: list[tuple[Any, Any]] = list(cast("dict[str, Any]", over).items())
        else:
            pairs = list(enumerate(cast("list[Any]", over)))
        if len(variables) > 1:
            scopes: list[Binding] = [{**names, variables[0]: key, variables[1]: item} for key, item in pairs]
        else:
            single = [key if isinstance(over, dict) else item for key, item in pairs]
            scopes = [{**names, variables[0]: item} for item in single]
        match name:
            case "map":
                return [self.value(body, scope) for scope in scopes]
            case "filter":
                return [scope[variables[0]] for scope in scopes if self.truth(body, scope)]
            case "all" | "exists":
                return self.decided([(body, scope) for scope in scopes], by=name == "exists")
            case _:
                return sum(self.truth(body, scope) for scope in scopes) == 1

    def decided(self, parts: Sequence[tuple[Node, Binding]], *, by: bool) -> bool:
        """Return `by` once one part is it, else its contrary; what decides may stand on either side of what fails.

        So are `||` and `exists`, and `&&` and `all`.
        """
        fault: EvaluationError | None = None
        for part, names in parts:
            try:
                if self.truth(part, names) is by:
                    return by
            except EvaluationError as error:
                fault = fault or error
        if fault is not None:
            raise fault
        return not by


def _field(operand: Any, name: str) -> Any:
    fields = operand.found if isinstance(operand, Fields) else operand
    if not isinstance(fields, dict):
        raise EvaluationError("no such overload")
    found = cast("dict[str, Any]", fields)
    if name not in found:
        raise EvaluationError(f"no such key: {name}")
    return found[name]


def _has(operand: Any, name: str) -> bool:
    fields = operand.found if isinstance(operand, Fields) else operand
    return isinstance(fields, dict) and name in fields


def _index(operand: Any, key: Any) -> Any:
    if isinstance(operand, list):
        items = cast("list[Any]", operand)
        if not isinstance(key, int) or isinstance(key, bool):
            raise EvaluationError("no such overload")
        if not 0 <= key < len(items):
            raise EvaluationError(f"index out of bounds: {key}")
        return items[key]
    return _field(operand, key)


def _kind_fits(parameter: str, value: Any) -> bool:
    outer = parameter.partition("<")[0]
    kind = kind_of(value)
    return outer in ("A", kind) or (outer == "map" and kind == "object")


def _called(forms: list[Overload], arguments: list[Any]) -> Any:
    plain = [dict(one.found) if isinstance(one, Fields) else one for one in arguments]
    for form in forms:
        if len(form.parameters) == len(plain) and all(map(_kind_fits, form.parameters, plain)):
            try:
                return form.run(*plain)
            except (ValueError, TypeError, OverflowError) as error:
                raise EvaluationError(f"no such overload: {error}") from error
    raise EvaluationError("no such overload")


def _equal(one: Any, two: Any) -> bool:
    if isinstance(one, Fields) and isinstance(two, Fields):
        one, two = one.found, two.found
    if isinstance(one, bool) is not isinstance(two, bool):
        return False
    if isinstance(one, list) and isinstance(two, list):
        ones, twos = cast("list[Any]", one), cast("list[Any]", two)
        return len(ones) == len(twos) and all(map(_equal, ones, twos))
    if isinstance(one, dict) and isinstance(two, dict):
        first, second = cast("dict[str, Any]", one), cast("dict[str, Any]", two)
        return first.keys() == second.keys() and all(_equal(first[key], second[key]) for key in first)
    return bool(one == two)


def _binary(name: str, one: Any, two: Any) -> Any:
    match name:
        case "==" | "!=":
            return _equal(one, two) is (name == "==")
        case "in":
            found = two.found if isinstance(two, Fields) else two
            if isinstance(found, dict):
                return one in found
            if not isinstance(found, list):
                raise EvaluationError("no such overload")
            return any(_equal(one, item) for item in cast("list[Any]", found))
        case "<" | "<=" | ">" | ">=":
            try:
                return bool(_ORDER[name](one, two))
            except TypeError as error:
                raise EvaluationError("no such overload") from error
        case _:
            return _arithmetic(name, one, two)


def _arithmetic(name: str, one: Any, two: Any) -> Any:
    if isinstance(one, bool) or isinstance(two, bool):
        raise EvaluationError("no such overload")
    if isinstance(one, int) and isinstance(two, int):
        return _whole(name, one, two)
    if name in ("*", "/", "%") and not (isinstance(one, float) and isinstance(two, float)):
        raise EvaluationError("no such overload")
    try:
        match name:
            case "+":
                return one + two
            case "-":
                return one - two
            case "*":
                return one * two
            case _:
                return math.copysign(math.inf, one) if two == 0 else one / two
    except (TypeError, OverflowError) as error:
        raise EvaluationError("no such overload" if not isinstance(one, timedelta) else "duration overflow") from error


def _whole(name: str, one: int, two: int) -> int:
    match name:
        case "+":
            return int64(one + two)
        case "-":
            return int64(one - two)
        case "*":
            return int64(one * two)
        case _:
            if two == 0:
                raise EvaluationError("division by zero" if name == "/" else "modulus by zero")
            quotient = abs(one) // abs(two) * (1 if (one < 0) is (two < 0) else -1)
            return int64(quotient) if name == "/" else one - quotient * two
