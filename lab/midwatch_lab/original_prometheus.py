"""The original Prometheus 3.16 as a child process, fed by remote write.

Contract tests and benchmarks hold the lab's PromQL against it.
"""

import os
import signal
import subprocess
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx2

from midwatch_lab.errors import OriginalError
from midwatch_lab.metrics.remote_write import HEADERS, Data, write_request
from midwatch_lab.original import free_port

_STARTED_S: Final = 60
_TIMEOUT_S: Final = 60
_WRITTEN: Final = 204


@dataclass(frozen=True)
class OriginalPrometheus:
    """A running Prometheus."""

    url: str
    pid: int

    def write(self, data: Data) -> None:
        """Send samples by remote write.

        Raises:
            OriginalError: when it does not take them.
        """
        url = f"{self.url}/api/v1/write"
        answer = httpx2.post(url, content=write_request(data), headers=HEADERS, timeout=_TIMEOUT_S, trust_env=False)
        if answer.status_code != _WRITTEN:
            raise OriginalError(f"prometheus refused samples: {answer.status_code} {answer.text}")

    def get(self, path: str, **parameters: Any) -> dict[str, Any]:
        """Ask the API; errors come back as their JSON too."""
        url = f"{self.url}/api/v1/{path}"
        return httpx2.get(url, params=parameters, timeout=_TIMEOUT_S, trust_env=False).json()


def prometheus_binary() -> Path:
    """Return the program, from the folder that KUBEBUILDER_ASSETS names.

    Raises:
        OriginalError: when it is not there.
    """
    folder = os.environ.get("KUBEBUILDER_ASSETS")
    if not folder or not (Path(folder) / "prometheus").is_file():
        raise OriginalError("no prometheus to hold the lab against: name its folder in KUBEBUILDER_ASSETS")
    return Path(folder) / "prometheus"


@contextmanager
def prometheus_running(
    binary: Path, home: Path, config: str = "", features: Sequence[str] = (), *, arguments: Sequence[str] = ()
) -> Generator[OriginalPrometheus]:
    """Run a Prometheus in a folder while the block lasts, with the named features on (`--enable-feature`).

    Raises:
        OriginalError: when it does not come up.
    """
    (home / "prometheus.yml").write_text(config)
    port = free_port()
    command = [
        str(binary),
        f"--config.file={home / 'prometheus.yml'}",
        f"--storage.tsdb.path={home / 'tsdb'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--web.enable-remote-write-receiver",
        "--storage.tsdb.retention.time=100y",
        "--log.level=error",
        *([f"--enable-feature={','.join(features)}"] if features else []),
        *arguments,
    ]
    with (home / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=home)
    try:
        url = f"http://127.0.0.1:{port}"
        _wait(url, process, home / "log")
        yield OriginalPrometheus(url, process.pid)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)


def _wait(url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + _STARTED_S
    while time.monotonic() < deadline and process.poll() is None:
        if _ready(url):
            return
        time.sleep(0.1)
    raise OriginalError(f"prometheus did not become ready: {log.read_text(errors='replace')[-1000:]}")


def _ready(url: str) -> bool:
    try:
        return httpx2.get(f"{url}/-/ready", timeout=2, trust_env=False).is_success
    except httpx2.HTTPError:
        return False
