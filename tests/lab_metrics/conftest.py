"""The original Prometheus, scraping, as a fixture."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from midwatch_lab.original_prometheus import OriginalPrometheus, prometheus_running


@pytest.fixture
def scraping(prometheus_binaries: Path, tmp_path: Path) -> Callable[[int], AbstractContextManager[OriginalPrometheus]]:
    """A Prometheus that scrapes one port on loopback every second under the job `chat`."""

    def start(port: int) -> AbstractContextManager[OriginalPrometheus]:
        target = f"[{{targets: ['127.0.0.1:{port}'], labels: {{pod: a}}}}]"
        jobs = f"[{{job_name: chat, static_configs: {target}}}]"
        config = f"global: {{scrape_interval: 1s, scrape_timeout: 1s}}\nscrape_configs: {jobs}\n"
        return prometheus_running(prometheus_binaries / "prometheus", tmp_path, config)

    return start


@pytest.fixture
def receiving(prometheus_binaries: Path, tmp_path: Path) -> Callable[[], AbstractContextManager[OriginalPrometheus]]:
    """A Prometheus that scrapes nothing and takes remote writes."""
    return lambda: prometheus_running(prometheus_binaries / "prometheus", tmp_path)
