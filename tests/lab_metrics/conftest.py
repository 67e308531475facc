"""The original Prometheus, scraping, as a fixture."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from midwatch_lab.original_prometheus import OriginalPrometheus, prometheus_running


@pytest.fixture
def scraping(prometheus_binaries: Path, tmp_path: Path) -> Callable[[str], AbstractContextManager[OriginalPrometheus]]:
    """A Prometheus with a configuration."""
    return lambda config: prometheus_running(prometheus_binaries / "prometheus", tmp_path, config)


@pytest.fixture
def receiving(prometheus_binaries: Path, tmp_path: Path) -> Callable[[], AbstractContextManager[OriginalPrometheus]]:
    """A Prometheus that scrapes nothing and takes remote writes."""
    return lambda: prometheus_running(prometheus_binaries / "prometheus", tmp_path)
