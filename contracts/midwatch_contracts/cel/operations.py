"""What operators, functions and methods do with values. Null and what is not there raise Missing, the rest CelError."""

import math
import operator
import re
from collections.abc import Callable
from typing import Any, cast

from midwatch_contracts.cel.nodes import Call, Member, Method, Node
from midwatch_contracts.cel.values import MAX_ITEMS, Missing, kind_of, number_text, read
from midwatch_contracts.errors import CelError

MAX_STRING = 65_536
_DECIMAL = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_ORDER: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_STRING_METHODS: dict[str, Callable[[str, str], bool]] = {
    "contains": lambda text, part: part in text,
    "startsWith": str.startswith,
    "endsWith": str.endswith,
}


def field(operand: Any, node: Member) -> Any:
    """Read a field of an object."""
    if operand is None:
        raise Missing
    if not isinstance(operand, dict):
        raise CelError(f"a {kind_of(operand)} has no field `{node.name}`", node.at)
    fields = cast("dict[str, Any]", operand)
    if node.name not in fields:
        raise Missing
    return read(fields[node.name])


def item(operand: Any, key: Any, node: Node) -> Any:
    """Read an item of a list, or a field of an object by its name."""
    match operand:
        case None:
            raise Missing
        case dict():
            fields = cast("dict[str, Any]", operand)
            name = text(key, node)
            if name not in fields:
                raise Missing
            return read(fields[name])
        case list():
            position = number(key, node)
            if not position.is_integer():
                raise CelError(f"a list index must be whole, not {position}", node.at)
            items = cast("list[Any]", operand)
            if not 0 <= position < len(items):
                raise Missing
            return read(items[int(position)])
        case _:
            raise CelError(f"a {kind_of(operand)} cannot be indexed", node.at)


def number(value: Any, node: Node) -> float:
    """Require a number."""
    if value is None:
        raise Missing
    if not isinstance(value, float):
        raise CelError(f"cannot calculate with a {kind_of(value)}: a number is needed", node.at)
    return value


def text(value: Any, node: Node) -> str:
    """Require a string."""
    if value is None:
        raise Missing
    if not isinstance(value, str):
        raise CelError(f"a string is needed here, not a {kind_of(value)}", node.at)
    return value


def walkable(value: Any, node: Node) -> list[Any]:
    """Return the items of a list, or the keys of an object as CEL's macros see them."""
    if value is None:
        raise Missing
    if not isinstance(value, list | dict):
        raise CelError(f"a list is needed here, not a {kind_of(value)}", node.at)
    items = list(cast("list[Any]", value))
    if len(items) > MAX_ITEMS:
        raise CelError(f"a list of {len(items)} items is too long to walk over: at most {MAX_ITEMS}", node.at)
    return items


def equal(left: Any, right: Any) -> bool:
    """Compare values of any kinds; values of different kinds differ."""
    if kind_of(left) != kind_of(right):
        return False
    if isinstance(left, list):
        pairs = zip(cast("list[Any]", left), right, strict=False)
        return len(cast("list[Any]", left)) == len(right) and all(equal(a, b) for a, b in pairs)
    if isinstance(left, dict):
        fields = cast("dict[str, Any]", left)
        return fields.keys() == right.keys() and all(equal(fields[key], right[key]) for key in fields)
    return left == right


def contained(item: Any, container: Any, node: Node) -> bool:
    """Say whether `item` is in a list or among an object's keys."""
    return any(equal(item, other) for other in walkable(container, node))


def add(left: Any, right: Any, node: Node) -> Any:
    """Add numbers, or join strings or lists."""
    if isinstance(left, str) and isinstance(right, str):
        return _bounded(left + right, node)
    if isinstance(left, list) and isinstance(right, list):
        return walkable(cast("list[Any]", left + right), node)
    return arithmetic("+", number(left, node), number(right, node), node)


def arithmetic(name: str, left: float, right: float, node: Node) -> float:
    """Calculate on doubles as IEEE 754 does; a result that is no number is missing."""
    match name:
        case "+":
            value = left + right
        case "-":
            value = left - right
        case "*":
            value = left * right
        case "/":
            value = _quotient(left, right)
        case _:
            if not (left.is_integer() and right.is_integer()) or not right:
                raise CelError(f"% needs whole numbers and a divisor other than zero, not {left} % {right}", node.at)
            value = math.fmod(left, right)
    if math.isnan(value):
        raise Missing
    return value


def _quotient(left: float, right: float) -> float:
    """Divide as IEEE 754 does, where Python raises."""
    if right:
        return left / right
    return math.copysign(math.inf, left) * math.copysign(1.0, right) if left else math.nan


def ordered(name: str, left: Any, right: Any, node: Node) -> bool:
    """Order two numbers or two strings."""
    if left is None or right is None:
        raise Missing
    if (isinstance(left, float) and isinstance(right, float)) or (isinstance(left, str) and isinstance(right, str)):
        return _ORDER[name](left, right)
    raise CelError(f"cannot order a {kind_of(left)} and a {kind_of(right)} by {name}", node.at)


def _bounded(text: str, node: Node) -> str:
    if len(text) > MAX_STRING:
        raise CelError(f"a string of {len(text)} characters is too long: at most {MAX_STRING}", node.at)
    return text


def call(node: Call, values: list[Any]) -> Any:  # noqa: PLR0911 (one case a function)
    """Call a function."""
    match node.name:
        case "size":
            return _size(values[0], node)
        case "double":
            return _double(values[0], node)
        case "string":
            return _string(values[0], node)
        case "min":
            return min(number(value, node) for value in values)
        case "max":
            return max(number(value, node) for value in values)
        case "abs":
            return abs(number(values[0], node))
        case name:
            value = number(values[0], node)
            if math.isinf(value):
                return value
            return float(math.ceil(value) if name == "ceil" else math.floor(value))


def _size(value: Any, node: Node) -> float:
    if value is None:
        raise Missing
    if not isinstance(value, str | list | dict):
        raise CelError(f"a {kind_of(value)} has no size", node.at)
    return float(len(cast("str | list[Any]", value)))


def _double(value: Any, node: Node) -> float:
    if isinstance(value, str):
        if not _DECIMAL.fullmatch(value):
            raise CelError(f"{value[:40]!r} is no number", node.at)
        return float(value)
    return number(value, node)


def _string(value: Any, node: Node) -> str:
    match value:
        case None:
            raise Missing
        case bool():
            return "true" if value else "false"
        case float():
            return number_text(value)
        case str():
            return value
        case _:
            raise CelError(f"a {kind_of(value)} has no text: take one of its fields", node.at)


def method(node: Method, operand: Any, arguments: list[Any]) -> Any:
    """Call a method."""
    if node.name == "size":
        return _size(operand, node)
    if node.name in _STRING_METHODS:
        return _STRING_METHODS[node.name](text(operand, node), text(arguments[0], node))
    if node.name == "split":
        separator = text(arguments[0], node)
        return walkable(text(operand, node).split(separator) if separator else list(text(operand, node)), node)
    items = walkable(operand, node)
    if node.name == "join":
        separator = text(arguments[0], node) if arguments else ""
        return _bounded(separator.join(text(item, node) for item in items), node)
    numbers = [number(read(item), node) for item in items]
    if node.name == "sum":
        return cast("float", read(sum(numbers)))
    if not numbers:
        raise Missing
    return min(numbers) if node.name == "min" else max(numbers)
