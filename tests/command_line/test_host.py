import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from midwatch_agents import host

CLI = [sys.executable, "-m", "midwatch_agents"]


def run(*words: str, state: Path, extra_path: Path | None = None, **environ: str) -> subprocess.CompletedProcess[str]:
    variables = {**os.environ, "MIDWATCH_STATE": str(state), "XDG_CONFIG_HOME": str(state / "none"), **environ}
    if extra_path is not None:
        variables["PYTHONPATH"] = str(extra_path)
    return subprocess.run(
        [*CLI, *words], capture_output=True, text=True, env=variables, cwd=state.parent, timeout=60, check=False
    )


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def third_party(tmp_path: Path) -> Path:
    """A folder with somebody else's distribution, which adds a good, a broken and an ill-mannered command."""
    root = tmp_path / "site"
    info = root / "other_tools-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: other-tools\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        textwrap.dedent("""\
            [midwatch.commands]
            other-good = other_tools:good
            other-broken = other_tools_missing:command
            other-wrong = other_tools:not_a_command
            other-raises = other_tools:raises
            config = other_tools:good
            """)
    )
    (root / "other_tools.py").write_text(
        textwrap.dedent("""\
            import os, sys
            from midwatch_contracts.command import Command, CommandError
            def _configure(parser):
                parser.add_argument("--how", default="good")
            good = Command("a good one", "other_tools:act", _configure)
            raises = good
            not_a_command = 3
            def act(arguments, settings):
                if arguments.how == "user": raise CommandError("nothing there", 3)
                if arguments.how == "bug": raise ZeroDivisionError("by zero")
                if arguments.how == "interrupt": raise KeyboardInterrupt
                if arguments.how == "lines":
                    for n in range(200_000): print(n)
                if arguments.how == "missing": import no_such_library
                print("state", settings.state)
                return 0
            """)
    )
    return root


def test_help_lists_the_commands_and_costs_under_300_ms(state: Path) -> None:
    costs: list[float] = []
    for _ in range(5):
        before = os.times()
        answer = run("--help", state=state)
        after = os.times()
        # Time on a CPU rather than on the wall, so that a busy machine does not fail the test.
        costs.append(after.children_user - before.children_user + after.children_system - before.children_system)
        assert answer.returncode == 0
        for name in ("chat", "investigate", "resume", "runs", "config"):
            assert f"\n  {name} " in answer.stdout
    assert min(costs) < 0.3


def test_help_loads_nothing_heavy() -> None:
    program = (
        "import sys; from midwatch_agents.cli import main; main(['--help']);"
        "print([m for m in sys.modules if m.split('.')[0] in"
        " ('pydantic', 'mcp', 'langgraph', 'kubernetes', 'rich', 'numpy', 'asyncio', 'yaml', 'httpx2', 'starlette')])"
    )
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert answer.stdout.splitlines()[-1] == "[]"


def test_help_makes_no_state_folder(state: Path) -> None:
    run("--help", state=state)
    assert not state.exists()


def test_a_broken_command_of_somebody_else_is_named_and_stops_nothing(state: Path, third_party: Path) -> None:
    answer = run("--help", state=state, extra_path=third_party)
    assert answer.returncode == 0
    assert "other-good" in answer.stdout
    assert "'other-broken' of other-tools cannot be loaded: ModuleNotFoundError" in answer.stderr
    assert "'other-wrong' of other-tools cannot be loaded: other_tools:not_a_command is a int" in answer.stderr
    assert run("config", "show", state=state, extra_path=third_party).returncode == 0
    assert run("other-broken", state=state, extra_path=third_party).returncode == 1


def test_our_own_command_outranks_a_strangers_of_the_same_name(state: Path, third_party: Path) -> None:
    answer = run("config", "show", "--json", state=state, extra_path=third_party)
    assert json.loads(answer.stdout)["state"] == str(state)


@pytest.mark.parametrize(
    ("how", "code", "says"), [("user", 3, "midwatch: nothing there\n"), ("interrupt", 130, "midwatch: interrupted\n")]
)
def test_a_command_that_cannot_go_on_ends_with_one_line_and_its_code(
    state: Path, third_party: Path, how: str, code: int, says: str
) -> None:
    answer = run("other-good", "--how", how, state=state, extra_path=third_party)
    assert (answer.returncode, answer.stderr, answer.stdout) == (code, says, "")


def test_an_unexpected_error_is_one_line_with_a_file_and_debug_prints_it(state: Path, third_party: Path) -> None:
    answer = run("other-good", "--how", "bug", state=state, extra_path=third_party)
    assert answer.returncode == 1
    assert len(answer.stderr.splitlines()) == 1
    (file,) = (state / "crashes").iterdir()
    assert str(file) in answer.stderr
    assert "ZeroDivisionError: by zero" in file.read_text()
    assert file.stat().st_mode & 0o777 == 0o600
    answer = run("--debug", "other-good", "--how", "bug", state=state, extra_path=third_party)
    assert "Traceback" in answer.stderr


def test_a_library_that_is_not_installed_is_named_with_the_mend(state: Path, third_party: Path) -> None:
    answer = run("other-good", "--how", "missing", state=state, extra_path=third_party)
    assert answer.returncode == 2
    assert "'no_such_library'" in answer.stderr
    assert "pip install" in answer.stderr


def test_a_reader_that_goes_away_ends_the_command_quietly(state: Path, third_party: Path) -> None:
    environ = {**os.environ, "MIDWATCH_STATE": str(state), "PYTHONPATH": str(third_party)}
    child = subprocess.Popen(
        [*CLI, "other-good", "--how", "lines"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environ
    )
    assert child.stdout is not None
    assert child.stderr is not None
    child.stdout.readline()
    child.stdout.close()
    complaint = child.stderr.read()
    child.stderr.close()
    assert child.wait(timeout=30) == 1
    assert complaint == b""


def test_an_unknown_command_names_the_nearest(state: Path) -> None:
    answer = run("confg", state=state)
    assert answer.returncode == 2
    assert "did you mean config?" in answer.stderr


def test_global_flags_work_before_and_after_the_command(state: Path, tmp_path: Path) -> None:
    before = run("--state", str(tmp_path / "b"), "config", "show", "--json", "--origin", state=state)
    after = run("config", "show", "--json", "--origin", f"--state={tmp_path / 'b'}", state=state)
    assert json.loads(before.stdout) == json.loads(after.stdout)
    assert json.loads(after.stdout)["state"] == {"value": str(tmp_path / "b"), "origin": "flag"}


def test_a_wrong_configuration_file_ends_with_exit_2(state: Path, tmp_path: Path) -> None:
    (tmp_path / "midwatch.toml").write_text("colour = 3\n")
    answer = run("config", "show", state=state)
    assert answer.returncode == 2
    assert str(tmp_path / "midwatch.toml") in answer.stderr
    assert "'colour'" in answer.stderr


@pytest.mark.parametrize(
    ("words", "lab", "command", "rest"),
    [
        (["--lab", "demo", "--yes"], "", "demo", ("--yes",)),
        (["--lab", "folder", "demo"], "folder", "demo", ()),
        (["--lab=demo", "demo"], "demo", "demo", ()),
        (["demo", "--lab", "x"], None, "demo", ("--lab", "x")),
    ],
)
def test_a_bare_lab_flag_never_swallows_the_command(
    words: list[str], lab: str | None, command: str, rest: tuple[str, ...]
) -> None:
    line = host.split(words, ["demo", "chat"])
    assert (line.flags.get("lab"), line.command, line.rest) == (lab, command, rest)


def test_the_version_is_printed(state: Path) -> None:
    answer = run("--version", state=state)
    assert answer.stdout.startswith("midwatch 0.")
    assert answer.returncode == 0
