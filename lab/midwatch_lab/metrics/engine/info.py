"""`info(v, {matchers})`: adds the labels of info metrics such as `target_info` to the series of the same target.

Targets are known by `instance` and `job`. Of two info series that differ, the one with the newer sample counts.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from midwatch_contracts.promql import (
    Call,
    Expr,
    Matcher,
    Subquery,
    ValueType,
    VectorSelector,
    children,
    quote_pattern,
)
from midwatch_lab.metrics.engine.arguments import Evaluator, Times
from midwatch_lab.metrics.engine.values import Bools, Floats, Vector, merge
from midwatch_lab.metrics.errors import ExecutionError
from midwatch_lab.metrics.labels import METADATA, NAME, Labels, braced, drop, from_dict, keep, value_of
from midwatch_lab.metrics.patterns import holds

_IDENTITY = ("instance", "job")
_TARGET_INFO = Matcher(NAME, "=", "target_info")


@dataclass
class _Wanted:
    """What the second argument asks for: of the metric's name, and of other labels."""

    names: list[Matcher]
    others: list[Matcher]

    @classmethod
    def of(cls, call: Call) -> "_Wanted":
        if len(call.args) == 1:
            return cls([_TARGET_INFO], [])
        selector = call.args[1]
        assert isinstance(selector, VectorSelector)  # noqa: S101 (the parser checked it)
        names = [m for m in selector.matchers if m.name == NAME]
        others = [m for m in selector.matchers if m.name != NAME]
        if any(m.op in ("=", "=~") for m in names):
            return cls(names, others)
        return cls([Matcher(NAME, "=~", ".+_info"), *names] if names else [_TARGET_INFO], others)

    def is_info(self, labels: Labels) -> bool:
        """Say whether a series is itself an info series."""
        return all(holds(matcher, value_of(labels, NAME)) for matcher in self.names)

    def takes(self, label: str) -> bool:
        """Say whether a label of an info series is added."""
        return not self.others or any(matcher.name == label for matcher in self.others)

    def optional(self) -> bool:
        """Say whether a series without info series stays."""
        return all(holds(matcher, "") for matcher in self.others)


def info(evaluator: Evaluator, call: Call) -> Vector:
    """Answer `info`.

    Raises:
        ExecutionError: for two info series of one target and time, or labels that contradict each other.
    """
    wanted = _Wanted.of(call)
    base = evaluator.vector(call.args[0])
    plain = [wanted.is_info(labels) for labels in base.labels]
    selectors = [] if all(plain) else _matcher_sets(base, plain, wanted)
    point, offset = _reference(call.args[0], evaluator.asked)
    found: list[tuple[Labels, Floats, Bools]] = []
    for matchers in selectors:
        selector = VectorSelector(None, tuple(matchers), call.start, call.end, offset_ms=offset, at=point)
        times = evaluator.sample_times(selector)
        found += list(zip(times.labels, times.values, times.present, strict=True))
    problems = _Problems()
    newest = _newest(found, len(evaluator.times), problems)
    out: list[tuple[Labels, int, Bools]] = []
    for row, labels in enumerate(base.labels):
        if plain[row]:
            out.append((labels, row, base.present[row]))
        else:
            out += [(made, row, there) for made, there in _enriched(base, row, newest, wanted, problems)]
    problems.refuse()
    rows = [row for _, row, _ in out]
    present = np.array([there for _, _, there in out], dtype=np.bool_).reshape(len(out), len(evaluator.times))
    return merge(Vector([labels for labels, _, _ in out], base.values[rows], present))


@dataclass
class _Problems:
    """What contradicts itself: the query fails with that of the earliest step."""

    step: int | None = None
    text: str = ""

    def add(self, step: int, text: str) -> None:
        if self.step is None or step < self.step:
            self.step, self.text = step, text

    def refuse(self) -> None:
        if self.step is not None:
            raise ExecutionError(self.text)


