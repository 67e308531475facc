"""Fills in a template: walks the tree, writes text."""

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import cast

from midwatch_lab.metrics.errors import TemplateError
from midwatch_lab.metrics.templates.go_functions import LAZY, Called
from midwatch_lab.metrics.templates.nodes import (
    Action,
    Branch,
    Chain,
    Command,
    Constant,
    Dot,
    Function,
    Invocation,
    Jump,
    Node,
    Operand,
    Pipe,
    Text,
    Tree,
    Variable,
)
from midwatch_lab.metrics.templates.values import NOTHING, Anything, Texts, Value, text, truth, type_name

_MAX_STEPS = 100_000
_MAX_DEPTH = 50
_MAX_OUTPUT = 1_000_000
_ABSENT = object()


class _Jumped(Exception):  # noqa: N818 (control flow, not a fault)
    """`break` or `continue`, on its way to its range."""

    def __init__(self, keyword: str) -> None:
        super().__init__(keyword)
        self.keyword = keyword


def execute(tree: Tree, functions: Mapping[str, Called], data: Value, variables: Mapping[str, Value]) -> str:
    """Return a template, filled in with `data`.

    Raises:
        TemplateError: says what cannot be done.
    """
    run = _Run(tree, functions)
    run.nodes(tree.body, data, _Scope([("$", data), *variables.items()]))
    return "".join(run.out)


@dataclass
class _Scope:
    """Variables, innermost last."""

    pairs: list[tuple[str, Value]]

    def find(self, name: str) -> Value:
        for known, value in reversed(self.pairs):
            if known == name:
                return value
        raise TemplateError(f"the variable {name} is not set here")

    def assign(self, name: str, value: Value) -> None:
        for place in range(len(self.pairs) - 1, -1, -1):
            if self.pairs[place][0] == name:
                self.pairs[place] = (name, value)
                return
        raise TemplateError(f"the variable {name} is not set here, so it cannot be changed")


