"""Whether the types of an expression fit, before it is ever evaluated: cel-go's checker, in its words."""

from collections.abc import Mapping, Sequence
from typing import Final

from midwatch_lab.custom.cel.library import FUNCTIONS, METHODS, Overload
from midwatch_lab.custom.cel.nodes import CompileError, Node
from midwatch_lab.custom.cel.types import BOOL, DOUBLE, DYN, INT, NULL, STRING, Type, list_of

_NUMBERS: Final = frozenset({"int", "double"})
_ORDERED: Final = frozenset({"int", "double", "string", "bytes", "bool", "timestamp", "duration"})
_CONSTANTS: Final = ("int", "uint", "double", "string", "bytes", "bool", "list", "map", "null_type", "timestamp")
_ADDED: Final = {
    ("timestamp", "duration"): "timestamp", ("duration", "timestamp"): "timestamp",
    ("duration", "duration"): "duration",
}  # fmt: skip
_TAKEN: Final = {
    ("timestamp", "timestamp"): "duration", ("timestamp", "duration"): "timestamp",
    ("duration", "duration"): "duration",
}  # fmt: skip


def check(text: str, node: Node, names: Mapping[str, Type]) -> Type:
    """Return the type of an expression over names of known types.

    Raises:
        CompileError: for an unknown name, field or function, or types that do not fit.
    """
    return _Checker(text).type_of(node, names)


class _Checker:
    def __init__(self, text: str) -> None:
        self.text = text

    def fault(self, node: Node, detail: str) -> CompileError:
        return CompileError(self.text, node.at, detail)

    def type_of(self, node: Node, names: Mapping[str, Type]) -> Type:  # noqa: C901, PLR0911, PLR0912 (one case an operation)
        match node.op:
            case "literal":
                return _literal(node.value)
            case "name":
                return self.name(node, names)
            case "select":
                return self.select(node, names)
            case "has":
                self.field(self.type_of(node.args[0], names), node.args[0], str(node.value))
                return BOOL
            case "index":
                return self.index(node, names)
            case "list":
                return list_of(self.joined([self.type_of(item, names) for item in node.args]))
            case "map":
                for key in node.args[::2]:
                    self.type_of(key, names)
                return Type("map", self.joined([self.type_of(item, names) for item in node.args[1::2]]))
            case "macro":
                return self.macro(node, names)
            case "call":
                return self.call(node, str(node.value), node.args, names)
            case "method":
                return self.method(node, names)
            case "?:":
                condition, yes, no = (self.type_of(part, names) for part in node.args)
                self.need_truth(node.args[0], condition)
                if not _fits(yes, no):
                    raise self.overload(node, "_?_:_", [condition, yes, no])
                return no if yes.kind == "dyn" else yes
            case "!" | "negate":
                return self.unary(node, self.type_of(node.args[0], names))
            case _:
                one, two = (self.type_of(part, names) for part in node.args)
                return self.binary(node, one, two)

    def overload(self, node: Node, name: str, types: Sequence[Type]) -> CompileError:
        given = ", ".join(map(str, types))
        return self.fault(node, f"found no matching overload for '{name}' applied to '({given})'")

    def need_truth(self, node: Node, given: Type) -> None:
        if not _fits(given, BOOL):
            raise self.fault(node, f"expected type 'bool' but found '{given}'")

    @staticmethod
    def joined(types: list[Type]) -> Type:
        return types[0] if types and all(_fits(types[0], one) for one in types) else DYN

    def name(self, node: Node, names: Mapping[str, Type]) -> Type:
        found = names.get(str(node.value))
        if found is not None:
            return found
        if node.value in _CONSTANTS:
            return Type("type", Type(str(node.value)))
        raise self.fault(node, f"undeclared reference to '{node.value}' (in container '')")

    def select(self, node: Node, names: Mapping[str, Type]) -> Type:
        return self.field(self.type_of(node.args[0], names), node, str(node.value))

    def field(self, operand: Type, node: Node, name: str) -> Type:
        match operand.kind:
            case "dyn":
                return DYN
            case "map":
                return operand.item or DYN
            case "object" if name in operand.fields:
                return operand.fields[name]
            case "object":
                raise self.fault(node, f"undefined field '{name}'")
            case _:
                raise self.fault(node, f"type '{operand}' does not support field selection")

    def index(self, node: Node, names: Mapping[str, Type]) -> Type:
        operand, key = (self.type_of(part, names) for part in node.args)
        wanted = {"list": INT, "map": STRING, "dyn": DYN}.get(operand.kind)
        if wanted is None or not _fits(key, wanted):
            raise self.overload(node, "_[_]", [operand, key])
        return operand.item or DYN

    def macro(self, node: Node, names: Mapping[str, Type]) -> Type:
        target, body = node.args
        name, variables = node.value
        over = self.type_of(target, names)
        if over.kind not in ("list", "map", "dyn"):
            detail = f"expression of type '{over}' cannot be range of a comprehension (must be list, map, or dynamic)"
            raise self.fault(target, detail)
        element = over.item or DYN
        keys = {"list": element, "map": STRING, "dyn": DYN}[over.kind]
        if len(variables) > 1:
            inner = {variables[0]: INT if over.kind == "list" else STRING, variables[1]: element}
        else:
            inner = {variables[0]: keys}
        found = self.type_of(body, {**names, **inner})
        if name == "map":
            return list_of(found)
        self.need_truth(body, found)
        return list_of(keys) if name == "filter" else BOOL

    def method(self, node: Node, names: Mapping[str, Type]) -> Type:
        target = node.args[0]
        qualified = f"{target.value}.{node.value}"
        if target.op == "name" and str(target.value) not in names and qualified in FUNCTIONS:
            return self.call(node, qualified, node.args[1:], names)
        types = [self.type_of(part, names) for part in node.args]
        forms = METHODS.get(str(node.value))
        if forms is None:
            raise self.fault(node, f"undeclared reference to '{node.value}' (in container '')")
        found = _resolved(forms, types)
        if found is None:
            given = f"{types[0]}.({', '.join(map(str, types[1:]))})"
            raise self.fault(node, f"found no matching overload for '{node.value}' applied to '{given}'")
        return found

    def call(self, node: Node, name: str, arguments: Sequence[Node], names: Mapping[str, Type]) -> Type:
        forms = FUNCTIONS.get(name)
        if forms is None:
            raise self.fault(node, f"undeclared reference to '{name}' (in container '')")
        types = [self.type_of(part, names) for part in arguments]
        found = _resolved(forms, types)
        if found is None:
            raise self.overload(node, name, types)
        return found

    def unary(self, node: Node, operand: Type) -> Type:
        name, allowed = ("!_", ("bool", "dyn")) if node.op == "!" else ("-_", ("int", "double", "duration", "dyn"))
        if operand.kind not in allowed:
            raise self.overload(node, name, [operand])
        return operand

    def binary(self, node: Node, one: Type, two: Type) -> Type:  # noqa: C901, PLR0911, PLR0912 (one case an operator)
        name, dynamic = f"_{node.op}_", "dyn" in (one.kind, two.kind)
        match node.op:
            case "&&" | "||":
                for part, given in zip(node.args, (one, two), strict=True):
                    self.need_truth(part, given)
                return BOOL
            case "==" | "!=":
                if _fits(one, two):
                    return BOOL
            case "<" | "<=" | ">" | ">=":
                same = one.kind == two.kind and one.kind in _ORDERED
                if same or dynamic or {one.kind, two.kind} <= _NUMBERS:
                    return BOOL
            case "in":
                inside = two.kind == "map" or _fits(one, two.item or DYN)
                if two.kind == "dyn" or (two.kind in ("list", "map") and inside):
                    return BOOL
                name = "@in"
            case "+" | "-":
                found = (_ADDED if node.op == "+" else _TAKEN).get((one.kind, two.kind))
                if found is not None:
                    return Type(found)
                texts = node.op == "+" and one.kind in ("string", "bytes", "list")
                if one.kind == two.kind and (texts or one.kind in _NUMBERS):
                    return one
            case _:
                if one.kind == two.kind and (one.kind == "int" or (one.kind == "double" and node.op != "%")):
                    return one
        if dynamic and node.op in ("+", "-", "*", "/", "%"):
            return DYN
        raise self.overload(node, name, [one, two])


