"""What functions ask of the evaluator, and how arguments are read."""

from typing import Protocol

from midwatch_contracts.promql import Call, Expr, Paren, StringLiteral, Subquery, VectorSelector
from midwatch_lab.metrics.engine.annotations import Annotations
from midwatch_lab.metrics.engine.deadline import Deadline
from midwatch_lab.metrics.engine.values import Floats, Ints, Vector
from midwatch_lab.metrics.engine.windows import Windows
from midwatch_lab.metrics.store import Store


class Times(Protocol):
    """The query's own times in Unix milliseconds."""

    @property
    def start(self) -> int:
        """The first step."""
        ...

    @property
    def end(self) -> int:
        """The end asked for."""
        ...

    @property
    def step(self) -> int:
        """Milliseconds between steps; 0 for an instant query."""
        ...


class Evaluator(Protocol):
    """What a function needs of the evaluator."""

    @property
    def store(self) -> Store:
        """Where the series are."""
        ...

    @property
    def times(self) -> Ints:
        """When to evaluate, in Unix milliseconds."""
        ...

    @property
    def asked(self) -> Times:
        """The query's own times."""
        ...

    @property
    def notes(self) -> Annotations:
        """The query's warnings and infos."""
        ...

    @property
    def deadline(self) -> Deadline:
        """When to give up."""
        ...

    def scalar(self, expr: Expr) -> Floats:
        """Evaluate a scalar: one number a step."""
        ...

    def vector(self, expr: Expr) -> Vector:
        """Evaluate an instant vector."""
        ...

    def windows(self, expr: Expr) -> Windows:
        """Evaluate a range vector."""
        ...

    def sample_times(self, selector: VectorSelector) -> Vector:
        """Return a selector's samples with their own times (s) as values."""
        ...


def bare(expr: Expr) -> Expr:
    """Return an expression without the parentheses around it."""
    while isinstance(expr, Paren):
        expr = expr.expr
    return expr


def text(expr: Expr) -> str:
    """Return a string argument."""
    found = bare(expr)
    assert isinstance(found, StringLiteral)  # noqa: S101 (the parser checked the type)
    return found.value


def position(call: Call, index: int) -> int:
    """Return where an argument starts, as notes give it; the original knows no place of a subquery."""
    found = bare(call.args[index])
    return 0 if isinstance(found, Subquery) else found.start
