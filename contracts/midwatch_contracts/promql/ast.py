"""The syntax tree of PromQL. Nodes are frozen; `start` and `end` are character offsets and do not count in comparison.

Durations are whole milliseconds, as Prometheus truncates them, and constant duration expressions are already computed;
the `…_expr` beside one says how it was written when it was not a literal. One that depends on the query's step or span
is 0 until `durations.resolved` has computed it.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal


class ValueType(StrEnum):
    """What an expression evaluates to."""

    SCALAR = "scalar"
    STRING = "string"
    VECTOR = "vector"
    """An instant vector."""
    MATRIX = "matrix"
    """A range vector."""


MatchOp = Literal["=", "!=", "=~", "!~"]
AtPoint = int | Literal["start", "end"] | None
"""The `@` modifier: Unix milliseconds, the start or end of the query's range, or none."""
Extension = Literal["anchored", "smoothed"] | None


@dataclass(frozen=True, slots=True)
class DurationLiteral:
    """A duration written as `5m` (`unit`) or as a number of seconds, its sign included."""

    seconds: float
    unit: bool
    start: int = field(compare=False)
    end: int = field(compare=False)


@dataclass(frozen=True, slots=True)
class DurationOperation:
    """A duration that is computed: an arithmetic operator, `min_of`, `max_of`, `step`, `range`, or `group`.

    A sign has no left side, `step` and `range` have none; `group` is a literal in parentheses, its right side.
    """

    op: str
    left: "Duration | None"
    right: "Duration | None"
    wrapped: bool
    """It stands in parentheses."""
    start: int = field(compare=False)
    end: int = field(compare=False)


Duration = DurationLiteral | DurationOperation


@dataclass(frozen=True, slots=True)
class Matcher:
    """One label matcher; `value` is the unquoted text."""

    name: str
    op: MatchOp
    value: str


@dataclass(frozen=True, slots=True)
class NumberLiteral:
    """A number; durations standing as numbers (`5m` = 300) are numbers too, `unit` says so."""

    value: float
    start: int = field(compare=False)
    end: int = field(compare=False)
    unit: bool = field(default=False, compare=False)
    type = ValueType.SCALAR


@dataclass(frozen=True, slots=True)
class StringLiteral:
    """A string, unquoted."""

    value: str
    start: int = field(compare=False)
    end: int = field(compare=False)
    type = ValueType.STRING


@dataclass(frozen=True, slots=True)
class VectorSelector:
    """`name{matchers} offset … @ …`. `matchers` leaves out the one that `name` stands for."""

    name: str | None
    matchers: tuple[Matcher, ...]
    start: int = field(compare=False)
    end: int = field(compare=False)
    offset_ms: int | None = None
    """None: no offset was written."""
    at: AtPoint = None
    extension: Extension = None
    offset_expr: DurationOperation | None = None
    type = ValueType.VECTOR

    def all_matchers(self) -> tuple[Matcher, ...]:
        """Return the matchers with the one for the metric's name first."""
        return self.matchers if self.name is None else (Matcher("__name__", "=", self.name), *self.matchers)


@dataclass(frozen=True, slots=True)
class MatrixSelector:
    """`selector[range]`; offset, `@` and extension stand in the selector."""

    selector: VectorSelector
    range_ms: int
    start: int = field(compare=False)
    end: int = field(compare=False)
    range_expr: DurationOperation | None = None
    type = ValueType.MATRIX


@dataclass(frozen=True, slots=True)
class Subquery:
    """`expr[range:step]`; `step_ms` None means the evaluator's default."""

    expr: "Expr"
    range_ms: int
    step_ms: int | None
    start: int = field(compare=False)
    end: int = field(compare=False)
    offset_ms: int | None = None
    at: AtPoint = None
    range_expr: DurationOperation | None = None
    step_expr: DurationOperation | None = None
    offset_expr: DurationOperation | None = None
    type = ValueType.MATRIX


@dataclass(frozen=True, slots=True)
class Paren:
    """`(expr)`."""

    expr: "Expr"
    type: ValueType
    start: int = field(compare=False)
    end: int = field(compare=False)


@dataclass(frozen=True, slots=True)
class Unary:
    """`-expr` or `+expr`; a sign before a number literal is part of the number."""

    op: Literal["+", "-"]
    expr: "Expr"
    type: ValueType
    start: int = field(compare=False)
    end: int = field(compare=False)


@dataclass(frozen=True, slots=True)
class Matching:
    """How the sides of a binary operator are matched; without `on` the labels are those ignored."""

    on: bool
    labels: tuple[str, ...]
    group: Literal["left", "right"] | None = None
    include: tuple[str, ...] = ()
    fill_left: float | None = None
    """What stands for a series that the left side lacks."""
    fill_right: float | None = None


@dataclass(frozen=True, slots=True)
class Binary:
    """`left op right`."""

    op: str
    left: "Expr"
    right: "Expr"
    return_bool: bool
    matching: Matching | None
    type: ValueType
    start: int = field(compare=False)
    end: int = field(compare=False)


@dataclass(frozen=True, slots=True)
class Call:
    """`function(args)`."""

    function: str
    args: "tuple[Expr, ...]"
    type: ValueType
    start: int = field(compare=False)
    end: int = field(compare=False)


@dataclass(frozen=True, slots=True)
class Aggregate:
    """`op by (grouping) (param, expr)`; neither `by` nor `without` is `by ()`."""

    op: str
    expr: "Expr"
    param: "Expr | None"
    grouping: tuple[str, ...]
    without: bool
    start: int = field(compare=False)
    end: int = field(compare=False)
    type = ValueType.VECTOR


Expr = (
    NumberLiteral
    | StringLiteral
    | VectorSelector
    | MatrixSelector
    | Subquery
    | Paren
    | Unary
    | Binary
    | Call
    | Aggregate
)

COMPARISONS = frozenset({"==", "!=", ">", "<", ">=", "<="})
SET_OPERATORS = frozenset({"and", "or", "unless"})
AGGREGATIONS = frozenset(
    {
        "sum",
        "avg",
        "count",
        "min",
        "max",
        "group",
        "stddev",
        "stdvar",
        "topk",
        "bottomk",
        "count_values",
        "quantile",
    }
)
EXPERIMENTAL_AGGREGATIONS = frozenset({"limitk", "limit_ratio"})


def expr_type(expr: Expr) -> ValueType:
    """Return what an expression evaluates to."""
    return expr.type
