"""`midwatch bench lab` on a small scale: it compares what it says, and refuses by name where the original is not."""

import json
import subprocess
import sys

import pytest

from midwatch_contracts.figure import Figure
from midwatch_lab.bench.watchers import percentile

BENCH = [sys.executable, "-m", "midwatch_agents", "bench"]


@pytest.mark.slow
@pytest.mark.original
@pytest.mark.usefixtures("original_binaries")
def test_it_prints_lists_memory_and_watches_and_loses_no_event() -> None:
    sizes = ["--pods", "20", "--watchers", "3", "--writes", "10"]
    done = subprocess.run([*BENCH, "lab", *sizes], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    figures = [Figure.model_validate(json.loads(line)) for line in done.stdout.splitlines()]
    assert [figure.name for figure in figures] == [
        "lab_table_20_ms", "lab_table_no_objects_20_ms", "lab_list_20_ms", "lab_list_pages_20_ms",
        "lab_list_selected_20_ms", "lab_memory_20_mb", "lab_watch_3_first_p50_ms", "lab_watch_3_first_p99_ms",
        "lab_watch_3_last_p50_ms", "lab_watch_3_last_p99_ms",
    ]  # fmt: skip
    assert all(figure.value > 0 and figure.baseline > 0 for figure in figures)
    assert done.stderr.endswith("0 of 30 events lost by the lab, 0 by the original\n")


@pytest.mark.parametrize("arguments", [["lab"], ["--only", "lab_table_5000_ratio"]])
def test_without_the_original_it_says_what_is_missing(monkeypatch: pytest.MonkeyPatch, arguments: list[str]) -> None:
    monkeypatch.delenv("KUBEBUILDER_ASSETS", raising=False)
    done = subprocess.run([*BENCH, *arguments], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (2, "")
    assert "name their folder in KUBEBUILDER_ASSETS" in done.stderr


def test_percentiles_lie_where_they_should() -> None:
    values = [float(number) for number in range(101)]
    assert (percentile(values, 0.5), percentile(values, 0.99)) == (50.0, 99.0)