def _literal(value: object) -> Type:
    match value:
        case None:
            return NULL
        case bool():
            return BOOL
        case int():
            return INT
        case float():
            return DOUBLE
        case bytes():
            return Type("bytes")
        case _:
            return STRING


def _fits(one: Type, two: Type) -> bool:
    if "dyn" in (one.kind, two.kind) or {"null", "object"} == {one.kind, two.kind}:
        return True
    if one.kind != two.kind:
        return {one.kind, two.kind} == {"map", "object"}
    return one.kind == "type" or one.item is None or two.item is None or _fits(one.item, two.item)


def _resolved(forms: list[Overload], types: Sequence[Type]) -> Type | None:
    for form in forms:
        variables: dict[str, Type] = {}
        if len(form.parameters) == len(types) and all(
            _matches(parameter, given, variables) for parameter, given in zip(form.parameters, types, strict=True)
        ):
            return _made(form.result, variables)
    return None


def _matches(parameter: str, given: Type, variables: dict[str, Type]) -> bool:
    if parameter == "A":
        known = variables.setdefault("A", given)
        return _fits(known, given)
    if given.kind == "dyn":
        return True
    outer, _, rest = parameter.partition("<")
    if outer != given.kind and not (outer == "map" and given.kind == "object"):
        return False
    return not rest or _matches(rest[:-1], given.item or DYN, variables)


def _made(result: str, variables: dict[str, Type]) -> Type:
    if result == "A":
        return variables.get("A", DYN)
    outer, _, rest = result.partition("<")
    return Type(outer, _made(rest[:-1], variables)) if rest else Type(outer)
