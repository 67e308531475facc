"""`midwatch bench change`: ours and kubectl's write the same to one original, and each figure has its baseline."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from midwatch_contracts.figure import Figure
from midwatch_evals.beside_kubectl.objects import OURS, THEIRS, as_draft, holds, manifests

FIGURES = [
    *("change_five_kubectl_time", "change_five_kubectl_time_served"),
    *("change_five_propose_ms", "change_five_approve_ms", "change_five_apply_ms"),
    *("change_five_propose_served_ms", "change_five_ask_served_ms", "change_five_apply_served_ms"),
]


@pytest.mark.slow
@pytest.mark.original
@pytest.mark.usefixtures("original_binaries")
def test_a_round_of_each_way_gives_every_figure_beside_kubectl(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "midwatch_agents", "--state", str(tmp_path), "bench", "change"]
    done = subprocess.run(
        [*command, "--rounds", "1", "--warm-up", "0"], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    figures = [Figure.model_validate(json.loads(line)) for line in done.stdout.splitlines()]
    assert [figure.name for figure in figures] == FIGURES
    assert all(figure.baseline > 0 and figure.value > 0 for figure in figures)
    whole, *parts = (figures[FIGURES.index(name)].value for name in FIGURES if "served" not in name)
    assert whole == pytest.approx(sum(parts), rel=0.01)


def test_every_round_changes_each_of_the_five_objects() -> None:
    for number in range(1, 40):
        before, after = manifests(OURS, number - 1), manifests(OURS, number)
        assert all(one != other for one, other in zip(before, after, strict=True))
        assert len(as_draft(number)["operations"]) == len(manifests(THEIRS, number)) == 5


def test_a_lost_value_is_seen() -> None:
    wanted, found = manifests(OURS, 1)[0], manifests(OURS, 1)[0] | {"more": 1}
    assert holds(wanted, found)
    assert not holds(wanted, found | {"data": {"limits.yaml": "max_num_seqs: 8\n"}})
    assert not holds({"a": [1, 2]}, {"a": [1]})
