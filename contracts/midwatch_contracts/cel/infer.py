"""Static types and units of expressions.

A unit is known or not. A literal is plain ("none") and goes with every unit, so that `0.5 * objective` stays seconds; a
number of unknown unit (None) goes with everything and makes what it is multiplied with unknown. Seconds are never
compared with bytes.
"""

import difflib
from collections.abc import Mapping
from dataclasses import replace

from midwatch_contracts.cel.nodes import (
    Binary,
    Call,
    Choice,
    Has,
    Index,
    Items,
    Literal,
    Macro,
    Member,
    Method,
    Name,
    Node,
    Pairs,
    Unary,
)
from midwatch_contracts.cel.types import ANY, BOOL, NULL, NUMBER, STRING, Type, Unit, list_of, number, object_of
from midwatch_contracts.errors import CelError

_PLAIN = Type("number", "none")
_COUNT = Type("number", "count")


def infer(node: Node, names: Mapping[str, Type]) -> Type:  # noqa: C901, PLR0911, PLR0912 (one case a kind of node)
    """Return the type of an expression over `names`.

    Raises:
        CelError: with the position, for an undefined name or field, kinds that do not fit, or units that clash.
    """
    match node:
        case Literal():
            return _literal(node)
        case Name():
            return _name(node, names)
        case Member():
            return _member(infer(node.operand, names), node)
        case Index():
            return _index(infer(node.operand, names), infer(node.key, names), node)
        case Has():
            _member(infer(node.member.operand, names), node.member)
            return BOOL
        case Unary():
            wanted = BOOL if node.operator == "!" else NUMBER
            got = infer(node.operand, names)
            _need(got, wanted, node.operand, f"`{node.operator}`")
            return BOOL if node.operator == "!" else _as_number(got)
        case Binary():
            return _binary(node, infer(node.left, names), infer(node.right, names))
        case Choice():
            _need(infer(node.condition, names), BOOL, node.condition, "a condition")
            return _unified(infer(node.yes, names), infer(node.no, names), node, "the two sides of `?:`")
        case Call():
            return _call(node, [infer(argument, names) for argument in node.arguments])
        case Method():
            return _method(node, infer(node.operand, names), [infer(argument, names) for argument in node.arguments])
        case Macro():
            return _macro(node, infer(node.operand, names), names)
        case Items():
            items = [infer(item, names) for item in node.items]
            item = items[0] if items and all(i.kind == items[0].kind for i in items) else ANY
            return list_of(replace(item, unit=item.unit if len({i.unit for i in items}) == 1 else None))
        case Pairs():
            return _pairs(node, names)


def _literal(node: Literal) -> Type:
    match node.value:
        case None:
            return NULL
        case bool():
            return BOOL
        case str():
            return STRING
        case _:
            return number("seconds") if node.unit == "seconds" else _PLAIN


def _name(node: Name, names: Mapping[str, Type]) -> Type:
    if node.name in names:
        return names[node.name]
    near = difflib.get_close_matches(node.name, names, n=3) or sorted(names)
    hint = f"known are {', '.join(near)}" if near else "no names are known here"
    raise CelError(f"undefined name `{node.name}`: {hint}", node.at)


def _member(operand: Type, node: Member) -> Type:
    match operand.kind:
        case "any":
            return ANY
        case "map":
            return operand.item or ANY
        case "object":
            if node.name in operand.fields:
                return operand.fields[node.name]
            if operand.open:
                return ANY
            near = difflib.get_close_matches(node.name, operand.fields, n=3) or sorted(operand.fields)
            raise CelError(f"there is no field `{node.name}`: the fields are {', '.join(near) or 'none'}", node.at)
        case _:
            raise CelError(f"a {operand} has no field `{node.name}`", node.at)


def _index(operand: Type, key: Type, node: Index) -> Type:
    match operand.kind:
        case "any":
            return ANY
        case "list":
            _need(key, NUMBER, node.key, "a list index")
            return operand.item or ANY
        case "map":
            _need(key, STRING, node.key, "an object's key")
            return operand.item or ANY
        case "object":
            _need(key, STRING, node.key, "an object's key")
            if isinstance(node.key, Literal):
                return _member(operand, Member(node.operand, str(node.key.value), node.at))
            return ANY
        case _:
            raise CelError(f"a {operand} cannot be indexed", node.at)


def _need(got: Type, wanted: Type, node: Node, what: str) -> None:
    if got.kind not in {"any", wanted.kind}:
        raise CelError(f"{what} needs a {wanted.kind}, not a {got}", node.at)


def _as_number(got: Type) -> Type:
    return number(got.unit) if got.kind == "number" else NUMBER


def _binary(node: Binary, left: Type, right: Type) -> Type:
    match node.operator:
        case "&&" | "||":
            _need(left, BOOL, node.left, f"`{node.operator}`")
            _need(right, BOOL, node.right, f"`{node.operator}`")
            return BOOL
        case "==" | "!=":
            if "null" not in {left.kind, right.kind}:
                _unified(left, right, node, f"`{node.operator}`")
            return BOOL
        case "<" | "<=" | ">" | ">=":
            for side, operand in ((left, node.left), (right, node.right)):
                if side.kind not in {"any", "number", "string"}:
                    raise CelError(f"`{node.operator}` orders numbers or strings, not a {side}", operand.at)
            _unified(left, right, node, f"`{node.operator}`")
            return BOOL
        case "in":
            if right.kind not in {"any", "list", "map", "object"}:
                raise CelError(f"`in` needs a list or an object on its right, not a {right}", node.right.at)
            return BOOL
        case "+" if left.kind in {"string", "list"}:
            return _unified(left, right, node, "`+`")
        case _:
            return _calculated(node, left, right)


