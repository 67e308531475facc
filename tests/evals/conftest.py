"""What the demo's tests share: the demo as a user starts it, and what it left."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from midwatch_evals.processes import marked

WITHIN_S = 240


@dataclass(frozen=True)
class Ran:
    """A command that has ended."""

    code: int
    out: str
    err: str
    answer: dict[str, Any]
    state: Path

    @property
    def folder(self) -> Path:
        """The one demo that this state folder holds."""
        (folder,) = (self.state / "demos").iterdir()
        return folder


RunDemo = Callable[..., Ran]


@pytest.fixture
def run_demo(tmp_path: Path) -> RunDemo:
    """Start `midwatch demo` without a terminal; returns what it ended with."""

    def run(*arguments: str) -> Ran:
        state, answer = tmp_path / "state", tmp_path / "demo.json"
        command = [sys.executable, "-m", "midwatch_agents", "--state", str(state), "demo", "--json", str(answer)]
        done = subprocess.run(
            [*command, *arguments],
            capture_output=True,
            text=True,
            check=False,
            timeout=WITHIN_S,
            stdin=subprocess.DEVNULL,
            env=os.environ | {"COLUMNS": "200", "NO_COLOR": "1"},
        )
        text = answer.read_text("utf-8") if answer.exists() else ""
        ran = Ran(done.returncode, done.stdout, done.stderr, json.loads(text) if text else {}, state)
        for lab in (state / "demos").glob("*/lab"):
            assert marked(str(lab.resolve())) == []
        return ran

    return run