def _matcher_sets(base: Vector, plain: list[bool], wanted: _Wanted) -> list[list[Matcher]]:
    """Return matchers for the info series of the targets in `base`, one set for each way of being identified."""
    groups: dict[tuple[bool, ...], list[set[str]]] = {}
    for labels, skip in zip(base.labels, plain, strict=True):
        values = [value_of(labels, name) for name in _IDENTITY]
        if skip or not any(values):
            continue
        group = groups.setdefault(tuple(map(bool, values)), [set() for _ in _IDENTITY])
        for known, value in zip(group, values, strict=True):
            known.add(value)
    return [
        [_identity(name, values) for name, values in zip(_IDENTITY, group, strict=True)] + wanted.others + wanted.names
        for group in groups.values()
    ]


def _identity(name: str, values: set[str]) -> Matcher:
    if values == {""}:
        return Matcher(name, "=", "")
    return Matcher(name, "=~", "|".join(quote_pattern(value) for value in sorted(values)))


def _signature(labels: Labels) -> Labels:
    return keep(labels, _IDENTITY)


def _newest(
    found: list[tuple[Labels, Floats, Bools]], steps: int, problems: _Problems
) -> dict[Labels, dict[str, list[Labels | None]]]:
    """Return, by target and info metric, the labels of the info series with the newest sample at each step."""
    best: defaultdict[Labels, dict[str, tuple[list[Labels | None], Floats]]] = defaultdict(dict)
    for labels, times, present in found:
        nothing: list[Labels | None] = [None] * steps
        target = _signature(labels)
        chosen, at = best[target].setdefault(value_of(labels, NAME), (nothing, np.full(steps, -np.inf)))
        for step in np.flatnonzero(present).tolist():
            other = chosen[step]
            if other is not None and at[step] == times[step]:
                problems.add(
                    step,
                    f"found duplicate series for info metric: existing {braced(other)} @ {round(at[step] * 1000)}, "
                    f"new {braced(labels)} @ {round(times[step] * 1000)}",
                )
            if times[step] > at[step]:
                chosen[step], at[step] = labels, times[step]
    return {target: {name: chosen for name, (chosen, _) in named.items()} for target, named in best.items()}


def _enriched(
    base: Vector,
    row: int,
    newest: dict[Labels, dict[str, list[Labels | None]]],
    wanted: _Wanted,
    problems: _Problems,
) -> Iterator[tuple[Labels, Bools]]:
    """Return the label sets that one series gets, and at which steps."""
    labels = base.labels[row]
    own = dict(labels)
    infos = newest.get(_signature(labels), {}) if _signature(labels) else {}
    made: dict[Labels, Bools] = {}
    for step in np.flatnonzero(base.present[row]).tolist():
        matched = [one for chosen in infos.values() if (one := chosen[step]) is not None]
        if not matched and not wanted.optional():
            continue
        added: dict[str, str] = {}
        for one in matched:
            for name, value in drop(one, METADATA):
                if not wanted.takes(name):
                    continue
                if added.get(name, value) != value:
                    problems.add(step, f"conflicting label: {name}")
                if name not in own:
                    added[name] = value
        key = from_dict({**own, **added})
        if key not in made:
            made[key] = np.zeros(base.present.shape[1], dtype=np.bool_)
        made[key][step] = True
    yield from made.items()


_Reading = tuple[int | None, int]
"""(time to read at in ms, None for that of the evaluation; offset in ms); a time that is set has no offset."""


def _reference(expr: Expr, asked: Times) -> _Reading:
    """Return when all series of `expr` are read, (None, 0) where they differ."""
    found = set(_references(expr, (None, 0), asked))
    if len(found) != 1:
        return None, 0
    return next(iter(found)) or (None, 0)


def _references(expr: Expr, outer: _Reading, asked: Times) -> Iterator[_Reading | None]:
    """Return when each selector below is read; None for a vector without any."""
    if expr.type not in (ValueType.VECTOR, ValueType.MATRIX):
        return
    if isinstance(expr, VectorSelector | Subquery):
        here = expr.offset_ms or 0
        if expr.at is not None:
            point = expr.at if isinstance(expr.at, int) else asked.start if expr.at == "start" else asked.end
            outer = (point - here, 0)
        else:
            outer = (outer[0] - here, 0) if outer[0] is not None else (None, outer[1] + here)
    if isinstance(expr, VectorSelector):
        yield outer
        return
    inner = children(expr)[:1] if isinstance(expr, Call) and expr.function == "info" else children(expr)
    empty = True
    for child in inner:
        for one in _references(child, outer, asked):
            empty = empty and one is None
            yield one
    if empty:
        yield None
