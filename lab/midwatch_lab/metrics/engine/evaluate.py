"""The evaluator: an expression and the times to evaluate it at, over a store, to a value."""

from dataclasses import dataclass, field, replace

import numpy as np

from midwatch_contracts.promql import (
    DEFAULT_FEATURES,
    SET_OPERATORS,
    Aggregate,
    AtPoint,
    Binary,
    Call,
    Expr,
    Features,
    MatrixSelector,
    NumberLiteral,
    Paren,
    StringLiteral,
    Subquery,
    Unary,
    ValueType,
    VectorSelector,
)
from midwatch_lab.metrics.engine import aggregations, binary, extended, functions
from midwatch_lab.metrics.engine.annotations import Annotations
from midwatch_lab.metrics.engine.arguments import text
from midwatch_lab.metrics.engine.deadline import Deadline
from midwatch_lab.metrics.engine.values import Floats, Ints, Vector, stale_mask, unnamed
from midwatch_lab.metrics.engine.windows import Reader, Windows, from_vector
from midwatch_lab.metrics.errors import ExecutionError, LimitError
from midwatch_lab.metrics.store import Store


@dataclass(frozen=True)
class Limits:
    """How much one query may touch, and the defaults that a server is started with."""

    samples: int = 10_000_000
    """Cells of any intermediate grid, and samples of any set of windows."""
    steps: int = 11_000
    lookback_ms: int = 300_000
    """How old a sample may be and still be an instant vector's value."""
    step_ms: int = 60_000
    """The step of a subquery that names none (Prometheus: the evaluation interval)."""
    timeout_s: float = 120.0
    features: Features = DEFAULT_FEATURES
    """The experimental parts of the language that are read."""


@dataclass(frozen=True)
class Asked:
    """The query's own times in Unix milliseconds; an instant query has a step of 0."""

    start: int
    end: int
    step: int = 0


@dataclass
class Evaluation:
    """One query's evaluation, or that of a subquery inside it; `times` are Unix milliseconds, one a step."""

    store: Store
    times: Ints
    asked: Asked
    limits: Limits
    deadline: Deadline
    notes: Annotations = field(default_factory=Annotations)

    def scalar(self, expr: Expr) -> Floats:
        """Evaluate a scalar: one number a step."""
        self.deadline.check()
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
            case Call():
                return functions.SCALARS[expr.function](self, expr)
            case _:
                raise ExecutionError(f"a {expr.type} is no scalar")

    def vector(self, expr: Expr) -> Vector:  # noqa: PLR0911 (one case a kind of node)
        """Evaluate an instant vector."""
        self.deadline.check()
        match expr:
            case VectorSelector(extension="smoothed"):
                return self._smoothed(expr)
            case VectorSelector():
                return self._instant(expr)[0]
            case Paren():
                return self.vector(expr.expr)
            case Unary():
                found = self.vector(expr.expr)
                return unnamed(found.with_values(-found.values)) if expr.op == "-" else found
            case Binary():
                return self._bounded(self._operation(expr))
            case Call():
                return self._bounded(functions.FUNCTIONS[expr.function](self, expr))
            case Aggregate():
                return self._bounded(self._aggregation(expr))
            case _:
                raise ExecutionError(f"a {expr.type} is no instant vector")

    def windows(self, expr: Expr) -> Windows:
        """Evaluate a range vector."""
        self.deadline.check()
        while isinstance(expr, Paren):
            expr = expr.expr
        if isinstance(expr, MatrixSelector):
            ends = self._shifted(expr.selector.at, expr.selector.offset_ms)
            inner = (ends - expr.range_ms, ends)
            if expr.selector.extension is None:
                return self._gathered(expr.selector, inner, keep_stale=False)
            outer = extended.reach(inner, expr.selector.extension, self.limits.lookback_ms)
            return self._gathered(expr.selector, outer, keep_stale=False, inner=inner)
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
        point = {"start": self.asked.start, "end": self.asked.end}.get(at) if isinstance(at, str) else at
        times = self.times if point is None else np.full(len(self.times), point, dtype=np.int64)
        return times - (offset_ms or 0)

    def _instant(self, selector: VectorSelector) -> tuple[Vector, Windows]:
        ends = self._shifted(selector.at, selector.offset_ms)
        windows = self._gathered(selector, (ends - self.limits.lookback_ms, ends), keep_stale=True)
        index, present = windows.last()
        if not len(windows.values):
            return Vector(windows.labels, np.full(present.shape, np.nan), present), windows
        values = windows.values[index]
        return Vector(windows.labels, values, present & ~stale_mask(values)), windows

    def _smoothed(self, selector: VectorSelector) -> Vector:
        ends = self._shifted(selector.at, selector.offset_ms)
        outer = (ends - self.limits.lookback_ms, ends + self.limits.lookback_ms)
        return extended.smoothed_values(self._gathered(selector, outer, keep_stale=False, inner=(ends, ends)))

    def _gathered(
        self,
        selector: VectorSelector,
        bounds: tuple[Ints, Ints],
        *,
        keep_stale: bool,
        inner: tuple[Ints, Ints] | None = None,
    ) -> Windows:
        series = self.store.select(selector.all_matchers())
        return Reader(self.deadline, self._check).windows(series, bounds, keep_stale=keep_stale, inner=inner)

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
            return from_vector(Vector.empty(0), times, (starts, ends), self.deadline)
        inner = replace(self, times=times)
        vector = inner.vector(expr.expr)
        self._check(len(vector.labels) * max(count, len(self.times)))
        return from_vector(vector, times, (starts, ends), self.deadline)

    def _operation(self, expr: Binary) -> Vector:
        left_scalar = expr.left.type is ValueType.SCALAR
        if left_scalar or expr.right.type is ValueType.SCALAR:
            vector, scalar = (expr.right, expr.left) if left_scalar else (expr.left, expr.right)
            return binary.with_scalar(expr, self.vector(vector), self.scalar(scalar), swapped=left_scalar)
        left, right = self.vector(expr.left), self.vector(expr.right)
        if expr.op in SET_OPERATORS:
            return binary.sets(expr, left, right)
        return binary.vectors(expr, left, right, self.deadline)

    def _aggregation(self, expr: Aggregate) -> Vector:
        param: Floats | str | None = None
        if expr.param is not None:
            is_text = expr.param.type is ValueType.STRING
            param = text(expr.param) if is_text else self.scalar(expr.param)
        return aggregations.aggregate(self.vector(expr.expr), expr, param, self.notes, self.deadline)

    def _bounded(self, vector: Vector) -> Vector:
        self._check(vector.values.size)
        return vector

    def _check(self, samples: int) -> None:
        if samples > self.limits.samples:
            raise LimitError("query processing would load too many samples into memory in query execution")


def literal(expr: Expr) -> str | None:
    """Return the text of a query that is a string, None for other queries."""
    while isinstance(expr, Paren):
        expr = expr.expr
    return expr.value if isinstance(expr, StringLiteral) else None
