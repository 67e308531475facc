"""The supervisor's commands as a user types them, where nothing answers: clear words, the right exit code."""

import io
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from midwatch_agents.cli import main

KUBECONFIG = """\
apiVersion: v1
kind: Config
current-context: a
clusters: [{name: a, cluster: {server: "http://127.0.0.1:1"}}]
users: [{name: a, user: {token: x}}]
contexts: [{name: a, context: {cluster: a, user: a}}]
"""
ALERT = '{"labels": {"alertname": "TimeToFirstTokenHigh", "namespace": "llm", "service": "chat"}}'


@dataclass
class Answer:
    """What a command came to."""

    returncode: int
    stdout: str
    stderr: str


class Desk:
    """A state folder, and a cluster that does not answer. Commands run in this process: starting one costs seconds."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch, capture: pytest.CaptureFixture[str]) -> None:
        self.state = folder / "state"
        self._patch, self._capture = patch, capture
        (folder / "kubeconfig").write_text(KUBECONFIG)
        for name in [name for name in os.environ if name.startswith("MIDWATCH_")]:
            patch.delenv(name)
        patch.setenv("KUBECONFIG", str(folder / "kubeconfig"))
        patch.setenv("XDG_CONFIG_HOME", str(folder / "none"))
        patch.chdir(folder)

    def run(self, *words: str, said: str = "") -> Answer:
        self._patch.setattr(sys, "stdin", io.StringIO(said))
        code = main(["--state", str(self.state), *words])
        out, err = self._capture.readouterr()
        return Answer(code, out, err)


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Desk:
    return Desk(tmp_path, monkeypatch, capsys)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "give either a question or --alert FILE"),
        (["why?", "--alert", "-"], "give either a question or --alert FILE"),
        (["--alert", "missing.json"], "missing.json: cannot be read"),
        (["--alert", "-"], "the alert is no JSON"),
        (["why?", "--input", "window"], "write it as NAME=VALUE"),
        (["why?", "--input", "a=1", "--input", "a=2"], "given twice"),
        (["why?", "--yes", "--deny"], "not allowed with argument"),
        (["--lab=nowhere", "why?"], "no lab is running"),
    ],
)
def test_bad_input_ends_with_exit_2_and_what_to_do_and_leaves_no_run(desk: Desk, words: list[str], says: str) -> None:
    answer = desk.run("investigate", *words)
    assert answer.returncode == 2, answer.stderr
    assert says in answer.stderr
    assert answer.stdout == ""
    assert not (desk.state / "runs").exists()


def test_a_cluster_that_does_not_answer_ends_with_exit_2_and_leaves_a_run_to_resume(desk: Desk) -> None:
    answer = desk.run("investigate", "why is chat slow?", "--json")
    assert (answer.returncode, answer.stdout) == (2, "")
    assert "cannot be reached" in answer.stderr
    (run,) = json.loads(desk.run("runs", "list", "--json").stdout)
    assert (run["state"], run["asked"]) == ("open", "why is chat slow?")
    ledger = json.loads(desk.run("runs", "show", "--json").stdout)["ledger"]
    assert [entry["kind"] for entry in ledger] == ["begun", "tool_error", "error"]
    assert desk.run("resume").returncode == 2
    assert desk.run("runs", "show").returncode == 3


def test_metrics_that_do_not_answer_are_escalated_and_the_answer_alone_is_on_stdout(desk: Desk) -> None:
    answer = desk.run("--prometheus", "http://127.0.0.1:1", "investigate", "--alert", "-", "--json", said=ALERT)
    assert answer.returncode == 3, answer.stderr
    result = json.loads(answer.stdout)
    assert (result["outcome"], result["cause"], result["exit_code"]) == ("escalate", None, 3)
    assert Path(result["report"]).is_file()
    assert "cannot be reached" in Path(result["report"]).read_text().replace("\\", "")
    assert desk.run("resume").returncode == 2


def test_a_changed_ledger_is_not_shown_as_if_it_were_true(desk: Desk) -> None:
    desk.run("investigate", "why is chat slow?")
    (ledger,) = desk.state.glob("runs/*/ledger.jsonl")
    ledger.write_text(ledger.read_text().replace("slow", "fine"))
    assert json.loads(desk.run("runs", "list", "--json").stdout)[0]["state"] == "changed"
    answer = desk.run("runs", "show")
    assert answer.returncode == 1
    assert "was changed" in answer.stderr


def test_runs_of_an_empty_state_folder(desk: Desk) -> None:
    assert desk.run("runs", "list", "--json").stdout == "[]\n"
    answer = desk.run("resume")
    assert (answer.returncode, "no run is open" in answer.stderr) == (2, True)


def test_the_chat_answers_plain_lines_of_stdin_and_ends_with_them(desk: Desk) -> None:
    answer = desk.run("chat", said="/help\n/nonsense\nwhy is chat slow?\n/runs\n")
    assert answer.returncode == 2
    assert "there is no /nonsense" in answer.stdout
    assert "cannot be reached" in answer.stdout
    assert "why is chat slow?" in answer.stdout.splitlines()[-1]
    assert "Traceback" not in answer.stderr
