"""A benchmark prints figures under its own name, each beside a baseline of the same run."""

import json
import subprocess
import sys
from importlib.metadata import entry_points

import pytest

from midwatch_contracts.figure import Figure


@pytest.mark.slow
@pytest.mark.original
@pytest.mark.usefixtures("original_binaries")
def test_every_benchmark_prints_one_json_line_under_its_own_name() -> None:
    command = [sys.executable, "-m", "midwatch_agents", "bench"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stderr
    figures = [Figure.model_validate(json.loads(line)) for line in done.stdout.splitlines()]
    assert [figure.name for figure in figures] == sorted(e.name for e in entry_points(group="midwatch.benchmarks"))
    for figure in figures:
        assert figure.value > 0
        assert figure.ratio == pytest.approx(figure.value / figure.baseline, rel=0.01)
        assert figure.name in figure.command


def test_a_benchmark_that_is_not_there_is_refused_with_the_names_that_are() -> None:
    command = [sys.executable, "-m", "midwatch_agents", "bench", "--only", "nonsense"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "help_ms" in done.stderr
