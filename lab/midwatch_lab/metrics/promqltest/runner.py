"""Runs scripts: each evaluation is a case, and one that fails does not end the script.

As the original's runner does, an instant query is asked again with `@` set to its time at other times, and as the
middle step of a range query: all must answer alike.
"""

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from midwatch_contracts.promql import EVERY_FEATURE, Expr, ValueType, format_expr
from midwatch_lab.metrics.engine import query as queries
from midwatch_lab.metrics.engine.evaluate import Limits
from midwatch_lab.metrics.engine.query import Result
from midwatch_lab.metrics.errors import MetricsError
from midwatch_lab.metrics.promqltest.judge import answer_differs, notes_differ
from midwatch_lab.metrics.promqltest.script import Clear, Evaluation, Load, ScriptError, read_script
from midwatch_lab.metrics.promqltest.variants import variants
from midwatch_lab.metrics.store import Store

_MINUTE_S = 60.0
_OF_THE_QUERY = re.compile(r"(?:start|end|range|step)\(\)")
LIMITS = Limits(features=EVERY_FEATURE, timeout_s=100.0)
"""Scripts may use every part of the language that is offered."""


@dataclass(frozen=True)
class Outcome:
    """How one case went; `problem` is None where it answered as expected."""

    file: str
    line: int
    query: str
    problem: str | None


def run_script(text: str, name: str, limits: Limits = LIMITS) -> Iterator[Outcome]:
    """Run a script, case by case; `name` is the file's.

    Raises:
        ScriptError: before the first case, when the script cannot be read; at a load whose samples cannot be stored.
    """
    store = Store(retention_s=math.inf)
    for command in read_script(text, name):
        match command:
            case Load():
                _load(store, command, name)
            case Clear():
                store = Store(retention_s=math.inf)
            case Evaluation():
                yield Outcome(name, command.line, command.query, _problem(store, command, limits))


def _load(store: Store, command: Load, name: str) -> None:
    # Of two lines for one series the last counts.
    last = {labels: (line, labels, values) for line, labels, values in command.series}
    for line, labels, values in last.values():
        series = store.series(labels)
        for index, value in enumerate(values):
            if value is not None:
                try:
                    store.append(series, index * command.interval, value)
                except MetricsError as error:
                    raise ScriptError(f"{name}:{line}: {error}") from error


def _problem(store: Store, wanted: Evaluation, limits: Limits) -> str | None:
    if wanted.span is not None:
        span = queries.Span(wanted.span.start / 1000, wanted.span.end / 1000, wanted.span.step / 1000)
        return _judged(wanted, wanted.query, lambda: queries.over_range(store, wanted.expr, span, limits))
    for expr, at in [(wanted.expr, wanted.at), *variants(wanted.expr, wanted.at)]:
        same = expr is wanted.expr
        problem = _instant(store, wanted, (expr, wanted.query if same else format_expr(expr)), at, limits)
        if problem is not None:
            return problem if same else f"{problem} (asked as {format_expr(expr)} at {at / 1000:g} s)"
    return None


def _instant(store: Store, wanted: Evaluation, asked: tuple[Expr, str], at: int, limits: Limits) -> str | None:
    expr, text = asked
    problem = _judged(wanted, text, lambda: queries.instant(store, expr, at / 1000, limits))
    comparable = wanted.vector is None and wanted.string is None and not wanted.ordered and wanted.fail is None
    if problem is not None or not comparable or _OF_THE_QUERY.search(text):
        return problem
    span = queries.Span(at / 1000 - _MINUTE_S, at / 1000 + _MINUTE_S, _MINUTE_S)
    try:
        middle = _middle(queries.over_range(store, expr, span, limits), at / 1000, expr.type)
    except MetricsError as error:
        return f"as a range query it fails: {error}"
    problem = answer_differs(wanted, middle)
    return None if problem is None else f"{problem} (as a step of a range query)"


def _middle(found: Result, at: float, kind: ValueType) -> Result:
    """Return the answer at one step of a range query as that of an instant query."""
    series = [(labels, [(time, value)]) for labels, points in found.series for time, value in points if time == at]
    if kind is ValueType.SCALAR:
        return replace(found, type=kind, series=[], scalar=series[0][1][0])
    return replace(found, type=ValueType.VECTOR, series=series)


def _judged(wanted: Evaluation, text: str, ask: Callable[[], Result]) -> str | None:
    try:
        found = ask()
    except MetricsError as error:
        message = str(error).removeprefix('invalid parameter "query": ')
        if wanted.fail is None:
            return f"it fails: {message}"
        return None if wanted.fail.matches(message) else f"expected the failure {wanted.fail}, got: {message}"
    if wanted.fail is not None:
        return "expected a failure, and it answers"
    return notes_differ(wanted, text, found.notes) or answer_differs(wanted, found)
