"""What our rules say at every minute of an hour, given to the original's `promtool test rules` as what to expect.

`rules/*.rules.yaml` are the rule files, `rules/*.test.yaml` their samples in promtool's own format; the expectations
are filled in from our evaluation. Then one expectation of each file is altered, and promtool must disagree.
"""

import copy
import json
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from midwatch_contracts.promql import DEFAULT_FEATURES
from midwatch_lab.metrics.engine.evaluate import Limits
from midwatch_lab.metrics.labels import Labels
from midwatch_lab.metrics.rule_file import Group
from midwatch_lab.metrics.ruletest.document import read_tests
from midwatch_lab.metrics.ruletest.judge import load_groups, run_tests
from midwatch_lab.metrics.ruletest.rehearsal import Rehearsal, ordered

FOLDER = Path(__file__).parent / "rules"
FILES = sorted(FOLDER.glob("*.test.yaml"))
MINUTES = 60
LEAST_FILES = 20


@dataclass
class Filled:
    """One unit test, filled in, and what there was to expect."""

    document: dict[str, Any]
    fired: int = 0
    silent: frozenset[str] = frozenset()
    """Alerts that never fire."""
    pending: int = 0
    samples: int = 0
    expectations: int = 0


def _expected(labels: Labels, value: float) -> dict[str, Any]:
    return {"labels": "{" + ",".join(f"{name}={json.dumps(text)}" for name, text in labels) + "}", "value": value}


def _names(groups: Iterable[Group], *, alerts: bool) -> list[str]:
    return sorted({rule.name for group in groups for rule in group.rules if rule.alert == alerts})


