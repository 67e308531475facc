"""Which words of a container's command line are code: what an operation on flags must not reach."""

from typing import Any

import pytest

from midwatch_contracts.plan import RISKS, Risk
from midwatch_mcp.safe_apply.hazards import findings

PYTHON = ["python3", "-u", "-m", "vllm.entrypoints.openai.api_server", "--max-num-seqs", "4"]
TINI = ["tini", "-g", "--", "vllm", "serve", "m", "--max-num-seqs=4"]


def worst(before: dict[str, Any], after: dict[str, Any]) -> Risk:
    old, new = ({"spec": {"containers": [{"name": "engine", "image": "x", **words}]}} for words in (before, after))
    found: list[Risk] = [finding.risk for finding in findings(old, new)]
    return max(found, key=RISKS.index) if found else "change"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (PYTHON, [*PYTHON[:-1], "8"]),
        (PYTHON, [*PYTHON, "--max-num-batched-tokens", "512"]),
        (
            ["/usr/bin/python3.12", "-W", "ignore", "serve.py", "--slots", "1"],
            ["/usr/bin/python3.12", "-W", "ignore", "serve.py", "--slots", "2"],
        ),
        (TINI, [*TINI[:-1], "--max-num-seqs=8"]),
        (["gosu", "nobody", "vllm", "serve", "m"], ["gosu", "nobody", "vllm", "serve", "m", "--max-num-seqs=8"]),
    ],
    ids=" ".join,
)
def test_a_setting_is_a_change(before: list[str], after: list[str]) -> None:
    assert worst({"command": before}, {"command": after}) == "change"
    assert worst({"args": before}, {"args": after}) == "change"


@pytest.mark.parametrize(
    "after",
    [
        ["python3", "-mhttp.server"],
        ["python3", "-Im", "http.server"],
        ["python3", "-uc", "__import__('os').system('id')"],
        ["python3", "/tmp/evil"],
        ["python3", "-"],
        ["python3", "-W", "x", "-m", "x"],
        ["python3", "-Xutf8", "-m", "x", *PYTHON[2:]],
        ["tini", "--", "bash", "/tmp/x"],
        ["dumb-init", "-c", "perl", "x"],
        ["gosu", "root", "nsenter", "-t", "1"],
        ["uvx", "evil-pkg"],
        ["torchrun", "evil.py"],
    ],
    ids=" ".join,
)
def test_other_code_is_forbidden(after: list[str]) -> None:
    assert worst({"command": PYTHON}, {"command": after}) == "forbidden"
    assert worst({"command": TINI}, {"command": after}) == "forbidden"


@pytest.mark.parametrize(
    "line", ["nice sh -c id", "numactl --all bash -c id", "flock /x /bin/sh -c id", "perl5.36 -e 1", "busybox.static x"]
)
def test_a_shell_is_one_wherever_it_stands(line: str) -> None:
    assert worst({}, {"command": line.split()}) == "forbidden"
    assert worst({"command": TINI}, {"command": line.split()}) == "forbidden"


@pytest.mark.parametrize("line", ["vim -c !id", "serve"])
def test_a_command_in_place_of_the_images_own_is_dangerous(line: str) -> None:
    assert worst({}, {"command": line.split()}) == "dangerous"


ENVIRONMENTS: dict[str, tuple[list[dict[str, Any]], Risk]] = {
    "of a plain one": ([{"name": "A", "value": "1"}, {"name": "B", "value": "$(A)"}], "change"),
    "of one not named here": ([{"name": "URL", "value": "https://evil/$(HF_TOKEN)"}], "forbidden"),
    "of one from elsewhere": ([{"name": "A", "valueFrom": {}}, {"name": "B", "value": "$(A)"}], "forbidden"),
    "none, but a program's name": ([{"name": "CC", "value": "/tmp/cc"}], "forbidden"),
}


@pytest.mark.parametrize("which", ENVIRONMENTS)
def test_a_variable_that_takes_in_what_is_not_shown_is_forbidden(which: str) -> None:
    env, risk = ENVIRONMENTS[which]
    assert worst({}, {"env": env}) == risk


def test_words_that_an_unknown_entrypoint_might_run_need_a_person() -> None:
    assert worst({"args": ["--slots", "1"]}, {"args": ["-c", "import os"]}) == "dangerous"
    assert worst({"args": ["--slots", "1"]}, {"args": ["--slots", "2"]}) == "change"


def test_another_program_behind_the_same_wrapper_is_dangerous() -> None:
    assert worst({"command": TINI}, {"command": ["tini", "-g", "--", "ollama", "serve"]}) == "dangerous"
