"""The original Prometheus 3.16 as a fixture, fed by remote write."""

import contextlib
import json
import os
import signal
import socket
import struct
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

Data = Mapping[tuple[tuple[str, str], ...], list[tuple[int, float]]]
"""Samples (ms, value) by labels."""


def _varint(value: int) -> bytes:
    out = bytearray()
    value &= 2**64 - 1
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _field(number: int, body: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(body)) + body


def _series(labels: tuple[tuple[str, str], ...], samples: list[tuple[int, float]]) -> bytes:
    out = b"".join(_field(1, _field(1, name.encode()) + _field(2, value.encode())) for name, value in sorted(labels))
    for at, value in samples:
        out += _field(2, b"\x09" + struct.pack("<d", value) + b"\x10" + _varint(at))
    return out


def _snappy(body: bytes) -> bytes:
    """Return a snappy block that holds `body` in literals."""
    out = _varint(len(body))
    for start in range(0, len(body), 65536):
        piece = body[start : start + 65536]
        out += b"\xf4" + struct.pack("<H", len(piece) - 1) + piece
    return out


@dataclass
class Original:
    """A running Prometheus."""

    url: str

    def write(self, data: Data) -> None:
        """Send samples by remote write; raw float bits survive it, staleness markers too."""
        body = b"".join(_field(1, _series(labels, samples)) for labels, samples in data.items())
        headers = {
            "Content-Encoding": "snappy",
            "Content-Type": "application/x-protobuf",
            "X-Prometheus-Remote-Write-Version": "0.1.0",
        }
        request = urllib.request.Request(f"{self.url}/api/v1/write", data=_snappy(body), headers=headers)
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


@pytest.fixture(scope="session")
def prometheus_binaries() -> Path:
    """The folder with `prometheus` and `promtool`."""
    folder = Path(os.environ.get("KUBEBUILDER_ASSETS", "/nonexistent"))
    if not (folder / "prometheus").is_file():
        pytest.skip("KUBEBUILDER_ASSETS names no folder with prometheus: the tests against the original need it")
    return folder


@contextlib.contextmanager
def running(binary: Path, home: Path, config: str) -> Generator[Original]:
    """Run a Prometheus 3.16 without feature flags while the block lasts."""
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


@pytest.fixture(scope="session")
def prometheus(prometheus_binaries: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Original]:
    """A Prometheus that scrapes nothing; tests write to it."""
    home = tmp_path_factory.mktemp("prometheus")
    with running(prometheus_binaries / "prometheus", home, "global: {evaluation_interval: 1m}\n") as original:
        yield original


@pytest.fixture
def scraping(
    prometheus_binaries: Path, tmp_path: Path
) -> "Callable[[int], contextlib.AbstractContextManager[Original]]":
    """A Prometheus that scrapes one port on loopback every second under the job `chat`."""

    def start(port: int) -> "contextlib.AbstractContextManager[Original]":
        target = f"[{{targets: ['127.0.0.1:{port}'], labels: {{pod: a}}}}]"
        jobs = f"[{{job_name: chat, static_configs: {target}}}]"
        config = f"global: {{scrape_interval: 1s, scrape_timeout: 1s}}\nscrape_configs: {jobs}\n"
        return running(prometheus_binaries / "prometheus", tmp_path, config)

    return start


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
    pytest.fail(f"prometheus did not become ready: {log.read_text(errors='replace')[-1000:]}")
