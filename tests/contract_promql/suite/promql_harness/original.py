"""The original Prometheus 3.16 as a child process, fed by remote write."""

import contextlib
import json
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from promql_harness.remote_write import Data, write_request


@dataclass
class Original:
    """A running Prometheus."""

    url: str

    def write(self, data: Data) -> None:
        """Send samples by remote write; raw float bits survive it, staleness markers too."""
        headers = {
            "Content-Encoding": "snappy",
            "Content-Type": "application/x-protobuf",
            "X-Prometheus-Remote-Write-Version": "0.1.0",
        }
        request = urllib.request.Request(f"{self.url}/api/v1/write", data=write_request(data), headers=headers)
        with urllib.request.urlopen(request, timeout=30) as answer:
            assert answer.status == 204

    def get(self, path: str, **parameters: Any) -> dict[str, Any]:
        """Ask the API; errors come back as their JSON too."""
        url = f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        try:
            with urllib.request.urlopen(url, timeout=30) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            return json.load(error)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextlib.contextmanager
def running(binary: Path, home: Path, config: str, features: Sequence[str] = ()) -> Generator[Original]:
    """Run a Prometheus 3.16 while the block lasts, with the named features on (`--enable-feature`)."""
    (home / "prometheus.yml").write_text(config)
    port = _free_port()
    command = [
        str(binary),
        f"--config.file={home / 'prometheus.yml'}",
        f"--storage.tsdb.path={home / 'tsdb'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--web.enable-remote-write-receiver",
        "--storage.tsdb.retention.time=100y",
        "--log.level=error",
        *([f"--enable-feature={','.join(features)}"] if features else []),
    ]
    with (home / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=home)
    try:
        original = Original(f"http://127.0.0.1:{port}")
        _wait(original, process, home / "log")
        yield original
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)


def _wait(original: Original, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        with (
            contextlib.suppress(urllib.error.URLError, OSError),
            urllib.request.urlopen(f"{original.url}/-/ready", timeout=2) as answer,
        ):
            if answer.status == 200:
                return
        time.sleep(0.1)
    raise AssertionError(f"prometheus did not become ready: {log.read_text(errors='replace')[-1000:]}")
