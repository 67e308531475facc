"""Operations on a real server process: it ends well whatever state it is in, and refuses options that make no sense."""

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager

import httpx2
import pytest

pytestmark = pytest.mark.slow

DEADLINE_S = 30
LONG = {"model": "tiny", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 1500, "temperature": 0}


@contextmanager
def server(*flags: str) -> Generator[tuple[subprocess.Popen[str], httpx2.Client]]:
    command = [sys.executable, "-m", "midwatch_serving", "--port", "0", *flags]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stdout is not None
            with httpx2.Client(base_url=process.stdout.readline().strip(), timeout=DEADLINE_S) as client:
                yield process, client
        finally:
            process.kill()


def started(client: httpx2.Client) -> list[int]:
    """Send a long request in a thread; return once it has a token. The list gets its status."""
    status: list[int] = []
    threading.Thread(
        target=lambda: status.append(client.post("/v1/chat/completions", json=LONG).status_code), daemon=True
    ).start()
    deadline = time.monotonic() + DEADLINE_S
    while not any(row["output_tokens"] for row in client.get("/admin/requests").json()["requests"]):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return status


@pytest.mark.parametrize("state", ["/pause?mode=keep", "/sleep?level=2&mode=keep"])
def test_a_held_server_ends_without_waiting_for_what_cannot_finish(state: str) -> None:
    with server("--shutdown-grace", "60") as (process, client):
        started(client)
        assert client.post(state).status_code == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE_S) == 0


def test_sleep_gives_memory_back_and_waking_takes_it_again() -> None:
    with server("--num-gpu-blocks-override", "16384", "--shutdown-grace", "0") as (_, client):

        def resident() -> float:
            (line,) = [
                line for line in client.get("/metrics").text.splitlines() if line.startswith("process_resident_memory")
            ]
            return float(line.split()[1])

        body = LONG | {"max_tokens": 2, "messages": [{"role": "user", "content": "x" * 1500}]}
        answer = client.post("/v1/chat/completions", json=body).json()["choices"][0]["message"]["content"]
        awake = resident()
        client.post("/sleep?level=2")
        assert resident() < awake - 10e6
        client.post("/wake_up")
        again = client.post("/v1/chat/completions", json=body).json()["choices"][0]["message"]["content"]
        assert again == answer


def test_an_admin_drain_lets_what_runs_finish_while_the_process_ends() -> None:
    with server("--shutdown-grace", "60") as (process, client):
        status = started(client)
        assert client.post("/admin/drain", json={}).json()["draining"] is True
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
        deadline = time.monotonic() + DEADLINE_S
        while not status:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert status == [200]


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--watts-per-core", "0"], "--watts-per-core 0.0: give watts"),
        (["--watts-per-core", "nan"], "--watts-per-core nan"),
        (["--custom-histogram-buckets", json.dumps({"ttft": [1]})], "--custom-histogram-buckets: there is no family"),
        (["--otlp-traces-endpoint", "localhost:4317"], "give the collector's whole URL"),
    ],
)
def test_options_that_make_no_sense_end_it_with_the_reason(flags: list[str], says: str) -> None:
    command = [sys.executable, "-m", "midwatch_serving", "--port", "0", *flags]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=DEADLINE_S)
    assert done.returncode == 2
    assert says in done.stderr
    assert "Traceback" not in done.stderr