@dataclass
class _Run:
    tree: Tree
    functions: Mapping[str, Called]
    out: list[str] = field(default_factory=list[str])
    size: int = 0
    steps: int = 0
    depth: int = 0

    def write(self, shown: str) -> None:
        self.size += len(shown)
        if self.size > _MAX_OUTPUT:
            raise TemplateError(f"the text is longer than {_MAX_OUTPUT} characters")
        self.out.append(shown)

    def nodes(self, nodes: tuple[Node, ...], dot: Value, scope: _Scope) -> None:
        for node in nodes:
            self.steps += 1
            if self.steps > _MAX_STEPS:
                raise TemplateError(f"the template takes more than {_MAX_STEPS} steps")
            match node:
                case Text():
                    self.write(node.text)
                case Action():
                    value = self.pipe(node.pipe, dot, scope)
                    if not node.pipe.names:
                        self.write(text(value))
                case Branch():
                    self.branch(node, dot, scope)
                case Jump():
                    raise _Jumped(node.keyword)
                case Invocation():
                    self.invoke(node, dot, scope)

    def branch(self, node: Branch, dot: Value, scope: _Scope) -> None:
        mark = len(scope.pairs)
        try:
            if node.keyword == "range":
                self.range(node, dot, scope)
                return
            value = self.pipe(node.pipe, dot, scope)
            if truth(value):
                self.nodes(node.body, value if node.keyword == "with" else dot, scope)
            else:
                self.nodes(node.otherwise, dot, scope)
        finally:
            del scope.pairs[mark:]

    def range(self, node: Branch, dot: Value, scope: _Scope) -> None:
        commands = Pipe(node.pipe.commands)
        names = node.pipe.names
        any_yet = False
        for key, value in _entries(self.pipe(commands, dot, scope)):
            any_yet = True
            mark = len(scope.pairs)
            given = (key, value) if len(names) > 1 else (value,)
            for name, one in zip(names, given, strict=False):
                if node.pipe.declares:
                    scope.pairs.append((name, one))
                else:
                    scope.assign(name, one)
            try:
                self.nodes(node.body, value, scope)
            except _Jumped as jumped:
                if jumped.keyword == "break":
                    break
            finally:
                del scope.pairs[mark:]
        if not any_yet:
            self.nodes(node.otherwise, dot, scope)

    def invoke(self, node: Invocation, dot: Value, scope: _Scope) -> None:
        body = self.tree.defined.get(node.name)
        if body is None:
            raise TemplateError(f"the template {node.name!r} is not defined")
        self.depth += 1
        if self.depth > _MAX_DEPTH:
            raise TemplateError(f"templates call each other more than {_MAX_DEPTH} deep")
        given = NOTHING if node.pipe is None else self.pipe(node.pipe, dot, scope)
        self.nodes(body, given, _Scope([("$", given)]))
        self.depth -= 1

    def pipe(self, pipe: Pipe, dot: Value, scope: _Scope) -> Value:
        value: Value = _ABSENT
        for command in pipe.commands:
            value = self.command(command, dot, scope, value)
        for name in pipe.names:
            if pipe.declares:
                scope.pairs.append((name, value))
            else:
                scope.assign(name, value)
        return value

    def command(self, command: Command, dot: Value, scope: _Scope, last: Value) -> Value:
        head, *rest = command.operands
        if isinstance(head, Function):
            if head.name in LAZY:
                return self.decided(head.name, rest, dot, scope, last)
            return self.call(head.name, [*self.values(rest, dot, scope), *_given(last)])
        if isinstance(head, Chain):
            return self.chain(head, dot, scope, [*self.values(rest, dot, scope), *_given(last)])
        if rest or last is not _ABSENT:
            raise TemplateError("arguments are given to what is no function")
        if isinstance(head, Constant) and head.value is None:
            raise TemplateError("nil is no command")
        return self.operand(head, dot, scope)

    def values(self, operands: list[Operand], dot: Value, scope: _Scope) -> list[Value]:
        return [self.operand(operand, dot, scope) for operand in operands]

    def decided(self, name: str, operands: list[Operand], dot: Value, scope: _Scope, last: Value) -> Value:
        """Return `and` or `or`: the first argument that decides, or the last."""
        value: Value = _ABSENT
        for operand in operands:
            value = self.operand(operand, dot, scope)
            if truth(value) == (name == "or"):
                return value
        value = value if last is _ABSENT else last
        if value is _ABSENT:
            raise TemplateError(f"{name} needs an argument")
        return value

    def operand(self, operand: Operand, dot: Value, scope: _Scope) -> Value:
        match operand:
            case Constant():
                return operand.value
            case Dot():
                return dot
            case Variable():
                return scope.find(operand.name)
            case Function():
                return self.call(operand.name, [])
            case Chain():
                return self.chain(operand, dot, scope, [])
            case Pipe():
                return self.pipe(operand, dot, scope)

    def call(self, name: str, values: list[Value]) -> Value:
        if any(value is NOTHING for value in values):
            values = [None if value is NOTHING else value for value in values]
        if name in LAZY:
            raise TemplateError(f"{name} needs an argument")
        function = self.functions[name]
        try:
            inspect.signature(function).bind(*values)
        except TypeError as error:
            raise TemplateError(f"{name} does not take {len(values)} arguments") from error
        try:
            return function(*values)
        except TemplateError as error:
            raise TemplateError(f"{name}: {error}") from error

    def chain(self, chain: Chain, dot: Value, scope: _Scope, arguments: list[Value]) -> Value:
        value = self.operand(chain.base, dot, scope)
        *before, final = chain.names
        for name in before:
            value = _field(value, name, [])
        return _field(value, final, arguments)


def _given(last: Value) -> list[Value]:
    return [] if last is _ABSENT else [last]


def _field(value: Value, name: str, arguments: list[Value]) -> Value:
    method = getattr(value, "method", None)
    if method is not None:
        return method(name, arguments)
    if arguments:
        raise TemplateError(f"{name} is no method, so it takes no arguments")
    if isinstance(value, Texts):
        return value.get(name, "")
    if isinstance(value, Anything):
        return value.get(name, NOTHING)
    field_of = getattr(value, "field", None)
    found: Value = NOTHING if field_of is None else field_of(name)
    if found is NOTHING:
        kind = "nil" if value is None or value is NOTHING else f"a {type_name(value)}"
        raise TemplateError(f"{kind} has no field {name}")
    return found


def _entries(value: Value) -> Iterator[tuple[Value, Value]]:
    if value is None or value is NOTHING:
        return iter(())
    if isinstance(value, Mapping):
        return iter(sorted(cast("Mapping[str, Value]", value).items()))
    if isinstance(value, list):
        return iter(list(enumerate(cast("list[Value]", value))))
    if isinstance(value, int) and not isinstance(value, bool):
        return ((place, place) for place in range(value))
    raise TemplateError(f"range cannot go over a {type_name(value)}")
