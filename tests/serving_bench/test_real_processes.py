"""The whole command on the tiny model, with the processes that it starts."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from midwatch_contracts.figure import Figure
from midwatch_serving.peers import benchmark
from midwatch_serving.peers.benchmark import Setup
from midwatch_serving.peers.figures import COMPARISONS
from midwatch_serving.peers.machine_load import MachineLoad

pytestmark = pytest.mark.slow


def figures(stdout: str) -> dict[str, Figure]:
    """Return the figures of a process by name: every line of its standard output is one."""
    found = [Figure.model_validate(json.loads(line)) for line in stdout.splitlines()]
    return {figure.name: figure for figure in found}


def test_what_goes_over_http_is_measured_beside_the_engine_and_nothing_is_left(
    tmp_path: Path,
) -> None:
    wanted = ["http_c16_engine", "http_ttft_overhead_ms"]
    only = [word for name in wanted for word in ("--only", name)]
    command = [sys.executable, "-m", "midwatch_serving.peers", "--model", "tiny", "--pairs", "1", *only]
    done = subprocess.run(
        [*command, "--folder", str(tmp_path)], capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    found = figures(done.stdout)
    assert list(found) == wanted
    assert 0 < found["http_c16_engine"].ratio < 5
    assert found["http_ttft_overhead_ms"].baseline > 0
    assert found["http_c16_engine"].command == "make bench-serving ARGS='--only http_c16_engine'"
    assert "core" in done.stderr
    assert not _processes_of(tmp_path)


@pytest.mark.anyio
async def test_peers_that_are_not_installed_are_named_with_the_end_of_their_log(tmp_path: Path) -> None:
    setup = Setup(model="tiny", folder=tmp_path, pairs=1, python=Path(sys.executable))
    setup.logs.mkdir()
    chosen = [one for one in COMPARISONS if one.name == "decode_b1_openvino"]
    emitted: list[Figure] = []
    failures = await benchmark.run(setup, chosen, emitted.append)
    assert emitted == []
    assert "No module named 'openvino" in failures[0]
    assert failures[1:] == ["decode_b1_openvino: a worker of it does not run"]


@pytest.mark.skipif(not Path("/proc/stat").exists(), reason="this system counts no CPU seconds here")
def test_what_this_process_computes_is_not_counted_as_the_work_of_others() -> None:
    before = MachineLoad.now()
    subprocess.run([sys.executable, "-c", "sum(range(30_000_000))"], check=True)
    after = MachineLoad.now()
    assert before is not None
    assert after is not None
    assert after.own - before.own > 0.2
    assert after.others_since(before) <= after.everyone - before.everyone - 0.2


def _processes_of(folder: Path) -> list[str]:
    """Return the command lines of processes that name the folder."""
    found: list[str] = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = entry.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:  # it ended meanwhile
            continue
        if str(folder) in line and entry.parent.name != str(os.getpid()):
            found.append(line)
    return found
