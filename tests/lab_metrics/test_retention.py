"""How long samples are kept and how large they may grow, as it is written for `midwatch lab up`."""

import subprocess
import sys
from pathlib import Path

import pytest

from midwatch_lab.metrics.errors import BadDataError
from midwatch_lab.metrics.retention import Retention


def test_times_and_sizes_are_written_as_prometheus_writes_them() -> None:
    assert Retention.read("6h", "512MB") == Retention(6 * 3600, 512 * 1024 * 1024)
    assert Retention.read("1d12h", "2GB") == Retention(36 * 3600, 2 * 1024**3)


@pytest.mark.parametrize(("time", "size"), [("", "1GB"), ("6", "1GB"), ("0s", "1GB"), ("6h", "512"), ("6h", "0MB")])
def test_what_is_none_is_refused_with_an_example(time: str, size: str) -> None:
    with pytest.raises(BadDataError, match="write"):
        Retention.read(time, size)


def test_lab_up_refuses_a_retention_that_is_none(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "midwatch_lab", "up", "--dir", str(tmp_path), "--metrics-retention-size", "much"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "'much' is no size that samples may take: write one such as 512MB or 2GB" in done.stderr
