"""Evaluation: left to right, on doubles, within a budget; reading what is not there ends it as no data."""

from collections.abc import Mapping
from typing import Any

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
from midwatch_contracts.cel.operations import (
    add,
    arithmetic,
    call,
    contained,
    equal,
    field,
    item,
    method,
    number,
    ordered,
    text,
    walkable,
)
from midwatch_contracts.cel.values import Missing, kind_of, read
from midwatch_contracts.errors import CelError

MAX_NODES = 200_000


class Evaluation:
    """One evaluation of one expression: the scope of names, and what is left of the budget."""

    def __init__(self, names: Mapping[str, Any]) -> None:
        self._names = dict(names)
        self._left = MAX_NODES

    def run(self, node: Node) -> Any:  # noqa: C901, PLR0911, PLR0912 (one case a kind of node)
        """Return the value of `node`.

        Raises:
            Missing: where it reads what is not there.
            CelError: where it calculates with what does not fit.
        """
        self._left -= 1
        if self._left < 0:
            raise CelError(f"the expression takes more than {MAX_NODES} steps: filter the list before walking it twice")
        match node:
            case Literal():
                return node.value
            case Name():
                return self._name(node)
            case Member():
                return field(self.run(node.operand), node)
            case Index():
                return item(self.run(node.operand), self.run(node.key), node)
            case Has():
                return self._has(node)
            case Binary():
                return self._binary(node)
            case Unary():
                return self._unary(node)
            case Choice():
                return self.run(node.yes if self._truth(node.condition) else node.no)
            case Call():
                return call(node, [self.run(argument) for argument in node.arguments])
            case Method():
                return method(node, self.run(node.operand), [self.run(argument) for argument in node.arguments])
            case Macro():
                return self._macro(node)
            case Items():
                return [self.run(item) for item in node.items]
            case Pairs():
                return {text(self.run(key), key): self.run(value) for key, value in node.pairs}

    def _name(self, node: Name) -> Any:
        if node.name not in self._names:
            known = ", ".join(sorted(self._names)) or "none"
            raise CelError(f"undefined name `{node.name}`: known are {known}", node.at)
        return read(self._names[node.name])

    def _has(self, node: Has) -> bool:
        operand = self.run(node.member.operand)
        if operand is None:
            raise Missing
        if not isinstance(operand, dict):
            raise CelError(f"a {kind_of(operand)} has no field `{node.member.name}`", node.at)
        return node.member.name in operand

    def _truth(self, node: Node) -> bool:
        value = self.run(node)
        if value is None:
            raise Missing
        if not isinstance(value, bool):
            raise CelError(f"a condition must be true or false, not a {kind_of(value)}: compare it", node.at)
        return value

    def _unary(self, node: Unary) -> Any:
        if node.operator == "!":
            return not self._truth(node.operand)
        return -number(self.run(node.operand), node)

    def _binary(self, node: Binary) -> Any:  # noqa: PLR0911 (one case an operator)
        name = node.operator
        if name == "&&":
            return self._truth(node.left) and self._truth(node.right)
        if name == "||":
            return self._truth(node.left) or self._truth(node.right)
        left, right = self.run(node.left), self.run(node.right)
        match name:
            case "==":
                return equal(left, right)
            case "!=":
                return not equal(left, right)
            case "in":
                return contained(left, right, node)
            case "+":
                return add(left, right, node)
            case "-" | "*" | "/" | "%":
                return arithmetic(name, number(left, node), number(right, node), node)
            case _:
                return ordered(name, left, right, node)

    def _macro(self, node: Macro) -> Any:
        operand = walkable(self.run(node.operand), node)
        outside = node.variable in self._names
        before = self._names.get(node.variable)
        try:
            return self._walk(node, operand)
        finally:
            if outside:
                self._names[node.variable] = before
            else:
                self._names.pop(node.variable, None)

    def _walk(self, node: Macro, items: list[Any]) -> Any:
        def each(item: Any) -> Any:
            self._names[node.variable] = item
            return self.run(node.body) if node.name == "map" else self._truth(node.body)

        match node.name:
            case "all":
                return all(each(item) for item in items)
            case "exists":
                return any(each(item) for item in items)
            case "exists_one":
                return sum(each(item) for item in items) == 1
            case "filter":
                return [item for item in items if each(item)]
            case _:
                return [each(item) for item in items]