def _calculated(node: Binary, left: Type, right: Type) -> Type:
    _need(left, NUMBER, node.left, f"`{node.operator}`")
    _need(right, NUMBER, node.right, f"`{node.operator}`")
    if node.operator in {"+", "-", "%"}:
        return _unified(_as_number(left), _as_number(right), node, f"`{node.operator}`")
    pair = (left.unit, right.unit)
    return number(_PRODUCT.get(pair) if node.operator == "*" else _quotient_unit(*pair))


def _products() -> dict[tuple[Unit | None, Unit | None], Unit]:
    units: tuple[Unit, ...] = ("seconds", "bytes", "cores", "ratio", "count", "per_second", "none")
    table: dict[tuple[Unit | None, Unit | None], Unit] = {}
    for unit in units:
        table["count", unit] = table[unit, "count"] = unit
    for unit in units:
        table["ratio", unit] = table[unit, "ratio"] = unit
    for unit in units:
        table["none", unit] = table[unit, "none"] = unit
    table["per_second", "seconds"] = table["seconds", "per_second"] = "count"
    return table


_PRODUCT = _products()
"""A count or a ratio times a unit keeps the unit; a plain number takes the unit of the other."""


def _quotient_unit(left: Unit | None, right: Unit | None) -> Unit | None:
    if left is None or right is None:
        return None
    if left == right:
        return "none" if left == "none" else "ratio"
    if right in {"none", "ratio", "count"}:
        return left
    if left == "count" and right in {"seconds", "per_second"}:
        return "per_second" if right == "seconds" else "seconds"
    return None


def _unified(left: Type, right: Type, node: Node, what: str) -> Type:
    """Return the common type, or refuse."""
    if "any" in {left.kind, right.kind}:
        return left if right.kind == "any" else right
    if "null" in {left.kind, right.kind}:
        return replace(left if right.kind == "null" else right, nullable=True)
    objects = {"map", "object"}
    if left.kind != right.kind and not {left.kind, right.kind} <= objects:
        raise CelError(f"{what} does not fit a {left} and a {right}", node.at)
    if left.kind != "number":
        return left if left == right or left.kind in {"string", "bool"} else Type(left.kind, item=ANY, open=True)
    return number(_common_unit(left.unit, right.unit, node, what))


def _common_unit(left: Unit | None, right: Unit | None, node: Node, what: str) -> Unit | None:
    if left is None or right is None:
        return left if right in {None, "none"} else right
    if right in {left, "none"}:
        return left
    if left == "none":
        return right
    raise CelError(f"{what} mixes {left} and {right}: bring both to one unit first", node.at)


def _call(node: Call, arguments: list[Type]) -> Type:
    match node.name:
        case "size":
            if arguments[0].kind not in {"any", "string", "list", "map", "object"}:
                raise CelError(f"a {arguments[0]} has no size", node.at)
            return _COUNT
        case "double":
            if arguments[0].kind not in {"any", "string", "number"}:
                raise CelError(f"`double` reads a string or a number, not a {arguments[0]}", node.at)
            return _as_number(arguments[0])
        case "string":
            if arguments[0].kind in {"list", "map", "object", "null"}:
                raise CelError(f"a {arguments[0]} has no text: take one of its fields", node.at)
            return STRING
        case name:
            result = _PLAIN
            for argument, written in zip(arguments, node.arguments, strict=True):
                _need(argument, NUMBER, written, f"`{name}`")
                result = _unified(result, _as_number(argument), node, f"`{name}`")
            return result


def _method(node: Method, operand: Type, arguments: list[Type]) -> Type:
    if node.name == "size":
        return _call(Call("size", (node.operand,), node.at), [operand])
    if node.name in {"contains", "startsWith", "endsWith", "split"}:
        _need(operand, STRING, node.operand, f"`{node.name}`")
        _need(arguments[0], STRING, node.arguments[0], f"`{node.name}`")
        return list_of(STRING) if node.name == "split" else BOOL
    if operand.kind not in {"any", "list"}:
        raise CelError(f"`{node.name}` needs a list, not a {operand}", node.at)
    item = operand.item or ANY
    if node.name == "join":
        _need(item, STRING, node.operand, "`join`")
        for argument in arguments:
            _need(argument, STRING, node.arguments[0], "`join`")
        return STRING
    _need(item, NUMBER, node.operand, f"`{node.name}`")
    return _as_number(item)


def _macro(node: Macro, operand: Type, names: Mapping[str, Type]) -> Type:
    if operand.kind not in {"any", "list", "map", "object"}:
        raise CelError(f"`{node.name}` walks over a list, not a {operand}", node.at)
    if node.variable in names:
        raise CelError(f"the variable `{node.variable}` hides a name: give it another", node.at)
    item = (operand.item or ANY) if operand.kind == "list" else (ANY if operand.kind == "any" else STRING)
    body = infer(node.body, {**names, node.variable: item})
    if node.name == "map":
        return list_of(body)
    _need(body, BOOL, node.body, f"the condition of `{node.name}`")
    return list_of(item) if node.name == "filter" else BOOL


def _pairs(node: Pairs, names: Mapping[str, Type]) -> Type:
    fields: dict[str, Type] = {}
    is_open = False
    for key, value in node.pairs:
        _need(infer(key, names), STRING, key, "an object's key")
        kind = infer(value, names)
        if isinstance(key, Literal):
            fields[str(key.value)] = kind
        else:
            is_open = True
    return object_of(fields, is_open=is_open)
