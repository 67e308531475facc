"""`midwatch guide lint | show | list`."""

import argparse
import json
from pathlib import Path

import pytest

from midwatch_contracts.command import CommandError, Settings
from midwatch_tsg.commands import guide

CYCLE = """---
id: round
title: Round
---
## a: A
```step
wait: 1s
next: b
```
## b: B
```step
wait: 1s
next: a
```
"""


def midwatch_guide(tmp_path: Path, *arguments: str, guides: tuple[Path, ...] = ()) -> int:
    parser = argparse.ArgumentParser()
    guide.configure(parser)
    return guide.run(parser.parse_args(arguments), Settings(state=tmp_path, guides=guides))


def test_lint_passes_the_library(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert midwatch_guide(tmp_path, "lint", "--strict") == 0
    assert capsys.readouterr().out == "1 guides, 0 errors, 0 warnings\n"


def test_lint_names_file_line_defect_and_mend_and_ends_with_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "round.md"
    path.write_text(CYCLE)
    assert midwatch_guide(tmp_path, "lint", str(path)) == 2
    out = capsys.readouterr().out
    assert f"{path}:13: error: the steps form a cycle: a → b → a\n    mend: remove the way from `b` back to `a`" in out
    assert midwatch_guide(tmp_path, "lint", str(path), "--json") == 2
    answer = json.loads(capsys.readouterr().out)
    assert answer["ok"] is False
    assert [(problem["rule"], problem["line"]) for problem in answer["problems"] if problem["severity"] == "error"] == [
        ("flow.no_outcome", 1),
        ("flow.cycle", 13),
    ]


def test_warnings_fail_only_when_asked_to(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "plain.md"
    path.write_text("---\nid: p\ntitle: P\n---\n## a: A\n```step\noutcome: healthy\nsays: fine\n```\n")
    assert midwatch_guide(tmp_path, "lint", str(path)) == 0
    assert midwatch_guide(tmp_path, "lint", str(path), "--strict") == 2
    assert "warning: the guide always knows the answer" in capsys.readouterr().out


def test_show_draws_every_step_once_and_its_ways(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert midwatch_guide(tmp_path, "show", "ttft-slo-burn") == 0
    drawn = capsys.readouterr().out
    assert midwatch_guide(tmp_path, "show", "ttft-slo-burn", "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["start"] == "telemetry"
    for step in answer["steps"]:
        assert f"── {step['id']}  " in drawn or f"→ {step['id']}  " in drawn
    assert "judge (above)" in drawn


def test_show_draws_a_cycle_and_what_is_not_reached_to_an_end(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "round.md"
    path.write_text(CYCLE + "## c: C\n```step\noutcome: healthy\nsays: x\n```\n")
    assert midwatch_guide(tmp_path, "show", str(path)) == 0
    out = capsys.readouterr().out
    assert "a (above)" in out
    assert "not reached → c" in out


def test_list_names_the_guides_of_every_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.md").write_text(CYCLE)
    assert midwatch_guide(tmp_path, "list", "--json", guides=(tmp_path,)) == 0
    assert [entry["id"] for entry in json.loads(capsys.readouterr().out)] == ["ttft-slo-burn", "round"]
    assert midwatch_guide(tmp_path, "list", guides=(tmp_path,)) == 0
    assert "round" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [("show", "nothing"), ("lint", "missing.md"), ("show", "missing.md")])
def test_what_is_not_there_is_bad_input(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    with pytest.raises(CommandError) as caught:
        midwatch_guide(tmp_path, *arguments)
    assert caught.value.code == 2
