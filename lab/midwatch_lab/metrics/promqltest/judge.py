"""Whether an answer is the one that a script expects; what differs is said in one line."""

from midwatch_contracts.promql import ValueType
from midwatch_lab.metrics.engine.annotations import Annotations
from midwatch_lab.metrics.engine.query import Points, Result
from midwatch_lab.metrics.labels import Labels, show
from midwatch_lab.metrics.numbers import sample_text
from midwatch_lab.metrics.promqltest.script import Evaluation, Note, Span
from midwatch_lab.metrics.promqltest.values import Sequence, almost_equal


def notes_differ(wanted: Evaluation, query: str, found: Annotations) -> str | None:
    """Say how warnings and infos are not those expected; None where they are."""
    warnings, infos = found.rendered(query)
    return _of_kind("warning", wanted.warn, warnings, none=wanted.no_warn) or _of_kind(
        "info", wanted.info, infos, none=wanted.no_info
    )


def _of_kind(kind: str, wanted: list[Note], found: list[str], *, none: bool) -> str | None:
    if none and found:
        return f"expected no {kind}, got {found}"
    for note in wanted:
        if not any(note.matches(text) for text in found):
            return f"expected the {kind} {note}, got {found or 'none'}"
    for text in found if wanted else ():
        if not any(note.matches(text) for note in wanted):
            return f"unexpected {kind}: {text}"
    return None


def answer_differs(wanted: Evaluation, found: Result) -> str | None:  # noqa: PLR0911 (one return a kind of answer)
    """Say how an answer is not the one expected; None where it is."""
    if found.type is ValueType.STRING:
        text = "" if found.text is None else found.text[1]
        return None if text == wanted.string else f"expected the string {wanted.string!r}, got {text!r}"
    if wanted.string is not None:
        return f"expected the string {wanted.string!r}, got a {found.type}"
    if found.type is ValueType.SCALAR:
        value = found.scalar[1] if found.scalar is not None else 0.0
        return _scalar_differs(wanted, value)
    if wanted.scalar is not None:
        return f"expected the scalar {sample_text(wanted.scalar)}, got a {found.type}"
    if found.type is ValueType.MATRIX:
        span = wanted.span if wanted.span is not None else wanted.vector
        if span is None:
            return "a range vector needs `expect range vector from START to END step STEP`"
        return _matrix_differs(wanted, found, span)
    return _vector_differs(wanted, found)


def _scalar_differs(wanted: Evaluation, value: float) -> str | None:
    if wanted.scalar is None:
        return f"expected series, got the scalar {sample_text(value)}"
    same = almost_equal(value, wanted.scalar)
    return None if same else f"expected the scalar {sample_text(wanted.scalar)}, got {sample_text(value)}"


def _vector_differs(wanted: Evaluation, found: Result) -> str | None:
    expected = dict(wanted.series)
    for position, (labels, points) in enumerate(found.series):
        value = points[0][1]
        if labels not in expected:
            return f"unexpected series {show(labels)} with {sample_text(value)}"
        if wanted.ordered and wanted.series[position][0] != labels:
            return f"{show(labels)} is series {position + 1}, where {show(wanted.series[position][0])} is expected"
        values = expected[labels]
        if len(values) != 1 or values[0] is None:
            return f"one value is to be expected of {show(labels)}, not {_shown(values)}"
        if not almost_equal(value, values[0]):
            return f"expected {sample_text(values[0])} for {show(labels)}, got {sample_text(value)}"
    return _missing(wanted, found)


def _matrix_differs(wanted: Evaluation, found: Result, span: Span) -> str | None:
    expected = dict(wanted.series)
    for labels, points in found.series:
        if labels not in expected:
            return f"unexpected series {show(labels)} with {_points(points)}"
        values = expected[labels]
        if span.start + (len(values) - 1) * span.step > span.end:
            return f"{len(values)} values are expected of {show(labels)}, more than the times of the query"
        wanted_points = [
            ((span.start + index * span.step) / 1000, value) for index, value in enumerate(values) if value is not None
        ]
        same = len(points) == len(wanted_points) and all(
            at == wanted_at and almost_equal(value, wanted_value)
            for (at, value), (wanted_at, wanted_value) in zip(points, wanted_points, strict=True)
        )
        if not same:
            return f"expected {_points(wanted_points)} for {show(labels)}, got {_points(points)}"
    return _missing(wanted, found)


def _missing(wanted: Evaluation, found: Result) -> str | None:
    there = {labels for labels, _ in found.series}
    lost: list[Labels] = [labels for labels, _ in wanted.series if labels not in there]
    return f"expected the series {show(lost[0])}, which is not in the answer" if lost else None


def _points(points: Points) -> str:
    return " ".join(f"{sample_text(value)}@{at:g}" for at, value in points) or "nothing"


def _shown(values: Sequence) -> str:
    return " ".join("_" if value is None else sample_text(value) for value in values) or "nothing"
