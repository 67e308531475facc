"""`midwatch change operations`, and drafts from files."""

import json
from argparse import ArgumentParser
from pathlib import Path

import pytest

from midwatch_contracts.command import CommandError, Settings
from midwatch_mcp.commands import change
from midwatch_mcp.safe_apply.operations import OPERATIONS


def run(tmp_path: Path, *words: str) -> int:
    parser = ArgumentParser()
    change.configure(parser)
    return change.run(parser.parse_args(words), Settings(state=tmp_path / "state"))


def test_every_operation_is_listed_with_its_undo(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path, "operations", "--json") == 0
    listed = json.loads(capsys.readouterr().out)["operations"]
    assert [one["name"] for one in listed] == list(OPERATIONS)
    assert all(one["undone_by"] for one in listed)
    assert run(tmp_path, "operations") == 0
    assert len(capsys.readouterr().out.splitlines()) == len(OPERATIONS)


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_is_shown_with_an_example_that_fits(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    assert run(tmp_path, "operations", name, "--json") == 0
    one = json.loads(capsys.readouterr().out)
    OPERATIONS[name].parse(one["example"]["args"])
    assert set(one["example"]["args"]) <= set(one["schema"]["properties"])
    assert run(tmp_path, "operations", name) == 0
    assert f"op: {name}" in capsys.readouterr().out


def test_an_operation_that_there_is_not_names_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="one of set_args"):
        run(tmp_path, "operations", "explode")


@pytest.mark.parametrize("text", ["- a list", "{unclosed", "\x00", ""], ids=["list", "broken", "binary", "empty"])
def test_a_draft_that_is_no_mapping_is_refused_by_its_file(tmp_path: Path, text: str) -> None:
    file = tmp_path / "draft.yaml"
    file.write_text(text)
    with pytest.raises(CommandError, match=r"draft\.yaml"):
        run(tmp_path, "propose", str(file))
    with pytest.raises(CommandError, match="cannot be read"):
        run(tmp_path, "propose", str(tmp_path / "none.yaml"))
