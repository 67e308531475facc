"""Which rule files are accepted: those that `promtool check rules` accepts, of a corpus and mutated at random."""

import json
import random
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from midwatch_agents.cli import main
from midwatch_lab.metrics.rule_file import check

FOLDER = Path(__file__).parent / "rules"
CORPUS = yaml.safe_load((FOLDER / "checks.yaml").read_text())
GOOD = [path.read_text() for path in sorted(FOLDER.glob("*.rules.yaml"))]
FIELDS = [
    "for",
    "limit",
    "interval",
    "query_offset",
    "labels",
    "annotations",
    "alert",
    "record",
    "expr",
    "name",
    "rules",
    "keep_firing_for",
    "groups",
    "<<",
    "x",
    "5",
    "~",
]
SCALARS = (FOLDER / "scalars.txt").read_text().splitlines()
ODD = ":-{}[]\"'#&*!|>%@,$()\té"

SEEDS = st.integers(0, 2**32).map(random.Random)


def mutated(chance: random.Random, text: str) -> str:
    """Return a rule file with one or two changes: lines lost, doubled, moved; values, fields, characters replaced."""
    lines = text.split("\n")
    for _ in range(chance.choice((1, 1, 2))):
        place = chance.randrange(len(lines))
        line = lines[place]
        match chance.randrange(7):
            case 0:
                del lines[place]
            case 1:
                lines.insert(place, chance.choice(lines))
            case 2:
                lines[place] = " " * chance.randrange(6) + line.lstrip()
            case 3 if line:
                at = chance.randrange(len(line))
                lines[place] = line[:at] + chance.choice(("", *ODD)) + line[at + 1 :]
            case 4:
                lines[place] = re.sub(r"^(\s*(?:- )?)\w+:", lambda m: f"{m[1]}{chance.choice(FIELDS)}:", line)
            case _:
                lines[place] = re.sub(r"^(\s*(?:- )?\w+: ?).*", lambda m: m[1] + chance.choice(SCALARS), line)
        lines = lines or [""]
    # A second document is read differently from version to version.
    return re.sub(r"(?m)^---", "--", "\n".join(lines))


def promtool_accepts(binaries: Path, folder: Path, texts: Sequence[str]) -> list[bool]:
    """Ask promtool about all files at once."""
    paths = [folder / f"{number}.yml" for number in range(len(texts))]
    for path, text in zip(paths, texts, strict=True):
        path.write_text(text)
    command = [str(binaries / "promtool"), "check", "rules", "--lint=none", *map(str, paths)]
    ended = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60, check=False
    )
    said = ended.stdout.split("Checking ")[1:]
    assert len(said) == len(texts), ended.stdout[-2000:]
    assert all(("SUCCESS" in one) != ("FAILED" in one) for one in said)
    return ["SUCCESS" in one for one in said]


@pytest.mark.parametrize("entry", CORPUS, ids=[str(number) for number in range(len(CORPUS))])
def test_files_are_accepted_or_refused_as_the_corpus_says(entry: dict[str, object]) -> None:
    _, problems = check(str(entry["text"]))
    assert (not problems) == entry["ok"], [str(problem) for problem in problems]


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(SEEDS)
def test_a_file_that_is_wrong_is_refused_with_a_line_and_never_breaks_the_reader(chance: random.Random) -> None:
    text = mutated(chance, chance.choice(GOOD))
    _, problems = check(text)
    for problem in problems:
        assert problem.line <= text.count("\n") + 1
        assert problem.message


@pytest.mark.original
def test_promtool_says_of_the_corpus_what_it_says(prometheus_binaries: Path, tmp_path: Path) -> None:
    found = promtool_accepts(prometheus_binaries, tmp_path, [entry["text"] for entry in CORPUS])
    assert [entry["text"] for entry, one in zip(CORPUS, found, strict=True) if one != entry["ok"]] == []


@pytest.mark.original
@pytest.mark.slow
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(SEEDS)
def test_promtool_accepts_the_same_files_mutated_at_random(
    prometheus_binaries: Path, tmp_path: Path, chance: random.Random
) -> None:
    texts = [mutated(chance, chance.choice(GOOD)) for _ in range(30)]
    theirs = promtool_accepts(prometheus_binaries, tmp_path, texts)
    for text, accepted in zip(texts, theirs, strict=True):
        problems = check(text)[1]
        assert (not problems) == accepted, [*map(str, problems[:3]), text]


def test_the_command_names_each_fault_with_its_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good, bad = tmp_path / "good.yml", tmp_path / "bad.yml"
    good.write_text("groups: [{name: g, rules: [{record: r, expr: x}]}]")
    bad.write_text("groups:\n- name: g\n  rules:\n  - alert: A\n    expr: sum(\n    labels: {a: '{{ nope }}'}\n")
    assert main(["lab", "rules", "check", str(good)]) == 0
    assert capsys.readouterr().out == f"ok    {good}: 1 groups, 1 rules\n"
    assert main(["lab", "rules", "check", str(good), str(bad)]) == 2
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].startswith(f"FAIL  {bad}:5: group 'g', rule 1 (A): ")
    assert lines[2].startswith(f"FAIL  {bad}:6: group 'g', rule 1 (A): label a: ")
    assert main(["lab", "rules", "check", "--json", str(bad)]) == 2
    answer = json.loads(capsys.readouterr().out)
    assert (answer["ok"], [problem["line"] for problem in answer["files"][0]["problems"]]) == (False, [5, 6])


def test_the_command_runs_unit_tests_and_says_what_is_not_as_expected(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "r.yml").write_text("groups: [{name: g, rules: [{alert: A, expr: x > 1, for: 1m}]}]")
    test = tmp_path / "t.yml"
    lines = [
        "rule_files: ['*r.yml']",
        "tests:",
        "- interval: 1m",
        "  name: first",
        "  input_series: [{series: 'x{pod=\"a\"}', values: 0 2x3}]",
        "  alert_rule_test:",
        "  - {eval_time: 1m, alertname: A, exp_alerts: []}",
        "  - {eval_time: 2m, alertname: A, exp_alerts: [{exp_labels: {pod: a}}]}",
        "  promql_expr_test:",
        "  - {expr: sum(x), eval_time: 2m, exp_samples: [{value: 2}]}",
    ]
    test.write_text("\n".join(lines))
    assert main(["lab", "rules", "test", str(test)]) == 0
    assert capsys.readouterr().out == (
        f"ok    {test}:3: first: 3 expectations\nrules: 1 tests passed, 0 failed, 3 expectations, 0 unreadable\n"
    )
    test.write_text("\n".join(lines).replace("value: 2", "value: 3").replace("pod: a", "pod: b"))
    assert main(["lab", "rules", "test", str(test)]) == 1
    out = capsys.readouterr().out
    assert f'FAIL  {test}:8: A at 120 s: {{alertname="A", pod="a"}} fires' in out
    assert f"FAIL  {test}:10: sum(x) at 120 s answers {{}} 2, where {{}} 3 is expected" in out
    test.write_text("rule_files: [r.yml]\ntests: [{wrong: x}]")
    assert main(["lab", "rules", "test", "--json", str(test)]) == 2
    assert f"{test}:2: a test has no field 'wrong'" in json.loads(capsys.readouterr().out)["errors"][0]
    capsys.readouterr()
