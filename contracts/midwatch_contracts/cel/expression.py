"""A compiled expression: its names, its type over given names, its value over given bindings."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from midwatch_contracts.cel import nodes, syntax
from midwatch_contracts.cel.evaluate import Evaluation
from midwatch_contracts.cel.infer import infer
from midwatch_contracts.cel.nodes import Node
from midwatch_contracts.cel.types import Type
from midwatch_contracts.cel.values import NO_DATA, Missing, NoData, Value, bound, read


@dataclass(frozen=True)
class Expression:
    """One expression of CEL; made by `compile_expression`."""

    text: str
    names: frozenset[str]
    """The free names that it reads, such as `result` and `objective`."""
    paths: frozenset[str]
    """The names with the fields read from them, such as `result.series`; without what follows an index."""
    root: Node

    def evaluate(self, bindings: Mapping[str, Any]) -> Value | NoData:
        """Return its value, or NO_DATA.

        Bindings are JSON data, numbers of either kind; NO_DATA may stand anywhere in them.

        Raises:
            CelError: for an undefined name, kinds that do not fit each other, or an exhausted limit.
        """
        if any(bindings.get(name) is NO_DATA for name in self.names):
            return NO_DATA
        names = {name: bound(bindings[name]) for name in self.names if name in bindings}
        try:
            return read(Evaluation(names).run(self.root))
        except Missing:
            return NO_DATA

    def expression_type(self, names: Mapping[str, Type]) -> Type:
        """Return its static type, with the unit of a number.

        Raises:
            CelError: with the position, for an undefined name or field, kinds that do not fit, or units that clash.
        """
        return infer(self.root, names)


@lru_cache(maxsize=2048)
def compile_expression(text: str) -> Expression:
    """Parse `text`; results are cached, for an expression is immutable.

    Raises:
        CelError: with the position, for text that is no CEL or uses what the environment does not offer.
    """
    root = syntax.parse(text)
    paths = frozenset(_paths(root, frozenset()))
    return Expression(text, frozenset(path.partition(".")[0] for path in paths), paths, root)


def _paths(node: Node, variables: frozenset[str]) -> Iterator[str]:
    """Yield the free names of a tree with the fields read from them."""
    path = _path(node)
    if path is not None:
        if path.partition(".")[0] not in variables:
            yield path
        return
    if isinstance(node, nodes.Macro):
        yield from _paths(node.operand, variables)
        yield from _paths(node.body, variables | {node.variable})
        return
    for child in node.children:
        yield from _paths(child, variables)


def _path(node: Node) -> str | None:
    match node:
        case nodes.Name():
            return node.name
        case nodes.Member():
            inner = _path(node.operand)
            return None if inner is None else f"{inner}.{node.name}"
        case nodes.Has():
            return _path(node.member)
        case _:
            return None