def filled(path: Path) -> Filled:
    """Evaluate a file's rules over its samples and say at every minute what came of it."""
    found = Filled(yaml.safe_load(path.read_text()))
    file, problems = read_tests(path.read_text())
    assert not problems, problems
    groups = load_groups(file.paths(path.parent))
    (test,) = file.tests
    raw = found.document["tests"][0]
    raw["alert_rule_test"], raw["promql_expr_test"] = [], []
    written = "|".join(["ALERTS", "ALERTS_FOR_STATE", *_names(groups, alerts=False)])
    # NaN is equal to nothing in promtool, so it is counted and not compared.
    queries = (f'{{__name__=~"{written}"}} >= -Inf', f'count by (__name__) ({{__name__=~"{written}"}})')
    rehearsal = Rehearsal.of(test, ordered(groups, file.order), file.interval_s, Limits(features=DEFAULT_FEATURES))
    times = [step * file.interval_s for step in range(int(MINUTES * 60 / file.interval_s) + 1)]
    for at in times:
        assert rehearsal.evaluate(at) == []
        for minute in range(int(at // 60), int((at + file.interval_s - 1) // 60) + 1):
            if at <= minute * 60 <= MINUTES * 60:
                _fill_alerts(found, raw, rehearsal, minute, _names(groups, alerts=True))
    for minute in range(MINUTES + 1):
        for query in queries:
            answer = rehearsal.ask(query, minute * 60.0)
            samples = [_expected(labels, value) for labels, value in answer]
            found.samples += len(samples)
            found.pending += sum(dict(labels).get("alertstate") == "pending" for labels, _ in answer)
            raw["promql_expr_test"].append({"expr": query, "eval_time": f"{minute}m", "exp_samples": samples})
    loud = {case["alertname"] for case in raw["alert_rule_test"] if case["exp_alerts"]}
    found.silent = frozenset(_names(groups, alerts=True)) - loud
    found.expectations = len(raw["alert_rule_test"]) + len(raw["promql_expr_test"])
    return found


def _fill_alerts(found: Filled, raw: dict[str, Any], rehearsal: Rehearsal, minute: int, names: list[str]) -> None:
    for name in names:
        firing = rehearsal.firing(name)
        found.fired += len(firing)
        expected = [{"exp_labels": one.labels, "exp_annotations": one.annotations} for one in firing]
        raw["alert_rule_test"].append({"eval_time": f"{minute}m", "alertname": name, "exp_alerts": expected})


def _text(document: dict[str, Any]) -> str:
    """Return a document as JSON, but for infinities, which YAML writes in its own way."""
    return (
        json.dumps(document)
        .replace('"value": Infinity', '"value": .inf')
        .replace('"value": -Infinity', '"value": -.inf')
    )


def _altered(document: dict[str, Any], number: int) -> dict[str, Any]:
    """Return a unit test with one expectation changed: a value, an annotation, an alert that is not there, or none."""
    changed = copy.deepcopy(document)
    test = changed["tests"][0]
    firing = [case for case in test["alert_rule_test"] if case["exp_alerts"]]
    answered = [case for case in test["promql_expr_test"] if case["exp_samples"]]
    match number % 4:
        case 0:
            answered[-1]["exp_samples"][0]["value"] += 1
        case 1:
            firing[-1]["exp_alerts"][0]["exp_annotations"]["added"] = "x"
        case 2:
            firing[0]["exp_alerts"].pop()
        case _:
            test["alert_rule_test"][0]["exp_alerts"].append({"exp_labels": {"nobody": "knows"}})
    return changed


def _promtool(binaries: Path, folder: Path, documents: dict[str, dict[str, Any]]) -> dict[str, str]:
    """Run promtool once over all unit tests; return what it says of each."""
    folder.mkdir()
    for rules in FOLDER.glob("*.rules.yaml"):
        shutil.copy(rules, folder)
    paths = [folder / name for name in documents]
    for path in paths:
        path.write_text(_text(documents[path.name]))
    command = [str(binaries / "promtool"), "test", "rules", *map(str, paths)]
    ended = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120, check=False
    )
    said = ended.stdout.split("Processing test file: ")[1:]
    assert len(said) == len(documents), ended.stdout[-3000:]
    return dict(zip(documents, said, strict=True))


@pytest.mark.original
@pytest.mark.slow
def test_promtool_agrees_with_our_rules_at_every_minute_of_an_hour_and_with_no_altered_expectation(
    prometheus_binaries: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    all_filled = {path.name: filled(path) for path in FILES}
    said = _promtool(prometheus_binaries, tmp_path / "true", {name: one.document for name, one in all_filled.items()})
    refused = {name: text for name, text in said.items() if "SUCCESS" not in text}
    assert not refused, "\n".join(text[:3000] for text in refused.values())
    altered = {name: _altered(one.document, number) for number, (name, one) in enumerate(all_filled.items())}
    said = _promtool(prometheus_binaries, tmp_path / "altered", altered)
    believed = [name for name, text in said.items() if "FAILED" not in text]
    assert not believed, f"promtool believes altered expectations of {believed}"
    totals = [sum(getattr(one, field) for one in all_filled.values()) for field in ("expectations", "fired", "samples")]
    assert len(FILES) >= LEAST_FILES
    assert all(one.samples for one in all_filled.values()), "a file in which little happens"
    assert not {alert for one in all_filled.values() for alert in one.silent}, "an alert that never fires"
    with capsys.disabled():
        print(  # noqa: T201 (the figure)
            f"\nrules: {len(FILES)} files, {MINUTES + 1} minutes, {totals[0]} expectations ({totals[1]} firing alerts, "
            f"{totals[2]} samples): promtool agrees with {len(FILES)}, and refuses {len(altered)} altered"
        )


@pytest.mark.slow
def test_our_own_runner_agrees_with_what_our_rules_say_and_refuses_what_is_altered(tmp_path: Path) -> None:
    for number, path in enumerate(FILES[:4]):
        shutil.copytree(FOLDER, tmp_path / path.name)
        target = tmp_path / path.name / path.name
        one = filled(path)
        target.write_text(_text(one.document))
        assert [verdict.problems for verdict in run_tests(target)] == [()]
        target.write_text(_text(_altered(one.document, number)))
        assert [len(verdict.problems) for verdict in run_tests(target)] == [1]
