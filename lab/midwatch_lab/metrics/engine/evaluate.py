"""The evaluator: an expression and the times to evaluate it at, over a store, to a value."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from midwatch_contracts.promql import (
    SET_OPERATORS,
    Aggregate,
    AtPoint,
    Binary,
    Call,
    Expr,
    Matcher,
    MatrixSelector,
    NumberLiteral,
    Paren,
    StringLiteral,
    Subquery,
    Unary,
    ValueType,
    VectorSelector,
)
from midwatch_lab.metrics.engine import aggregations, binary, calls
from midwatch_lab.metrics.engine.values import Floats, Ints, Vector, stale_mask
from midwatch_lab.metrics.engine.windows import Windows, from_series, from_vector
from midwatch_lab.metrics.errors import ExecutionError, LimitError
from midwatch_lab.metrics.store import Series, Store


@dataclass(frozen=True)
class Limits:
    """How much one query may touch, and the defaults that a server is started with."""

    samples: int = 5_000_000
    """Cells of any intermediate grid, and samples of any set of windows."""
    steps: int = 11_000
    lookback_ms: int = 300_000
    """How old a sample may be and still be an instant vector's value."""
    step_ms: int = 60_000
    """The step of a subquery that names none (Prometheus: the evaluation interval)."""


@dataclass
class Evaluation:
    """One query's evaluation; `times` are Unix milliseconds, one a step; `start` and `end` are what `@` may name."""

    store: Store
    times: Ints
    start: int
    end: int
    limits: Limits
    notes: dict[str, None] = field(default_factory=dict[str, None])

    def note(self, text: str) -> None:
        """Add a warning to the answer, once."""
        self.notes[text] = None

    def scalar(self, expr: Expr) -> Floats:  # noqa: PLR0911 (one case a kind of node)
        """Evaluate a scalar: one number a step."""
        match expr:
            case NumberLiteral():
                return np.full(len(self.times), expr.value)
            case Paren():
                return self.scalar(expr.expr)
            case Unary():
                found = self.scalar(expr.expr)
                return -found if expr.op == "-" else found
            case Binary():
                return binary.scalars(expr.op, self.scalar(expr.left), self.scalar(expr.right))
            case Call(function="time"):
                return self.times / 1000
            case Call(function="pi"):
                return np.full(len(self.times), np.pi)
            case Call(function="scalar"):
                vector = self.vector(expr.args[0])
                only = vector.present.sum(axis=0) == 1
                return np.where(only, np.where(vector.present, vector.values, 0.0).sum(axis=0), np.nan)
            case _:
                raise ExecutionError(f"a {expr.type} is no scalar")

    def vector(self, expr: Expr) -> Vector:
        """Evaluate an instant vector."""
        match expr:
            case VectorSelector():
                return self._instant(expr)[0]
            case Paren():
                return self.vector(expr.expr)
            case Unary():
                found = self.vector(expr.expr)
                return calls.unnamed(found.with_values(-found.values)) if expr.op == "-" else found
            case Binary():
                return self._bounded(self._operation(expr))
            case Call():
                return self._bounded(calls.FUNCTIONS[expr.function](self, expr))
            case Aggregate():
                return self._bounded(self._aggregation(expr))
            case _:
                raise ExecutionError(f"a {expr.type} is no instant vector")

    def windows(self, expr: Expr) -> Windows:
        """Evaluate a range vector."""
        while isinstance(expr, Paren):
            expr = expr.expr
        if isinstance(expr, MatrixSelector):
            ends = self._shifted(expr.selector.at, expr.selector.offset_ms)
            return self._gathered(expr.selector, ends - expr.range_ms, ends, keep_stale=False)
        if isinstance(expr, Subquery):
            return self._subquery(expr)
        raise ExecutionError(f"a {expr.type} is no range vector")

    def sample_times(self, selector: VectorSelector) -> Vector:
        """Return a selector's samples with their own times (s) as values."""
        vector, windows = self._instant(selector)
        index, _ = windows.last()
        if not len(windows.times):
            return vector
        return vector.with_values(windows.times[index] / 1000)

    def _shifted(self, at: AtPoint, offset_ms: int | None) -> Ints:
        """Return the times that a selector reads at."""
        point = {"start": self.start, "end": self.end}.get(at) if isinstance(at, str) else at
        times = self.times if point is None else np.full(len(self.times), point, dtype=np.int64)
        return times - (offset_ms or 0)

    def _instant(self, selector: VectorSelector) -> tuple[Vector, Windows]:
        ends = self._shifted(selector.at, selector.offset_ms)
        windows = self._gathered(selector, ends - self.limits.lookback_ms, ends, keep_stale=True)
        index, present = windows.last()
        if not len(windows.values):
            return Vector(windows.labels, np.full(present.shape, np.nan), present), windows
        values = windows.values[index]
        return Vector(windows.labels, values, present & ~stale_mask(values)), windows

    def _gathered(self, selector: VectorSelector, starts: Ints, ends: Ints, *, keep_stale: bool) -> Windows:
        if selector.extension is not None:
            raise ExecutionError(f"the modifier {selector.extension} is not offered")
        series = self._select(selector.all_matchers())
        windows = from_series(series, starts, ends, keep_stale=keep_stale)
        self._check(max(len(windows.labels) * len(self.times), len(windows.times)))
        return windows

    def _select(self, matchers: Sequence[Matcher]) -> list[Series]:
        return self.store.select(matchers)

    def _subquery(self, expr: Subquery) -> Windows:
        ends = self._shifted(expr.at, expr.offset_ms)
        starts = ends - expr.range_ms
        step = expr.step_ms or self.limits.step_ms
        first = int(starts.min())
        # The original divides integers, which truncates towards zero; before 1970 that is not the floor.
        aligned = step * int(first / step) if abs(first) < 2**53 else step * (first // step)
        aligned = aligned + step if aligned <= first else aligned
        count = max(0, (int(ends.max()) - aligned) // step + 1)
        self._check(count)
        times = aligned + step * np.arange(count, dtype=np.int64)
        if not count:
            return from_vector(Vector.empty(0), times, starts, ends)
        inner = Evaluation(self.store, times, self.start, self.end, self.limits, self.notes)
        vector = inner.vector(expr.expr)
        self._check(len(vector.labels) * max(count, len(self.times)))
        return from_vector(vector, times, starts, ends)

    def _operation(self, expr: Binary) -> Vector:
        left_scalar = expr.left.type is ValueType.SCALAR
        if left_scalar or expr.right.type is ValueType.SCALAR:
            vector, scalar = (expr.right, expr.left) if left_scalar else (expr.left, expr.right)
            return binary.with_scalar(expr, self.vector(vector), self.scalar(scalar), swapped=left_scalar)
        left, right = self.vector(expr.left), self.vector(expr.right)
        if expr.op in SET_OPERATORS:
            return binary.sets(expr, left, right)
        return binary.vectors(expr, left, right)

    def _aggregation(self, expr: Aggregate) -> Vector:
        param: Floats | str | None = None
        if expr.param is not None:
            is_text = expr.param.type is ValueType.STRING
            param = calls.text(expr.param) if is_text else self.scalar(expr.param)
        return aggregations.aggregate(self.vector(expr.expr), expr, param)

    def _bounded(self, vector: Vector) -> Vector:
        self._check(vector.values.size)
        return vector

    def _check(self, samples: int) -> None:
        if samples > self.limits.samples:
            raise LimitError(
                f"the query would hold {samples} samples at once, and {self.limits.samples} are allowed: "
                "narrow its selectors, range or steps"
            )


def literal(expr: Expr) -> str | None:
    """Return the text of a query that is a string, None for other queries."""
    while isinstance(expr, Paren):
        expr = expr.expr
    return expr.value if isinstance(expr, StringLiteral) else None
