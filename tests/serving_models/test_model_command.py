"""`midwatch model` as a user meets it: what it prints, and how it ends."""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from midwatch_contracts.command import CommandError, Settings
from midwatch_serving import model_command
from midwatch_serving.commands import configure_model
from midwatch_serving.pull_progress import BarProgress, LineProgress

Run = Callable[..., str]


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """`run("list")` returns what it printed; it must end with 0."""

    def ran(*argv: str) -> str:
        parser = argparse.ArgumentParser()
        configure_model(parser)
        assert model_command.model(parser.parse_args(argv), Settings(state=tmp_path / "state")) == 0
        return capsys.readouterr().out

    return ran


@pytest.fixture
def file(small: Any, tmp_path: Path) -> Path:
    return small().write(tmp_path / "mine.gguf")


def test_a_model_is_pulled_listed_shown_and_removed(run: Run, file: Path, tmp_path: Path) -> None:
    path = tmp_path / "state/models/mine/mine.gguf"
    assert run("list") == "no models yet: midwatch model pull smollm2\n"
    assert run("pull", "mine", "--gguf", str(file)) == f"mine is here: {path} (0.3 MB)\n"
    assert run("pull", "mine", "--gguf", str(file)) == f"mine was here already, whole: {path} (0.3 MB)\n"
    assert "mine" in run("list")
    shown = dict(line.split(maxsplit=1) for line in run("show", "mine").splitlines())
    assert (shown["config.layers"], shown["about.quantisation"], shown["path"]) == ("2", "F32", str(path))
    assert run("remove", "mine") == "mine was removed\n"
    assert run("list") == "no models yet: midwatch model pull smollm2\n"


def test_every_action_speaks_json(run: Run, file: Path) -> None:
    assert json.loads(run("list", "--json")) == []
    pulled = json.loads(run("pull", "mine", "--gguf", str(file), "--link", "--json"))
    assert (pulled["name"], pulled["fresh"], pulled["path"]) == ("mine", True, str(file))
    del pulled["fresh"]
    assert json.loads(run("list", "--json")) == [pulled]
    shown = json.loads(run("show", "mine", "--json"))
    assert {key: shown[key] for key in pulled} == pulled
    assert shown["config"]["architecture"] == "llama"
    assert json.loads(run("remove", "mine", "--json")) == {"removed": "mine"}


def test_a_file_that_is_in_no_store_can_be_shown_by_its_path(run: Run, file: Path) -> None:
    assert json.loads(run("show", str(file), "--json"))["about"]["name"] == "small"


def test_weights_that_changed_since_they_were_pulled_are_told(run: Run, file: Path) -> None:
    run("pull", "mine", "--gguf", str(file), "--link")
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    with pytest.raises(CommandError, match="has changed since it was pulled"):
        run("show", "mine")


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["pull", "unheard-of"], "where 'unheard-of' lies is not known: give --gguf PATH or --from-hub"),
        (["pull", "smollm2", "--link"], "it goes with --gguf PATH"),
        (["pull", "mine", "--gguf", "/nowhere/x.gguf"], r"/nowhere/x\.gguf cannot be read"),
        (["show", "smollm2"], "run `midwatch model pull smollm2`"),
        (["remove", "mine"], "there is no model 'mine' to remove"),
        (["remove", "../state"], "a model cannot be called"),
    ],
)
def test_what_cannot_be_done_is_told_with_the_mend(run: Run, argv: list[str], says: str) -> None:
    with pytest.raises(CommandError, match=says) as caught:
        run(*argv)
    assert caught.value.code == 2


def test_a_broken_file_is_told_without_a_traceback(run: Run, tmp_path: Path) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"not at all")
    with pytest.raises(CommandError, match="is no GGUF file"):
        run("show", str(broken))


def test_a_state_folder_that_cannot_be_written_is_told(run: Run, file: Path, tmp_path: Path) -> None:
    (tmp_path / "state").write_text("in the way")
    with pytest.raises(CommandError, match="MIDWATCH_STATE"):
        run("pull", "mine", "--gguf", str(file))


def test_progress_in_lines_names_every_tenth(capsys: pytest.CaptureFixture[str]) -> None:
    with LineProgress().task("x.whl", 1000) as task:
        for count in range(0, 1001, 5):
            task.at(count)
    lines = capsys.readouterr().err.splitlines()
    assert lines == [f"midwatch: x.whl: {percent} % of 0 MB" for percent in range(0, 101, 10)]
    with LineProgress().task("x.whl", None) as task:
        for count in range(0, 200_000_001, 10_000_000):
            task.at(count)
    assert [line.split()[-2] for line in capsys.readouterr().err.splitlines()] == ["0", "70", "140"]


def test_progress_on_a_terminal_is_a_bar(capsys: pytest.CaptureFixture[str]) -> None:
    progress = BarProgress()
    with progress.task("x.whl", 1000) as task:
        task.at(1000)
    progress.say("[done]")
    shown = capsys.readouterr().err
    assert "x.whl" in shown
    assert "midwatch: [done]" in shown
