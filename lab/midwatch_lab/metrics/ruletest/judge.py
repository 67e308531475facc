"""Runs unit tests of rule files and says what is not as expected."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from midwatch_contracts.promql import DEFAULT_FEATURES, Features
from midwatch_lab.metrics.engine.evaluate import Limits
from midwatch_lab.metrics.errors import MetricsError, RulesError
from midwatch_lab.metrics.labels import Labels, from_dict, show
from midwatch_lab.metrics.numbers import sample_text
from midwatch_lab.metrics.rule_file import Group, check
from midwatch_lab.metrics.ruletest.document import AlertCase, QueryCase, RuleTest, TestFile, read_tests
from midwatch_lab.metrics.ruletest.rehearsal import Rehearsal, failure, ordered

_TIMEOUT_S = 100.0


@dataclass(frozen=True)
class Verdict:
    """How one test went: `expected` counts what it expects, `problems` says what is not so (line, text)."""

    file: str
    line: int
    name: str
    expected: int
    problems: tuple[tuple[int, str], ...]


def run_tests(path: Path, features: Features = DEFAULT_FEATURES) -> Iterator[Verdict]:
    """Run the tests of a file.

    Raises:
        RulesError: when the file, or a rule file that it names, cannot be read; with `file:line` of each fault.
    """
    found, problems = read_tests(_text(path))
    if problems:
        raise RulesError("\n".join(f"{path}:{problem}" for problem in problems))
    groups = load_groups(found.paths(path.parent), features)
    for test in found.tests:
        yield judge(path, found, test, groups, features)


def load_groups(paths: Sequence[Path], features: Features = DEFAULT_FEATURES) -> list[Group]:
    """Read rule files.

    Raises:
        RulesError: names `file:line` and what is wrong, for every fault.
    """
    found: list[Group] = []
    faults: list[str] = []
    for path in paths:
        groups, problems = check(_text(path), features, str(path))
        found += groups
        faults += [f"{path}:{problem}" for problem in problems]
    if faults:
        raise RulesError("\n".join(faults))
    return found


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RulesError(f"{path}: cannot be read: {error}") from error


def judge(path: Path, file: TestFile, test: RuleTest, groups: Sequence[Group], features: Features) -> Verdict:
    """Run one test. A rule that fails ends it, as in promtool."""
    limits = Limits(timeout_s=_TIMEOUT_S, features=features)
    rehearsal = Rehearsal.of(test, ordered(groups, file.order), file.interval_s, limits)
    problems = list(_over_time(rehearsal))
    if not any(line == test.line for line, _ in problems):
        for case in test.queries:
            problem = _answer_differs(rehearsal, case, fuzzy=file.fuzzy)
            if problem is not None:
                problems.append((case.line, problem))
    return Verdict(str(path), test.line, test.name, len(test.alerts) + len(test.queries), tuple(problems))


def _over_time(rehearsal: Rehearsal) -> Iterator[tuple[int, str]]:
    """Evaluate the rules from the start to the end; an alert is looked for at the evaluation before or at its time."""
    for at in rehearsal.times():
        failed = rehearsal.evaluate(at)
        if failed:
            yield from ((rehearsal.test.line, f"at {at:g} s {problem}") for problem in failed)
            return
        for case in rehearsal.test.alerts:
            if at <= case.at_s < at + rehearsal.interval_s:
                problem = _alerts_differ(rehearsal, case)
                if problem is not None:
                    yield case.line, problem


def _alerts_differ(rehearsal: Rehearsal, case: AlertCase) -> str | None:
    expected = sorted(
        (from_dict({**labels, "alertname": case.name}), from_dict(annotations)) for labels, annotations in case.alerts
    )
    found = sorted((from_dict(one.labels), from_dict(one.annotations)) for one in rehearsal.firing(case.name))
    if found == expected:
        return None
    where = f"{case.name} at {case.at_s:g} s"
    for labels, annotations in found:
        if (labels, annotations) not in expected:
            return f"{where}: {show(labels)} fires with annotations {dict(annotations)}, which is not expected"
    missing = next(pair for pair in expected if expected.count(pair) > found.count(pair))
    return f"{where}: {show(missing[0])} with annotations {dict(missing[1])} is expected and does not fire"


def _answer_differs(rehearsal: Rehearsal, case: QueryCase, *, fuzzy: bool) -> str | None:
    where = f"{case.query} at {case.at_s:g} s"
    try:
        found = rehearsal.ask(case.query, case.at_s)
    except MetricsError as error:
        return f"{where} fails: {failure(error)}"
    expected = sorted(case.samples)
    same = len(found) == len(expected) and all(
        labels == wanted and _equal(value, wanted_value, fuzzy=fuzzy)
        for (labels, value), (wanted, wanted_value) in zip(found, expected, strict=True)
    )
    return None if same else f"{where} answers {_shown(found)}, where {_shown(expected)} is expected"


def _equal(one: float, two: float, *, fuzzy: bool) -> bool:
    """Say whether two values are the same, or neighbours where that is enough. NaN is equal to nothing, as there."""
    return one == two or (fuzzy and math.nextafter(one, two) == two)


def _shown(samples: Sequence[tuple[Labels, float]]) -> str:
    return ", ".join(f"{show(labels)} {sample_text(value)}" for labels, value in samples) or "nothing"
